/** The overlay as a picture's parts: networks by project, the policies and the routers that join them. Pure. */

import { type ConfigObject, isDocument, isList, type Json, lastName, textsOf } from "../../model/document";

export interface Network {
  readonly uuid: string;
  /** With colons, as rules name it. */
  readonly name: string;
  readonly project: string;
  readonly subnets: readonly string[];
  readonly policies: readonly string[];
  readonly x: number;
  readonly y: number;
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

/** A logical router: below the networks of its project. */
export interface OverlayRouter {
  readonly uuid: string;
  readonly name: string;
  readonly project: string;
  readonly isExtended: boolean;
  readonly x: number;
  readonly y: number;
}

/** What a router joins: a network that has one of its ports, or the one outside. */
export interface Leg {
  readonly key: string;
  readonly router: OverlayRouter;
  readonly network: Network;
  readonly isOutside: boolean;
}

export interface Overlay {
  readonly projects: readonly { readonly name: string; readonly x: number; readonly width: number; readonly height: number }[];
  readonly networks: readonly Network[];
  readonly joins: readonly Join[];
  readonly routers: readonly OverlayRouter[];
  readonly legs: readonly Leg[];
  readonly leftOut: number;
  readonly width: number;
  readonly height: number;
}

export const CARD = { width: 200, height: 66 } as const;
const GAP_PX = 26;
const GUTTER_PX = 170;
const NARROW_PX = 70;
const HEAD_PX = 40;
const MARGIN_PX = 16;
export const SHOWN_COUNT = 120;
const JOINS_COUNT = 400;
/** Room beside networks for the lines to their routers. */
const LEGS_PX = 54;
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
  const names = [...new Set(shown.map(projectOf))].toSorted();
  const own = routers.filter((each) => names.includes(projectOf(each)));
  const routed = new Set(own.map(projectOf));
  // Bows need room beside their column.
  const attached = new Set(shown.filter((each) => referred(each["network_policy_refs"]).length > 0).map(projectOf));
  const lefts = new Map<string, number>();
  let width = 0;
  const roomOf = (name: string) => (routed.has(name) ? LEGS_PX : 0);
  for (const name of names) {
    lefts.set(name, width);
    width += roomOf(name) + CARD.width + (attached.has(name) ? GUTTER_PX : NARROW_PX);
  }
  const place = (name: string, row: number) => ({
    x: MARGIN_PX + roomOf(name) + (lefts.get(name) ?? 0),
    y: HEAD_PX + MARGIN_PX + row * (CARD.height + GAP_PX),
  });
  const placed = names.flatMap((name) =>
    shown
      .filter((each) => projectOf(each) === name)
      .map((each, row): Network => ({
        uuid: each.uuid,
        name: each.fq_name.join(":"),
        project: name,
        subnets: subnetsOf(each),
        policies: referred(each["network_policy_refs"]),
        ...place(name, row),
      })),
  );
  const placedRouters = names.flatMap((name) => {
    const above = placed.filter((each) => each.project === name).length;
    return own.filter((each) => projectOf(each) === name).map((each, row): OverlayRouter => ({
      uuid: each.uuid, name: each.fq_name.join(":"), project: name, isExtended: each["logical_router_type"] === "vxlan-routing", ...place(name, above + row),
    }));
  });
  const bottomOf = (name: string) => Math.max(...[...placed, ...placedRouters].filter((each) => each.project === name).map((each) => each.y));
  const lowest = Math.max(0, ...names.map(bottomOf));
  return {
    projects: names.map((name) => ({
      name,
      x: lefts.get(name) ?? 0,
      width: roomOf(name) + CARD.width + 2 * MARGIN_PX,
      height: bottomOf(name) + CARD.height + MARGIN_PX,
    })),
    networks: placed,
    joins: joinsOf(placed, policies),
    routers: placedRouters,
    legs: legsOf(own, placedRouters, placed, joined),
    leftOut: wanted.length - shown.length,
    width: width + MARGIN_PX,
    height: lowest + CARD.height + 2 * MARGIN_PX,
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

/** The line from a router to a network: a bow on the left of their column, or from one column to another. */
export function legLineOf({ router, network }: Leg): string {
  const middle = CARD.height / 2;
  const [y0, y1] = [router.y + middle, network.y + middle];
  if (router.x === network.x) {
    const reach = Math.min(LEGS_PX + 6, 24 + ((y0 - y1) / (CARD.height + GAP_PX)) * 9);
    return `M${router.x} ${y0} C${router.x - reach} ${y0} ${router.x - reach} ${y1} ${router.x} ${y1}`;
  }
  const isRight = network.x > router.x;
  const [x0, x1] = isRight ? [router.x + CARD.width, network.x] : [router.x, network.x + CARD.width];
  return `M${x0} ${y0} C${(x0 + x1) / 2} ${y0} ${(x0 + x1) / 2} ${y1} ${x1} ${y1}`;
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

/** The line of a join: a bow beside its column, or from one column to another. */
export function lineOf({ from, to }: Join, lane: number): { readonly path: string; readonly x: number; readonly y: number } {
  const middle = CARD.height / 2;
  if (from.x === to.x) {
    const [top, bottom] = from.y < to.y ? [from, to] : [to, from];
    const [x, y0, y1] = [from.x + CARD.width, top.y + middle + 6, bottom.y + middle - 6];
    const rows = (bottom.y - top.y) / (CARD.height + GAP_PX);
    const reach = Math.min(110, 28 + 14 * rows + 16 * lane);
    return { path: `M${x} ${y0} C${x + reach} ${y0} ${x + reach} ${y1} ${x} ${y1}`, x: x + reach * 0.75 + 6, y: (y0 + y1) / 2 };
  }
  const [left, right] = from.x < to.x ? [from, to] : [to, from];
  const [x0, y0, x1, y1] = [left.x + CARD.width, left.y + middle, right.x, right.y + middle];
  const bend = (x1 - x0) / 2;
  return { path: `M${x0} ${y0} C${x0 + bend} ${y0} ${x1 - bend} ${y1} ${x1} ${y1}`, x: x0 + bend - 40, y: (y0 + y1) / 2 - 8 + 14 * lane };
}
