/** Which columns the list of a type has, and how a value looks in a cell. */

import type { ReactNode } from "react";

import { COMMON, fieldTitle, type ObjectType } from "../../model/catalog";
import { type ConfigObject, type Json, isDocument, isList, lastName, textsOf } from "../../model/document";

export interface Column {
  readonly name: string;
  readonly title: string;
  /** Whether the API sorts by it. */
  readonly sorts: boolean;
  /** Of the room that columns have: numbers need less than names do. */
  readonly share: number;
}

/** Of types people work with most: what they look for first, in lists and in forms. */
export const CHOSEN: Readonly<Record<string, readonly string[]>> = {
  "virtual-network": ["network_ipam_refs", "network_policy_refs", "virtual_network_network_id", "is_shared"],
  "virtual-machine-interface": [
    "virtual_network_refs", "virtual_machine_interface_mac_addresses", "virtual_machine_refs", "security_group_refs",
  ],
  "instance-ip": ["instance_ip_address", "virtual_network_refs", "virtual_machine_interface_refs"],
  "floating-ip": ["floating_ip_address", "floating_ip_fixed_ip_address", "virtual_machine_interface_refs"],
  "virtual-router": ["virtual_router_ip_address", "virtual_router_type", "virtual_machine_refs"],
  "logical-router": ["virtual_machine_interface_refs", "virtual_network_refs", "logical_router_type"],
  "network-policy": ["network_policy_entries"],
  "security-group": ["security_group_entries", "security_group_id"],
  "bgp-router": ["bgp_router_parameters", "bgp_router_refs"],
  "service-instance": ["service_template_refs", "service_instance_properties"],
};
const CHOSEN_COUNT = 4;

/** All that a list may show. */
export function offeredColumns(typeName: string, entry: ObjectType): Column[] {
  const properties = Object.entries(entry.properties).filter(([name, field]) => !COMMON.has(name) && field.secret !== true).map(([name]) => name);
  const references = Object.keys(entry.references ?? {}).filter((name) => !COMMON.has(name));
  return ["display_name", ...properties, ...references, "tag_refs"].map((name) => {
    const field = entry.properties[name];
    const sorts = field !== undefined && field.base !== "compound" && field.list !== true;
    return { name, title: fieldTitle(name, typeName), sorts, share: shareOf(field) };
  });
}

function shareOf(field: ObjectType["properties"][string] | undefined): number {
  if (field === undefined || field.base === "compound") return 1.3;
  return field.base === "string" || field.list === true ? 1 : 0.7;
}

/** What it shows unless somebody chose: what people look for first, or the first few that say something. */
export function usualColumns(typeName: string, entry: ObjectType): string[] {
  const references = Object.keys(entry.references ?? {}).filter((name) => !COMMON.has(name));
  const scalars = Object.entries(entry.properties)
    .filter(([name, field]) => !COMMON.has(name) && field.base !== "compound" && field.secret !== true && field.deprecated === undefined)
    .map(([name]) => name);
  // Flags say something in a form; in a list they are a column of nothing.
  const says = (name: string) => entry.properties[name]?.base !== "boolean";
  return (CHOSEN[typeName] ?? [...scalars.filter(says).slice(0, 3), ...references.slice(0, 2)].slice(0, CHOSEN_COUNT)).filter(says);
}

/** The columns of these names, in their order; names that the type does not have are left out. */
export function columnsOf(typeName: string, entry: ObjectType, names: readonly string[] = usualColumns(typeName, entry)): Column[] {
  const offered = new Map(offeredColumns(typeName, entry).map((each) => [each.name, each]));
  return names.flatMap((name) => offered.get(name) ?? []);
}

const USUAL = "usual";
const BETWEEN = ".";

/** Names of columns as an address holds them: a word for the usual ones, so that it shows these whatever its reader has chosen. */
export function tellColumns(names: readonly string[], usual: readonly string[]): string {
  return names.length === 0 || names.join() === usual.join() ? USUAL : names.join(BETWEEN);
}

/** The columns that an address tells of, in their order; undefined: the usual ones. Names that the type does not have are left out. */
export function columnsTold(text: string, typeName: string, entry: ObjectType): string[] | undefined {
  const offered = new Set(offeredColumns(typeName, entry).map(({ name }) => name));
  const names = [...new Set(text.split(/[.,]/))].filter((name) => offered.has(name));
  return names.length === 0 ? undefined : names;
}

export function changedAt(object: ConfigObject): string {
  const permissions = object["id_perms"] as { last_modified?: string } | undefined;
  return (permissions?.last_modified ?? "").slice(0, 19).replace("T", " ");
}

/** A value in few words. */
export function brief(value: Json | undefined): string {
  if (value === undefined || value === null) return "";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (isList(value)) return value.map(brief).filter(Boolean).join(", ");
  if (!isDocument(value)) return String(value);
  if (isList(value["to"])) return [subnets(value["attr"]), lastName(textsOf(value["to"]))].filter(Boolean).join(" in ");
  if ("ip_prefix" in value) return `${brief(value["ip_prefix"])}/${brief(value["ip_prefix_len"])}`;
  const inner = Object.values(value);
  const only = inner.length === 1 ? inner[0] : undefined;
  if (isList(only)) return only.every((each) => !isDocument(each)) ? brief(only) : only.length.toLocaleString("en");
  const parts = Object.entries(value).filter(([, each]) => each !== null && !isDocument(each) && !isList(each));
  return parts.slice(0, 3).map(([name, each]) => `${name} ${brief(each)}`).join(", ");
}

function subnets(attr: Json | undefined): string {
  if (!isDocument(attr) || !isList(attr["ipam_subnets"])) return "";
  const texts = attr["ipam_subnets"].map((each) => (isDocument(each) ? brief(each["subnet"]) : ""));
  return texts.filter(Boolean).join(", ");
}

export function cell(value: Json | undefined): ReactNode {
  const text = brief(value);
  return <span title={text}>{text}</span>;
}
