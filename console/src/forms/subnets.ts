/** Subnets of a network as rows of a table; the API holds them within references to IPAMs. Pure. */

import { type Document, isDocument, isList, type Json, textsOf } from "../model/document";

export const USUAL_IPAM: readonly string[] = ["default-domain", "default-project", "default-network-ipam"];

export interface SubnetRow {
  readonly ipam: readonly string[];
  readonly subnet: Document;
}

function subnetsOf(reference: Document): Document[] {
  const attr = reference["attr"];
  const held = isDocument(attr) ? attr["ipam_subnets"] : undefined;
  return isList(held) ? held.filter(isDocument) : [];
}

export function rowsOf(references: Json | undefined): SubnetRow[] {
  const items = isList(references) ? references.filter(isDocument) : [];
  return items.flatMap((each) => subnetsOf(each).map((subnet) => ({ ipam: textsOf(each["to"]), subnet })));
}

/** The references that have these rows; what a reference says beside subnets stays, without subnets too. */
export function referencesOf(rows: readonly SubnetRow[], before: Json | undefined): Json | undefined {
  const kept = (isList(before) ? before.filter(isDocument) : []).map((each) => ({ ...each }) as Document);
  const names = [...new Set([...kept.map((each) => textsOf(each["to"]).join(":")), ...rows.map((row) => row.ipam.join(":"))])];
  const found = names.flatMap((name): Document[] => {
    const old = kept.find((each) => textsOf(each["to"]).join(":") === name);
    const subnets = rows.filter((row) => row.ipam.join(":") === name).map((row) => row.subnet);
    const hadSome = old !== undefined && subnetsOf(old).length > 0;
    if (subnets.length === 0 && (hadSome || old === undefined)) return [];
    if (subnets.length === 0 && old !== undefined) return [old];
    const attr = old !== undefined && isDocument(old["attr"]) ? old["attr"] : {};
    const first = rows.find((row) => row.ipam.join(":") === name);
    return [{ ...(old ?? { to: [...(first?.ipam ?? [])] }), attr: { ...attr, ipam_subnets: subnets } }];
  });
  return found.length === 0 ? undefined : found;
}

export function prefixText(subnet: Document): string {
  const prefix = subnet["subnet"];
  if (!isDocument(prefix)) return "";
  const length = prefix["ip_prefix_len"];
  return `${String(prefix["ip_prefix"] ?? "")}${length === undefined ? "" : `/${String(length)}`}`;
}

export function withPrefix(subnet: Document, text: string): Document {
  const [prefix = "", length] = text.trim().split("/");
  const number = length === undefined || length === "" ? undefined : /^\d+$/.test(length) ? Number(length) : length;
  return { ...subnet, subnet: { ip_prefix: prefix, ...(number === undefined ? {} : { ip_prefix_len: number }) } };
}

export function prefixFault(text: string): string {
  const [address = "", length = ""] = text.trim().split("/");
  const isV6 = address.includes(":");
  const isAddress = isV6 ? /^[0-9a-f:.]+$/i.test(address) : /^(\d{1,3}\.){3}\d{1,3}$/.test(address) && address.split(".").every((each) => Number(each) < 256);
  if (!isAddress || !/^\d{1,3}$/.test(length) || Number(length) > (isV6 ? 128 : 32)) return "a prefix such as 10.0.0.0/24";
  return "";
}

export function poolsText(subnet: Document): string {
  const pools = subnet["allocation_pools"];
  return (isList(pools) ? pools.filter(isDocument) : []).map((each) => `${String(each["start"])}-${String(each["end"])}`).join(", ");
}

export function withPools(subnet: Document, text: string): Document {
  const before = subnet["allocation_pools"];
  const old = isList(before) ? before.filter(isDocument) : [];
  const pools = text.split(",").map((each) => each.trim()).filter(Boolean).map((each): Document => {
    const [start = "", end = start] = each.split("-").map((part) => part.trim());
    return { ...old.find((pool) => pool["start"] === start && pool["end"] === end), start, end };
  });
  const { allocation_pools: _pools, ...rest } = subnet;
  return pools.length === 0 ? rest : { ...rest, allocation_pools: pools };
}
