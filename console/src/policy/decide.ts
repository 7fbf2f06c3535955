/** What policy by tags decides about one session, as hosts do: first match of the sets that hold for an end. Pure. */

import { type ConfigObject, type Document, isDocument, isList, type Json, lastName, textsOf } from "../model/document";
import { isIn } from "../model/prefix";
import { enforcedName, matchOf, type Placing, type Policy, rulesOf, scopeOf } from "./firewall";

export interface End {
  /** With colons. */
  readonly project: string;
  readonly network: string;
  readonly address: string;
  /** Full names: `tier=web` of everybody, `domain:project:tier=web` of a project. */
  readonly tags: readonly string[];
}

export interface Session {
  readonly client: End;
  readonly server: End;
  readonly protocol: string;
  /** Of the server; 0: the protocol has none. */
  readonly port: number;
}

export interface Standing {
  /** Sets that the end obeys, in order. */
  readonly sets: readonly string[];
  readonly passes: boolean;
  /** The rule that decides; undefined when none does, which refuses. */
  readonly rule: (Placing & { readonly set: string }) | undefined;
}

/** By project, the sets it applies to all of its ports. */
export type Applied = ReadonlyMap<string, readonly string[]>;

export function namesIn(references: Json | undefined): string[] {
  return (isList(references) ? references.filter(isDocument) : []).map((each) => textsOf(each["to"]).join(":"));
}

export function kindOf(tag: string): string {
  return lastName(tag.split(":")).split("=")[0] ?? "";
}

/** Tags that an end has: of each kind those of the most particular holder that has any, labels of all.
 *
 * `holders` are lists of full names, the most particular first (port, machine, network, project); `told` is what a host
 * said a while ago, for kinds that none of them has (those of the host itself).
 */
export function tagsOf(holders: readonly (readonly string[])[], told: readonly string[]): string[] {
  const found: string[] = [];
  for (const holder of [...holders, told]) {
    const kinds = new Set(found.map(kindOf));
    found.push(...holder.filter((tag) => !found.includes(tag) && (kindOf(tag) === "label" || !kinds.has(kindOf(tag)))));
  }
  return found;
}

/** Sets with rules that hold for an end: everybody's, its project's, its applications'; global ones first, then by name. */
export function setsOf(policy: Policy, applied: Applied, end: End): string[] {
  const sets = [...policy["application-policy-set"]].map(([name, object]) => ({ name, object, isOfProject: scopeOf(name).parent_type === "project" }));
  const some = (is: (name: string, object: ConfigObject) => boolean) =>
    sets.filter(({ name, object }) => is(name, object))
      .toSorted((one, other) => Number(one.isOfProject) - Number(other.isOfProject) || (one.name < other.name ? -1 : 1))
      .map(({ name }) => name);
  const applications = end.tags.filter((tag) => kindOf(tag) === "application");
  const listed = [
    ...some((_name, object) => namesIn(object["global_vrouter_config_refs"]).length > 0),
    ...some((name) => (applied.get(end.project) ?? []).includes(name)),
    ...some((_name, object) => namesIn(object["tag_refs"]).some((tag) => applications.includes(tag))),
  ];
  return [...new Set(listed)].filter((name) => rulesOf(policy, name).length > 0);
}

/** What the sets of an end say of a session; null when no set holds for it. */
export function standingOf(policy: Policy, applied: Applied, session: Session, side: "client" | "server"): Standing | null {
  const sets = setsOf(policy, applied, session[side]);
  if (sets.length === 0) return null;
  for (const set of sets) {
    for (const placing of rulesOf(policy, set)) {
      const rule = policy["firewall-rule"].get(placing.rule);
      if (rule === undefined || !fits(policy, placing.rule, rule, session)) continue;
      return { sets, passes: !isDeny(rule), rule: { ...placing, set } };
    }
  }
  return { sets, passes: false, rule: undefined };
}

function isDeny(rule: Document): boolean {
  return isDocument(rule["action_list"]) && rule["action_list"]["simple_action"] === "deny";
}

function fits(policy: Policy, name: string, rule: Document, { client, server, protocol, port }: Session): boolean {
  const direction = String(rule["direction"] ?? "<>");
  const { scope } = scopeOf(name);
  const isFrom = (first: Json | undefined, second: Json | undefined) =>
    isEnd(policy, scope.join(":"), first, client) && isEnd(policy, scope.join(":"), second, server);
  const isStraight = direction.includes(">") && isFrom(rule["endpoint_1"], rule["endpoint_2"]);
  const isTurned = direction.includes("<") && isFrom(rule["endpoint_2"], rule["endpoint_1"]);
  if (!(isStraight || isTurned)) return false;
  const alike = matchOf(rule).every((kind) => client.tags.some((tag) => kindOf(tag) === kind && server.tags.includes(tag)));
  return alike && servicesOf(policy, rule).some((service) => isService(service, protocol, port));
}

function isEnd(policy: Policy, scope: string, end: Json | undefined, at: End): boolean {
  if (!isDocument(end) || end["any"] === true) return true;
  const tags = textsOf(end["tags"]);
  if (tags.length > 0) return tags.every((tag) => at.tags.includes(tag.startsWith("global:") ? tag.slice("global:".length) : `${scope}:${tag}`));
  const group = end["address_group"];
  if (typeof group === "string" && group !== "") {
    const held = policy["address-group"].get(enforcedName(group.split(":")))?.["address_group_prefix"];
    const prefixes = isDocument(held) && isList(held["subnet"]) ? held["subnet"] : [];
    return prefixes.some((prefix) => isWithin(prefix, at.address));
  }
  const network = end["virtual_network"];
  if (typeof network === "string" && network !== "") return network === "any" || network === at.network;
  return end["subnet"] === undefined || end["subnet"] === null || isWithin(end["subnet"], at.address);
}

function isWithin(subnet: Json, address: string): boolean {
  return isDocument(subnet) && isIn(address, `${String(subnet["ip_prefix"])}/${String(subnet["ip_prefix_len"])}`);
}

function servicesOf(policy: Policy, rule: Document): readonly Json[] {
  const groups = namesIn(rule["service_group_refs"]);
  if (groups.length === 0) return [rule["service"] ?? {}];
  return groups.flatMap((name) => {
    const held = policy["service-group"].get(enforcedName(name.split(":")))?.["service_group_firewall_service_list"];
    return isDocument(held) && isList(held["firewall_service"]) ? held["firewall_service"] : [];
  });
}

const NUMBERS: Readonly<Record<string, string>> = { "1": "icmp", "6": "tcp", "17": "udp", "58": "icmp6", "132": "sctp", "ipv6-icmp": "icmp6" };

function isService(service: Json, protocol: string, port: number): boolean {
  if (!isDocument(service)) return false;
  const wanted = String(service["protocol"] ?? "any").toLowerCase();
  const ports = isDocument(service["dst_ports"]) ? service["dst_ports"] : {};
  const [start, end] = [Number(ports["start_port"] ?? 0), Number(ports["end_port"] ?? 65535)];
  const isPort = port === 0 || (start <= port && port <= end) || end === -1;
  return isPort && (wanted === "any" || (NUMBERS[wanted] ?? wanted) === protocol);
}
