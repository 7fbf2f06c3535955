/** Floating addresses: what each leads to, and the change that makes it so. Pure. */

import { ifUnchanged, type Operation } from "../../api/client";
import { type ConfigObject, type Document, documentsOf, equal, isDocument, isEmpty, type Json, mergePatch, namesOf } from "../../model/document";

export const DIRECTIONS = ["both", "ingress", "egress"] as const;

/** What a user says of a floating address; the address itself never changes. */
export interface Floating {
  readonly pool: string;
  readonly address: string;
  /** Several share what comes in. */
  readonly ports: readonly string[];
  /** Which of a single port's own addresses it stands for; empty: each port's first one. */
  readonly fixed: string;
  readonly direction: string;
  readonly isMapped: boolean;
  /** `port_mappings` as the API has them. */
  readonly mappings: Json | undefined;
}

export const EMPTY: Floating = { pool: "", address: "", ports: [], fixed: "", direction: "both", isMapped: false, mappings: undefined };

export function floatingOf(object: ConfigObject): Floating {
  return {
    pool: object.fq_name.slice(0, -1).join(":"), address: String(object["floating_ip_address"] ?? ""),
    ports: namesOf(object["virtual_machine_interface_refs"]), fixed: String(object["floating_ip_fixed_ip_address"] ?? ""),
    direction: String(object["floating_ip_traffic_direction"] ?? "both"), isMapped: object["floating_ip_port_mappings_enable"] === true,
    mappings: object["floating_ip_port_mappings"],
  };
}

function mappingsIn(value: Json | undefined): Document[] {
  return documentsOf(isDocument(value) ? value["port_mappings"] : undefined);
}

/** `TCP 80 → 8080` */
export function mappingsText({ isMapped, mappings }: Floating): string {
  if (!isMapped) return "all ports";
  return mappingsIn(mappings).map((each) => `${String(each["protocol"] ?? "")} ${String(each["src_port"] ?? "")} → ${String(each["dst_port"] ?? "")}`).join(", ") || "no port";
}

const isPort = (value: Json | undefined) => typeof value === "number" && Number.isInteger(value) && value > 0 && value < 65_536;

export function faultsOf(floating: Floating): string[] {
  const { pool, isMapped, mappings } = floating;
  const rows = mappingsIn(mappings);
  const outside = rows.map((each) => `${String(each["protocol"])} ${String(each["src_port"])}`);
  return [
    ...(pool === "" ? ["Choose the pool that the address is of"] : []),
    ...(isMapped && rows.some((each) => !isPort(each["src_port"]) || !isPort(each["dst_port"])) ? ["Each mapping has a port outside and one of the workload, 1 to 65535"] : []),
    ...(isMapped && new Set(outside).size < outside.length ? ["A port outside leads to one port of the workload only"] : []),
  ];
}

function membersOf({ ports, fixed, direction, isMapped, mappings }: Floating): Document {
  return {
    virtual_machine_interface_refs: ports.map((each) => ({ to: each.split(":") })),
    floating_ip_fixed_ip_address: ports.length === 1 ? fixed : "",
    floating_ip_traffic_direction: direction, floating_ip_port_mappings_enable: isMapped, floating_ip_port_mappings: mappings,
  };
}

/** Takes an address from a pool for a project. */
export function allocation(floating: Floating, project: readonly string[], name: string): Operation {
  const members = Object.entries(membersOf(floating)).filter(([, value]) => !isEmpty(value));
  const address = floating.address.trim();
  return {
    op: "create", type: "floating-ip",
    object: {
      fq_name: [...floating.pool.split(":"), name], parent_type: "floating-ip-pool", project_refs: [{ to: [...project] }],
      ...(address === "" ? {} : { floating_ip_address: address, floating_ip_address_family: address.includes(":") ? "v6" : "v4" }), ...Object.fromEntries(members),
    },
  };
}

/** The change of one that there is; none where it stays as it was. */
export function changeOf(floating: Floating, object: ConfigObject): Operation[] {
  const [before, after] = [membersOf(floatingOf(object)), membersOf(floating)];
  if (equal(before, after)) return [];
  const patch = mergePatch(before, after);
  if (Object.keys(patch).length === 0) return [];
  return [{ op: "patch", type: "floating-ip", uuid: object.uuid, object: patch, ...ifUnchanged(object) }];
}
