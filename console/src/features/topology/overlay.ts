/** The overlay as a picture's parts: networks by project, the policies and the routers that join them. Pure. */

import { type ConfigObject, isDocument, isList, type Json, lastName, textsOf } from "../../model/document";

export interface Network {
  readonly uuid: string;
  /** With colons, as rules name it. */
  readonly name: string;
  readonly project: string;
  readonly subnets: readonly string[];
  readonly policies: readonly string[];
}

export interface Join {
  readonly key: string;
  readonly from: Network;
  readonly to: Network;
  readonly policy: string;
  readonly policyUuid: string;
  readonly passes: boolean;
  readonly denies: boolean;
  readonly services: readonly string[];
  /** The network that does not have the policy: nothing passes until it has. */
  readonly missingAt: string;
}

/** A logical router of a project that is shown. */
export interface OverlayRouter {
  readonly uuid: string;
  readonly name: string;
  readonly project: string;
  readonly isExtended: boolean;
}

/** What a router joins: a network that has one of its ports, or the one outside. */
export interface Leg {
  readonly key: string;
  readonly router: OverlayRouter;
  readonly network: Network;
  readonly isOutside: boolean;
}

export interface Overlay {
  readonly projects: readonly string[];
  readonly networks: readonly Network[];
  readonly joins: readonly Join[];
  readonly routers: readonly OverlayRouter[];
  readonly legs: readonly Leg[];
  readonly leftOut: number;
}

export const SHOWN_COUNT = 120;
const JOINS_COUNT = 400;
/** Made by the system, and joined by no policy. */
const SYSTEM: ReadonlySet<string> = new Set(["ip-fabric", "__link_local__", "dci-network", "default-virtual-network"]);

export function isSystem(network: ConfigObject): boolean {
  return network.fq_name[1] === "default-project" && SYSTEM.has(lastName(network.fq_name));
}

export function projectOf(network: ConfigObject): string {
  return network.fq_name.slice(0, -1).join(":");
}

function referred(value: Json | undefined): string[] {
  return (isList(value) ? value.filter(isDocument) : []).map((each) => textsOf(each["to"]).join(":"));
}

export function subnetsOf(network: ConfigObject): string[] {
  const refs = network["network_ipam_refs"];
  return (isList(refs) ? refs.filter(isDocument) : []).flatMap((ref) => {
    const attr = ref["attr"];
    const subnets = isDocument(attr) && isList(attr["ipam_subnets"]) ? attr["ipam_subnets"].filter(isDocument) : [];
    return subnets.map((each) => {
      const subnet = each["subnet"];
      return isDocument(subnet) ? `${String(subnet["ip_prefix"])}/${String(subnet["ip_prefix_len"])}` : "";
    });
  }).filter(Boolean);
}

/** `joined`: by a router's uuid, the names of the networks that its ports are in. */
export function overlayOf(
  networks: readonly ConfigObject[], policies: readonly ConfigObject[], project: string,
  routers: readonly ConfigObject[] = [], joined: ReadonlyMap<string, readonly string[]> = new Map(),
): Overlay {
  const wanted = networks.filter((each) => (project === "" ? !isSystem(each) : projectOf(each) === project));
  const shown = wanted.slice(0, SHOWN_COUNT);
  const projects = [...new Set(shown.map(projectOf))].toSorted();
  const drawn = shown.map((each): Network => ({
    uuid: each.uuid, name: each.fq_name.join(":"), project: projectOf(each), subnets: subnetsOf(each), policies: referred(each["network_policy_refs"]),
  }));
  const own = routers.filter((each) => projects.includes(projectOf(each)));
  const drawnRouters = own.map((each): OverlayRouter => ({
    uuid: each.uuid, name: each.fq_name.join(":"), project: projectOf(each), isExtended: each["logical_router_type"] === "vxlan-routing",
  }));
  return {
    projects,
    networks: drawn,
    joins: joinsOf(drawn, policies),
    routers: drawnRouters,
    legs: legsOf(own, drawnRouters, drawn, joined),
    leftOut: wanted.length - shown.length,
  };
}

function legsOf(
  objects: readonly ConfigObject[], routers: readonly OverlayRouter[], networks: readonly Network[], joined: ReadonlyMap<string, readonly string[]>,
): Leg[] {
  const byName = new Map(networks.map((each) => [each.name, each]));
  return objects.flatMap((object) => {
    const router = routers.find((each) => each.uuid === object.uuid);
    if (router === undefined) return [];
    const outside = object["logical_router_type"] === "vxlan-routing" ? [] : referred(object["virtual_network_refs"]);
    const inside = (joined.get(object.uuid) ?? []).filter((name) => !outside.includes(name));
    return [...new Set([...inside, ...outside])].flatMap((name): Leg[] => {
      const network = byName.get(name);
      return network === undefined ? [] : [{ key: `${router.uuid} ${network.uuid}`, router, network, isOutside: outside.includes(name) }];
    });
  });
}

function joinsOf(networks: readonly Network[], policies: readonly ConfigObject[]): Join[] {
  const found = new Map<string, Join>();
  const byName = new Map(networks.map((each) => [each.name, each]));
  for (const policy of policies) {
    const name = policy.fq_name.join(":");
    const attached = networks.filter((each) => each.policies.includes(name));
    for (const rule of rulesOf(policy)) {
      for (const from of endsOf(rule["src_addresses"], attached, byName)) {
        for (const to of endsOf(rule["dst_addresses"], attached, byName)) {
          if (from !== to && found.size < JOINS_COUNT) note(found, from, to, policy, rule);
        }
      }
    }
  }
  return [...found.values()];
}

type Rule = Readonly<Record<string, Json | undefined>>;

function rulesOf(policy: ConfigObject): Rule[] {
  const entries = policy["network_policy_entries"];
  return isDocument(entries) && isList(entries["policy_rule"]) ? entries["policy_rule"].filter(isDocument) : [];
}

function endsOf(value: Json | undefined, attached: readonly Network[], byName: ReadonlyMap<string, Network>): Network[] {
  return (isList(value) ? value.filter(isDocument) : []).flatMap((address) => {
    const name = address["virtual_network"];
    if (name === "any" || name === "local") return [...attached];
    const found = typeof name === "string" ? byName.get(name) : undefined;
    return found === undefined ? [] : [found];
  });
}

function note(found: Map<string, Join>, one: Network, other: Network, policy: ConfigObject, rule: Rule): void {
  const name = policy.fq_name.join(":");
  const [from, to] = one.name < other.name ? [one, other] : [other, one];
  const key = `${from.uuid} ${to.uuid} ${policy.uuid}`;
  const lacking = [from, to].find((each) => !each.policies.includes(name));
  const before = found.get(key);
  const actions = isDocument(rule["action_list"]) ? rule["action_list"] : {};
  const isDeny = actions["simple_action"] === "deny";
  found.set(key, {
    key, from, to, policy: name, policyUuid: policy.uuid,
    passes: (before?.passes ?? false) || !isDeny,
    denies: (before?.denies ?? false) || isDeny,
    services: [...new Set([...(before?.services ?? []), ...textsOf(actions["apply_service"])])],
    missingAt: lacking === undefined ? "" : lacking.name,
  });
}
