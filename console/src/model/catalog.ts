/** The data model as the server knows it: what types there are and what their values may be. */

export type Base = "string" | "integer" | "boolean" | "compound";

/** Who else than the object's owner has to agree to a value (ADR 0505). */
export interface Guard {
  readonly by: "administrators" | "network";
  /** Of a map: the keys it is about. */
  readonly keys?: readonly string[];
  /** Where this sibling is given, the value is anybody's. */
  readonly beside?: string;
}

export interface Field {
  readonly type: string;
  readonly base: Base;
  readonly list?: boolean;
  readonly maxItems?: number;
  readonly presence?: "required" | "system-only" | "admin-only" | "exclusive";
  readonly operations?: string;
  readonly default?: string | number | boolean;
  readonly enum?: readonly string[];
  readonly minimum?: number;
  readonly maximum?: number;
  /** Enforced by the server. */
  readonly pattern?: string;
  /** Advice only. */
  readonly hint?: string;
  readonly deprecated?: string;
  readonly secret?: boolean;
  readonly guard?: Guard;
  readonly description?: string;
  /** A list or map property: `wrapper` is the one field that holds its elements. */
  readonly kind?: "list" | "map";
  readonly wrapper?: string;
  readonly mapKey?: string;
}

export interface Reference {
  readonly target: string;
  readonly attr?: string;
  readonly presence?: NonNullable<Field["presence"]>;
  readonly operations?: string;
  readonly guard?: Guard;
  readonly description?: string;
}

export interface ObjectType {
  readonly guard?: Guard;
  readonly family: string;
  readonly description?: string;
  readonly origin?: "compiled";
  readonly short?: readonly string[];
  readonly parents: readonly string[];
  readonly children?: Readonly<Record<string, string>>;
  readonly backReferences?: Readonly<Record<string, string>>;
  readonly references?: Readonly<Record<string, Reference>>;
  readonly properties: Readonly<Record<string, Field>>;
}

export interface ComplexType {
  readonly description?: string;
  readonly fields: Readonly<Record<string, Field>>;
}

export interface Catalog {
  readonly families: Readonly<Record<string, string>>;
  readonly objects: Readonly<Record<string, ObjectType>>;
  readonly types: Readonly<Record<string, ComplexType>>;
}

export const ROOT = "config-root";

/** What every type has; forms show it after what is the type's own. */
export const COMMON: ReadonlySet<string> = new Set(["id_perms", "perms2", "annotations", "display_name", "tag_refs"]);

export function objectType(catalog: Catalog, name: string): ObjectType {
  const found = catalog.objects[name];
  if (found === undefined) throw new Error(`There is no object type ${name}`);
  return found;
}

/** Names that are not read as they are written. */
const TITLES: Readonly<Record<string, string>> = { "bgp-as-a-service": "BGP as a service", loadbalancer: "Load balancer" };

/** `virtual-machine-interface` -> `Virtual machine interface`; known abbreviations stay capital. */
export function typeTitle(name: string): string {
  return TITLES[name] ?? sentence(name.split("-"));
}

/** Types whose names are of many already, or of something that is not counted. */
const UNCOUNTED: ReadonlySet<string> = new Set(["config-properties", "device-chassis", "hardware", "bgp-as-a-service", "policy-management"]);

/** `network-policy` -> `Network policies`: of a list. */
export function typesTitle(name: string): string {
  if (name === "virtual-DNS") return "Virtual DNS servers";
  const title = typeTitle(name);
  if (UNCOUNTED.has(name)) return title;
  if (/[^aeiou]y$/.test(title)) return `${title.slice(0, -1)}ies`;
  return `${title}${/(s|x|ch|sh)$/.test(title) ? "es" : "s"}`;
}

/** `virtual_network_refs` -> `Virtual network`, `mtu` -> `MTU`; without the type's own name before it. */
/** Of members whose name says less than what they are. */
const FIELD_TITLES: Readonly<Record<string, string>> = { network_policy_entries: "Rules", security_group_entries: "Rules" };

export function fieldTitle(name: string, typeName = ""): string {
  const title = FIELD_TITLES[name];
  if (title !== undefined) return title;
  const prefix = `${typeName.replaceAll("-", "_")}_`.toLowerCase();
  const isProperty = !name.endsWith("_refs") && name.toLowerCase().startsWith(prefix) && name.length > prefix.length;
  return sentence((isProperty ? name.slice(prefix.length) : name.replace(/_refs$/, "")).split("_"));
}

const MIXED: Readonly<Record<string, string>> = { qos: "QoS" };
const CAPITALS: ReadonlySet<string> = new Set([
  "ip", "ipam", "mac", "dns", "dhcp", "bgp", "bgpaas", "mtu", "vxlan", "vlan", "uuid", "id", "tcp", "udp", "vn",
  "acl", "as", "asn", "vpg", "vpn", "l2", "l3", "ttl", "url", "snmp", "evpn", "mpls", "ecmp", "slo", "api", "vrf", "pbb", "rpf", "fc",
  "igmp", "mld", "dscp", "lacp", "arp", "sla", "nat", "pat", "e2", "bms", "db", "crud", "rbac", "vip", "ha", "lb", "cpu", "bgpvpn",
]);

function sentence(words: readonly string[]): string {
  const text = words.map((word) => (MIXED[word.toLowerCase()] ?? (CAPITALS.has(word.toLowerCase()) ? word.toUpperCase() : word))).join(" ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** A title within a sentence: `Network IPAM` -> `network IPAM`, `DNS record` stays. */
export function midSentence(title: string): string {
  const [first = ""] = title.split(" ");
  return first === first.toUpperCase() || Object.values(MIXED).includes(first) ? title : `${title.charAt(0).toLowerCase()}${title.slice(1)}`;
}

export function canWrite(operations: string | undefined, isNew: boolean): boolean {
  return (operations ?? "CRUD").includes(isNew ? "C" : "U");
}

/** Whether only administrators write the value; `held` is what stands beside it. */
export function isForAdministrators(guard: Guard | undefined, held: Readonly<Record<string, unknown>> = {}): boolean {
  if (guard?.by !== "administrators" || guard.keys !== undefined) return false;
  const beside = guard.beside === undefined ? undefined : held[guard.beside];
  return beside === undefined || beside === null || beside === "";
}

/** Types by family, in the model's order; what the compiler writes comes in the families too. */
export function typesByFamily(catalog: Catalog): { family: string; title: string; types: string[] }[] {
  return Object.entries(catalog.families)
    .map(([family, title]) => ({
      family,
      title,
      types: Object.keys(catalog.objects)
        .filter((name) => catalog.objects[name]?.family === family)
        .toSorted(),
    }))
    .filter((group) => group.types.length > 0);
}
