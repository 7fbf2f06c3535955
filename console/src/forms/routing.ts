/** Tables of routing: static routes, terms of routing policies, and what policies are attached to, in order. Pure. */

import { at, either, type ListSpec, number, numbers, split, target, text, texts, withAt } from "./columns";
import { prefixFault } from "./subnets";
import { numberOf as addressNumber } from "../model/prefix";
import { type Document, isDocument, isEmpty, isList, type Json, textsOf } from "../model/document";

const NAMED_COMMUNITIES = ["no-export", "no-advertise", "no-export-subconfed", "no-reoriginate", "accept-own", "llgr-stale", "no-llgr"] as const;

function isPair(given: string, highest: number): boolean {
  const match = /^(\d{1,10}):(\d{1,10})$/.exec(given);
  return match !== null && Number(match[1]) <= highest && Number(match[2]) <= highest;
}

/** What is no community that a route can carry. */
export function communitiesFault(given: string): string {
  const wrong = split(given).find((each) => !isPair(each, 0xffff) && !NAMED_COMMUNITIES.some((name) => name === each));
  return wrong === undefined ? "" : `${wrong}: a community such as 64512:7, or ${NAMED_COMMUNITIES.slice(0, 2).join(", ")}`;
}

function isTarget(given: string): boolean {
  const [kind = "", administrator = "", assigned = "", ...more] = given.split(":");
  const isAddress = administrator.includes(".") && addressNumber(administrator) !== undefined;
  const highest = isAddress || Number(administrator) > 0xffff ? 0xffff : 0xffff_ffff;
  const isNumbered = isPair(`${isAddress ? 0 : administrator}:${assigned}`, 0xffff_ffff) && Number(assigned) <= highest;
  return ["target", "rt", "origin", "soo"].includes(kind) && isNumbered && more.length === 0;
}

/** `target:64512:7`, `origin:192.0.2.1:7`, or sixteen hexadecimal digits. */
export function extendedFault(given: string): string {
  const wrong = split(given).find((each) => !isTarget(each) && !/^(0x)?[0-9a-f]{16}$/i.test(each));
  return wrong === undefined ? "" : `${wrong}: such as target:64512:7, origin:64512:7, or sixteen hexadecimal digits`;
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

/** Of a kind of comparison: what has to follow it, and what that looks like. */
const FILTERS: Readonly<Record<string, readonly [form: RegExp, hint: string]>> = {
  exact: [/^$/, "nothing more"], longer: [/^$/, "nothing more"], orlonger: [/^$/, "nothing more"],
  upto: [/^\/\d{1,3}$/, "a length such as /16"], "prefix-length-range": [/^\/\d{1,3}-\/\d{1,3}$/, "two lengths such as /16-/24"],
  through: [/^[\da-f.:]+\/\d{1,3}$/i, "a prefix such as 10.0.0.0/16"],
};

/** `10.0.0.0/8 upto /16, 10.0.0.0/8 prefix-length-range /16-/24` */
export function filterText(filter: Json | undefined): string {
  const held = isDocument(filter) ? filter["route_filter_properties"] : undefined;
  return (isList(held) ? held.filter(isDocument) : []).map(({ route, route_type: kind, route_type_value: value }) => [route, kind === "exact" ? undefined : kind, value].filter((each) => each !== undefined && each !== null && each !== "").map(String).join(" ")).join(", ");
}

export function filterOf(given: string): Document | undefined {
  const parts = split(given).map((each): Document => {
    const [route = "", route_type = "exact", ...value] = each.split(/\s+/);
    return { route, route_type, ...(value.length === 0 ? {} : { route_type_value: value.join(" ") }) };
  });
  return parts.length === 0 ? undefined : { route_filter_properties: parts };
}

function filterFault(given: string): string {
  for (const part of split(given)) {
    const [route = "", kind = "exact", ...value] = part.split(/\s+/);
    const fault = prefixFault(route);
    if (fault !== "") return `${route}: ${fault}`;
    const form = FILTERS[kind];
    if (form === undefined) return `${kind}: ${Object.keys(FILTERS).join(", ")}`;
    if (!form[0].test(value.join(" "))) return `${part}: after ${kind} comes ${form[1]}`;
  }
  return "";
}

const COMMUNITIES = texts("Communities", "community_attributes.community_attribute", 220, { hint: "64512:7, no-export", fault: communitiesFault });
const TO_SERVICE = "service-instance";

function hopFault(given: string, route: Document): string {
  if (given === "") return "where to?";
  if (route["next_hop_type"] === TO_SERVICE) return given.split(":").length === 3 ? "" : "a service instance as domain:project:name";
  if (addressNumber(given) === undefined) return "an address such as 10.0.0.5";
  const isOther = given.includes(":") !== String(route["prefix"] ?? "").includes(":");
  return isOther ? "the prefix is of the other address family" : "";
}

export const ROUTES: ListSpec = {
  title: "Routes", element: "route", wrapper: "route", fresh: { prefix: "", next_hop_type: "ip-address" },
  none: "No routes yet. A route sends a prefix to an address in the network, or to a service instance.",
  columns: [
    text("Prefix", "prefix", 190, { hint: "10.0.0.0/8", fault: prefixFault }),
    text("Next hop is", "next_hop_type", 150, { choices: ["ip-address", TO_SERVICE], isClosed: true }),
    text("Next hop", "next_hop", 270, { hint: "10.0.0.5", fault: hopFault, offers: (route) => (route["next_hop_type"] === TO_SERVICE ? "service-instance" : "") }),
    COMMUNITIES,
  ],
};

export const INTERFACE_ROUTES: ListSpec = {
  title: "Routes", element: "route", wrapper: "route", fresh: { prefix: "" },
  none: "No routes yet. Each is a prefix that lives behind the ports that use the table.",
  columns: [text("Prefix", "prefix", 220, { hint: "10.0.0.0/8", fault: prefixFault }), COMMUNITIES],
  beside: (route) => (isEmpty(route["next_hop"]) ? [] : ["a next hop, which is the port itself"]),
};

const SOURCES = ["xmpp", "service-chain", "interface", "interface-static", "service-interface", "bgpaas", "bgp", "static", "aggregate", "direct", "pim", "evpn", "ospf", "ospf3"];
const [MATCH, ACT] = ["term_match_condition", "term_action_list"] as const;
const [STANDARD, EXTENDED] = [`${ACT}.update.community`, `${ACT}.update.extcommunity`];

/** Members of a term that only the form of all members has. */
const UNSHOWN: readonly (readonly [way: readonly string[], title: string])[] = [
  [[MATCH, "community"], "one community"],
  [[MATCH, "external"], "an external type"], [[ACT, "external"], "an external type given"], [[ACT, "as_path_expand"], "a path expanded"], [[ACT, "as_path_prepend"], "a path prepended by devices"],
];

/** Lists of prefixes that route tables hold; the first is edited, others stay. */
function listsOf(term: Document): Document[] {
  const held = at(term, [MATCH, "prefix_list"]);
  return isList(held) ? held.filter(isDocument) : [];
}

function withList(term: Document, change: (first: Document) => Document): Document {
  const [first = {}, ...rest] = listsOf(term);
  const next = change(first);
  const lists = isEmpty(next["interface_route_table_uuid"]) ? rest : [next, ...rest];
  return withAt(term, [MATCH, "prefix_list"], lists.length === 0 ? undefined : lists);
}

const [TABLES, KIND] = ["interface_route_table_uuid", "prefix_type"] as const;

export const TERMS: ListSpec = {
  title: "Terms", element: "term", wrapper: "term", isOrdered: true,
  fresh: { [MATCH]: {}, [ACT]: { action: "accept" } },
  none: "No terms: routes stay as they are. A term says which routes it is about, what it changes of them, and whether they are taken.",
  columns: [
    texts("Routes from", `${MATCH}.protocol`, 130, { choices: SOURCES, isMany: true, hint: "anywhere" }),
    {
      title: "Prefixes", width: 185, hint: "any; or 10.0.0.0/8 orlonger", fault: matchesFault,
      show: (each) => matchesText(at(each, [MATCH, "prefix"])),
      put: (each, given) => withAt(each, [MATCH, "prefix"], matchesOf(given).length === 0 ? undefined : matchesOf(given)),
    },
    texts("Communities", `${MATCH}.community_list`, 105, { hint: "any" }),
    number("Preference :=", `${ACT}.update.local_pref`, 100),
    number("MED :=", `${ACT}.update.med`, 70),
    texts("Add communities", `${STANDARD}.add.community`, 125, { fault: communitiesFault }),
    text("Then", `${ACT}.action`, 84, { choices: ["accept", "reject", "next"], isClosed: true }),
  ],
  more: [
    {
      title: "About routes that have",
      columns: [
        either("Of the communities", `${MATCH}.community_match_all`, 110, ["any", "all"]),
        texts("Extended communities", `${MATCH}.extcommunity_list`, 240, { hint: "any; or target:64512:7" }),
        either("Of the extended ones", `${MATCH}.extcommunity_match_all`, 110, ["any", "all"]),
        numbers("AS numbers in the path", `${MATCH}.as_path`, 190, { hint: "any; or 64512, 64513" }),
        {
          title: "Prefixes with lengths", width: 300, hint: "any; or 10.0.0.0/8 upto /16", fault: filterFault,
          show: (each) => filterText(at(each, [MATCH, "route_filter"])),
          put: (each, given) => withAt(each, [MATCH, "route_filter"], filterOf(given)),
        },
        {
          title: "Prefixes of interface route tables", width: 260, picksMany: "interface-route-table", hint: "any",
          show: (each) => textsOf(listsOf(each)[0]?.[TABLES]).join(", "),
          put: (each, given) => withList(each, (first) => ({ ...first, [TABLES]: split(given) })),
        },
        {
          title: "Of these tables also", width: 130, choices: ["longer", "orlonger"], isClosed: true, hint: "exactly these",
          show: (each) => { const kind = listsOf(each)[0]?.[KIND]; return kind === undefined || kind === "exact" ? "" : String(kind); },
          put: (each, given) => withList(each, (first) => ({ ...first, [KIND]: given === "" ? "exact" : given })),
        },
        number("A preference of", `${MATCH}.local_pref`, 110, { hint: "any" }),
        text("The family", `${MATCH}.family`, 120, { choices: ["inet", "inet-vpn", "evpn"], isClosed: true, hint: "any" }),
        numbers("EVPN types", `${MATCH}.nlri_route_type`, 110, { hint: "any; or 2, 5" }),
      ],
    },
    {
      title: "Changed of them",
      columns: [
        numbers("AS numbers put in front", `${ACT}.update.as_path.expand.asn_list`, 190, { hint: "64512, 64512" }),
        texts("Communities instead", `${STANDARD}.set.community`, 190, { fault: communitiesFault }),
        texts("Communities taken away", `${STANDARD}.remove.community`, 190, { fault: communitiesFault }),
        texts("Extended ones added", `${EXTENDED}.add.community`, 220, { hint: "target:64512:7", fault: extendedFault }),
        texts("Extended ones instead", `${EXTENDED}.set.community`, 220, { fault: extendedFault }),
        texts("Extended ones taken away", `${EXTENDED}.remove.community`, 220, { fault: extendedFault }),
        text("After next comes", `${ACT}.action_next_value`, 130, { choices: ["term", "policy"], isClosed: true, hint: "the next term" }),
      ],
    },
  ],
  beside: (term) => [...(listsOf(term).length > 1 ? ["further tables of prefixes"] : []), ...UNSHOWN.filter(([way]) => !isEmpty(at(term, way))).map(([, title]) => title)],
};

const LAST = Number.MAX_SAFE_INTEGER;

/** `2.10` comes after `2.9`; what says no place comes last. */
function placeOf(sequence: Json | undefined): number {
  const [major, minor] = isDocument(sequence) ? [sequence["major"], sequence["minor"]] : typeof sequence === "string" ? sequence.split(".") : [];
  const place = Number(major ?? Number.NaN) * 1_000_000 + Number(minor ?? 0);
  return Number.isFinite(place) ? place : LAST;
}

const places = (sequence: (place: number) => Json): NonNullable<ListSpec["places"]> => ({
  of: (reference) => placeOf(at(reference, ["attr", "sequence"])),
  at: (reference, place) => withAt(reference, ["attr", "sequence"], sequence(place)),
});

export const ROUTING_POLICIES: ListSpec = {
  title: "Routing policies, in order", element: "routing policy", fresh: {}, isOrdered: true, places: places((place) => `${place + 1}.0`),
  none: "No routing policies: routes of the network stay as they are. The first policy that accepts or rejects a route decides.",
  columns: [target("Policy", "routing-policy", 420)],
};

export const NETWORK_POLICIES: ListSpec = {
  title: "Network policies, in order", element: "network policy", fresh: {}, isOrdered: true, places: places((place) => ({ major: place, minor: 0 })),
  none: "No network policies: the network reaches no other one by a policy.",
  columns: [target("Policy", "network-policy", 420)],
  beside: (reference) => (isEmpty(at(reference, ["attr", "timer"])) ? [] : ["a time when it holds"]),
};

const SIDE = text("Side", "attr.interface_type", 150, { choices: ["left", "right", "management"] });

export const SIDES: ListSpec = {
  title: "Service instances", element: "service instance", fresh: { attr: { interface_type: "left" } },
  none: "No service instances: only ports that refer to the table have its prefixes behind them.",
  columns: [target("Service", "service-instance", 420), SIDE],
};

export const AGGREGATES: ListSpec = { ...SIDES, none: "No service instances: nothing is aggregated yet." };

function sequenceFault(given: string): string {
  return given === "" || /^\d+(\.\d+)?$/.test(given) ? "" : "a place such as 1 or 1.5";
}

export const SERVICE_POLICIES: ListSpec = {
  title: "Service instances", element: "service instance", fresh: { attr: { left_sequence: "1.0" } },
  none: "No service instances: the policy is for the networks that refer to it.",
  columns: [
    target("Service", "service-instance", 380),
    text("Place on the left", "attr.left_sequence", 130, { hint: "not there", fault: sequenceFault }),
    text("Place on the right", "attr.right_sequence", 130, { hint: "not there", fault: sequenceFault }),
  ],
};
