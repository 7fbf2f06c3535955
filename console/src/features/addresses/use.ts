/** Subnets of many networks and flat IPAMs, and what is asked of each. Pure. */

import { prefixText, rowsOf } from "../../forms/subnets";
import { type ConfigObject, type Document, isDocument, isList, lastName } from "../../model/document";
import { fillOf, type Held, heldOf, type Use } from "../objects/tabs/addresses";

export type Holder = "virtual-network" | "network-ipam";

export interface Subnet {
  readonly uuid: string;
  readonly document: Document;
  readonly holder: Holder;
  readonly holderUuid: string;
  readonly holderName: readonly string[];
}

/** Subnets that a network has of its own, or that a flat IPAM shares. */
export function subnetsOf(holder: Holder, object: ConfigObject): Subnet[] {
  const shared = isDocument(object["ipam_subnets"]) ? object["ipam_subnets"]["subnets"] : undefined;
  const documents = holder === "virtual-network" ? rowsOf(object["network_ipam_refs"]).map((each) => each.subnet) : isList(shared) ? shared.filter(isDocument) : [];
  return documents.map((document) => ({ uuid: String(document["subnet_uuid"] ?? ""), document, holder, holderUuid: object.uuid, holderName: object.fq_name }));
}

export interface Row extends Subnet {
  readonly prefix: string;
  /** What is used of it; undefined where it is not known. */
  readonly use: Use | undefined;
}

/** A subnet as the server counts it; `capacity` is decimal text. */
export interface Counted {
  readonly holder_type: Holder;
  readonly holder_uuid: string;
  readonly holder_name: readonly string[];
  readonly subnet: Document;
  readonly used: number;
  readonly capacity: string;
}

export function uncounted(subnet: Subnet): Row {
  return { ...subnet, prefix: prefixText(subnet.document), use: undefined };
}

export function rowOf({ holder_type, holder_uuid, holder_name, subnet, used, capacity }: Counted): Row {
  const row = uncounted({ uuid: String(subnet["subnet_uuid"] ?? ""), document: subnet, holder: holder_type, holderUuid: holder_uuid, holderName: holder_name });
  return { ...row, use: { ...fillOf(subnet, used), capacity: BigInt(capacity) } };
}

/** What every address of the subnet begins with as text; empty where the server cannot be asked by one. */
export function startOf(subnet: Document): string {
  const [address = "", length = "0"] = prefixText(subnet).split("/");
  if (!address.includes(":")) {
    const octets = address.split(".").slice(0, Math.floor(Number(length) / 8));
    return octets.length === 4 ? address : octets.length === 0 ? "" : `${octets.join(".")}.`;
  }
  const [first = ""] = address.split(":");
  return Number(length) < 16 || first === "" ? "" : `${first}:`;
}

/** Addresses that the network itself has of a subnet. */
export function ownOf({ document, holder, holderUuid }: Subnet): Held[] {
  const kinds = [["default_gateway", "gateway"], ["dns_server_address", "DNS server"]] as const;
  return kinds.flatMap(([name, kind]): Held[] => {
    const address = String(document[name] ?? "");
    return address === "" || address === "0.0.0.0" || address === "::" ? [] : [{ address, kind, type: holder, uuid: holderUuid, ports: [] }];
  });
}

/** Public addresses are named after their pool, and that after its network. */
export function ofNetworks(type: "floating-ip" | "alias-ip", objects: readonly ConfigObject[], networks: ReadonlySet<string>): Held[] {
  return objects.filter((each) => networks.has(each.fq_name.slice(0, -2).join(":"))).map((each) => heldOf(type, each));
}

export function holderText({ holder, holderName }: Subnet): string {
  return `${holder === "network-ipam" ? "flat IPAM " : ""}${lastName(holderName)}`;
}
