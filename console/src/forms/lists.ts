/** Members that are lists of structures, as tables: what a row shows of an element, and what an element is of a row. Pure. */

import { numberOf } from "./numbers";
import { serviceOf, serviceText, USUAL_SERVICES } from "./services";
import { prefixFault } from "./subnets";
import { type Document, isDocument, isList, type Json, textsOf } from "../model/document";

export interface ListColumn {
  readonly title: string;
  readonly width: number;
  readonly show: (element: Document) => string;
  /** The element with this text there; a text that means nothing stays in it for the check of the form to refuse. */
  readonly put: (element: Document, text: string) => Document;
  readonly fault?: (text: string) => string;
  /** Words to choose from; others may be typed unless it is closed. */
  readonly choices?: readonly string[];
  readonly isClosed?: boolean;
  /** Several of the choices, separated by commas in the text. */
  readonly isMany?: boolean;
  readonly hint?: string;
}

export interface ListSpec {
  readonly title: string;
  readonly element: string;
  /** Member of the value that holds the list. */
  readonly wrapper: string;
  readonly fresh: Document;
  /** What an empty list means. */
  readonly none: string;
  readonly isOrdered?: boolean;
  readonly columns: readonly ListColumn[];
}

export function elementsOf(spec: ListSpec, value: Json | undefined): Document[] {
  const held = isDocument(value) ? value[spec.wrapper] : undefined;
  return isList(held) ? held.map((each) => (isDocument(each) ? each : {})) : [];
}

export function valueOf(spec: ListSpec, elements: readonly Document[], before: Json | undefined): Json | undefined {
  if (elements.length > 0) return { ...(isDocument(before) ? before : {}), [spec.wrapper]: elements };
  return undefined;
}

/** The document at a way of members; one that is not there is empty. */
function at(element: Document, way: readonly string[]): Json | undefined {
  return way.reduce<Json | undefined>((held, name) => (isDocument(held) ? held[name] : undefined), element);
}

export function withAt(element: Document, [name = "", ...rest]: readonly string[], value: Json | undefined): Document {
  const held = element[name];
  const next = rest.length === 0 ? value : withAt(isDocument(held) ? held : {}, rest, value);
  if (next === undefined || (rest.length > 0 && isDocument(next) && Object.keys(next).length === 0)) {
    return Object.fromEntries(Object.entries(element).filter(([each]) => each !== name));
  }
  return { ...element, [name]: next };
}

type Rest = Partial<Omit<ListColumn, "title" | "width" | "show" | "put">>;

function text(title: string, way: string, width: number, rest: Rest = {}): ListColumn {
  const names = way.split(".");
  return { title, width, show: (each) => String(at(each, names) ?? ""), put: (each, given) => withAt(each, names, given.trim() || undefined), ...rest };
}

function number(title: string, way: string, width: number, rest: Rest = {}): ListColumn {
  const names = way.split(".");
  return { title, width, show: (each) => String(at(each, names) ?? ""), put: (each, given) => withAt(each, names, numberOf(given)), ...rest };
}

function split(given: string): string[] {
  return given.split(",").map((each) => each.trim()).filter(Boolean);
}

function texts(title: string, way: string, width: number, rest: Rest = {}): ListColumn {
  const names = way.split(".");
  return {
    title, width,
    show: (each) => textsOf(at(each, names)).join(", "),
    put: (each, given) => withAt(each, names, split(given).length === 0 ? undefined : split(given)),
    ...rest,
  };
}

/** `10.0.0.0/8 orlonger, 10.1.0.0/16` */
export function matchesText(prefixes: Json | undefined): string {
  return (isList(prefixes) ? prefixes.filter(isDocument) : []).map((each) => [each["prefix"], each["prefix_type"]].filter((one) => one !== undefined && one !== "exact").map(String).join(" ")).join(", ");
}

export function matchesOf(given: string): Document[] {
  return split(given).map((each): Document => {
    const [prefix = "", kind = "exact"] = each.split(/\s+/);
    return { prefix, prefix_type: kind };
  });
}

function matchesFault(given: string): string {
  for (const each of matchesOf(given)) {
    const fault = prefixFault(String(each["prefix"]));
    if (fault !== "") return `${String(each["prefix"])}: ${fault}`;
    if (!["exact", "longer", "orlonger"].includes(String(each["prefix_type"]))) return `${String(each["prefix_type"])}: exact, longer or orlonger`;
  }
  return "";
}

/** `member CRUD, reader R` */
export function rolesText(perms: Json | undefined): string {
  return (isList(perms) ? perms.filter(isDocument) : []).map((each) => `${String(each["role_name"] ?? "")} ${String(each["role_crud"] ?? "")}`.trim()).join(", ");
}

export function rolesOf(given: string): Document[] {
  return split(given).map((each): Document => {
    const [role_name = "", role_crud = ""] = each.split(/\s+/);
    return { role_name, role_crud };
  });
}

function rolesFault(given: string): string {
  if (rolesOf(given).length === 0) return "which role, and what it may do: member CRUD";
  const wrong = rolesOf(given).find((each) => !/^[CRUD]+$/.test(String(each["role_crud"])));
  return wrong === undefined ? "" : `${String(wrong["role_name"])}: letters of C, R, U, D are needed behind a role`;
}

const PREFIX_COLUMN: ListColumn = {
  title: "Prefix", width: 220, hint: "192.0.2.0/24", fault: prefixFault,
  show: ({ ip_prefix, ip_prefix_len }) => [ip_prefix, ip_prefix_len].filter((each) => each !== undefined).map(String).join("/"),
  put: (each, given) => {
    const [ip_prefix = "", length] = given.trim().split("/");
    return { ...withAt(each, ["ip_prefix_len"], undefined), ip_prefix, ...(length === undefined ? {} : { ip_prefix_len: numberOf(length) }) };
  },
};

const SERVICE_COLUMN: ListColumn = {
  title: "Service", width: 300, choices: USUAL_SERVICES, hint: "tcp 80-90",
  show: (each) => (typeof each["protocol"] === "string" && each["dst_ports"] === undefined && /\s/.test(each["protocol"]) ? each["protocol"] : serviceText(each)),
  put: (_, given) => serviceOf(given) ?? { protocol: given },
  fault: (given) => (serviceOf(given) === undefined ? "a service such as any, icmp, tcp 80 or udp 53 from 1024-65535" : ""),
};

const ROUTES: ListSpec = {
  title: "Routes", element: "route", wrapper: "route", fresh: { prefix: "", next_hop_type: "ip-address" },
  none: "No routes yet. A route sends a prefix to an address in the network, or to a service instance.",
  columns: [
    text("Prefix", "prefix", 190, { hint: "10.0.0.0/8", fault: prefixFault }),
    text("Next hop is", "next_hop_type", 150, { choices: ["ip-address", "service-instance"], isClosed: true }),
    text("Next hop", "next_hop", 230, { hint: "10.0.0.5" }),
    texts("Communities", "community_attributes.community_attribute", 220, { hint: "64512:7, no-export" }),
  ],
};

const SOURCES = ["xmpp", "service-chain", "interface", "interface-static", "service-interface", "bgpaas", "bgp", "static", "aggregate", "direct", "pim", "evpn", "ospf", "ospf3"];

const TERMS: ListSpec = {
  title: "Terms", element: "term", wrapper: "term", isOrdered: true,
  fresh: { term_match_condition: {}, term_action_list: { action: "accept" } },
  none: "No terms: routes stay as they are. A term says which routes it is about, what it changes of them, and whether they are taken.",
  columns: [
    texts("Routes from", "term_match_condition.protocol", 130, { choices: SOURCES, isMany: true, hint: "anywhere" }),
    {
      title: "Prefixes", width: 185, hint: "any; or 10.0.0.0/8 orlonger", fault: matchesFault,
      show: (each) => matchesText(at(each, ["term_match_condition", "prefix"])),
      put: (each, given) => withAt(each, ["term_match_condition", "prefix"], matchesOf(given).length === 0 ? undefined : matchesOf(given)),
    },
    texts("Communities", "term_match_condition.community_list", 105, { hint: "any" }),
    number("Preference :=", "term_action_list.update.local_pref", 100),
    number("MED :=", "term_action_list.update.med", 70),
    texts("Add communities", "term_action_list.update.community.add.community", 125),
    text("Then", "term_action_list.action", 84, { choices: ["accept", "reject", "next"], isClosed: true }),
  ],
};

function marks(title: string, what: string): ListSpec {
  return {
    title, element: "mark", wrapper: "qos_id_forwarding_class_pair", fresh: {},
    none: `No entries: every ${what} gets the default forwarding class.`,
    columns: [number(what, "key", 160), number("Forwarding class", "forwarding_class_id", 160)],
  };
}

/** By type and member. */
export const LISTS: Readonly<Record<string, ListSpec>> = {
  "service-group service_group_firewall_service_list": {
    title: "Services", element: "service", wrapper: "firewall_service", fresh: { protocol: "" },
    none: "No services yet. Name each as one says it: tcp 80, udp 5000-5100, icmp.", columns: [SERVICE_COLUMN],
  },
  "address-group address_group_prefix": {
    title: "Prefixes", element: "prefix", wrapper: "subnet", fresh: { ip_prefix: "" },
    none: "No prefixes yet. A group without any means nobody.", columns: [PREFIX_COLUMN],
  },
  "route-table routes": ROUTES,
  "interface-route-table interface_route_table_routes": { ...ROUTES, none: "No routes yet. Each is a prefix that lives behind the ports that use the table." },
  "routing-policy routing_policy_entries": TERMS,
  "floating-ip floating_ip_port_mappings": {
    title: "Port mappings", element: "mapping", wrapper: "port_mappings", fresh: { protocol: "TCP" },
    none: "No mappings: with port mappings on, nothing comes in. Without them the address belongs to its port as a whole.",
    columns: [text("Protocol", "protocol", 110, { choices: ["TCP", "UDP"] }), number("Port outside", "src_port", 130), number("Port of the workload", "dst_port", 160)],
  },
  "api-access-list api_access_list_entries": {
    title: "Rules", element: "rule", wrapper: "rbac_rule", isOrdered: true, fresh: { rule_object: "*", rule_field: "", rule_perms: [{ role_name: "member", role_crud: "R" }] },
    none: "No rules: nobody but administrators may do anything by this list.",
    columns: [
      text("Object type", "rule_object", 230, { hint: "virtual-network, or * for all" }),
      { ...text("Field", "rule_field", 160, { hint: "all" }), put: (each, given) => ({ ...each, rule_field: given.trim() }) },
      { title: "Roles", width: 340, hint: "member CRUD, reader R", fault: rolesFault, show: (each) => rolesText(each["rule_perms"]), put: (each, given) => ({ ...each, rule_perms: rolesOf(given) }) },
    ],
  },
  "qos-config dscp_entries": marks("By DSCP", "DSCP"),
  "qos-config vlan_priority_entries": marks("By 802.1p priority", "802.1p"),
  "qos-config mpls_exp_entries": marks("By MPLS traffic class", "traffic class"),
};
