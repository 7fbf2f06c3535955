/** Who may talk to whom by a set of policies: one row and one column for each value of a tag. Pure. */

import { serviceOf, serviceText } from "../../forms/services";
import { type Document, isDocument, isEmpty, isList, type Json, textsOf } from "../../model/document";
import { enforcedName, matchOf, ordered, type Placing, type Policy, rulesOf } from "../../policy/firewall";

export interface Heading {
  /** What a rule's end says of it: `tier=web`, `global:tier=web`, `any`, a prefix, a network, an address group. */
  readonly key: string;
  readonly title: string;
  readonly end: Document;
}

export const ANYBODY: Heading = { key: "any", title: "anybody", end: { any: true } };
const GLOBAL = "global:";

export function typeOfTag(tag: string): string {
  return tag.replace(GLOBAL, "").split("=")[0] ?? "";
}

export function endText(end: Json | undefined): string {
  if (!isDocument(end) || end["any"] === true) return "any";
  const tags = textsOf(end["tags"]);
  if (tags.length > 0) return tags.join(" and ");
  if (!isEmpty(end["address_group"])) return `address group ${enforcedName(String(end["address_group"]).split(":"))}`;
  if (!isEmpty(end["virtual_network"])) return String(end["virtual_network"]);
  const subnet = end["subnet"];
  return isDocument(subnet) && !isEmpty(subnet["ip_prefix"]) ? `${String(subnet["ip_prefix"])}/${String(subnet["ip_prefix_len"])}` : "any";
}

/** Rows and columns: values of the tag type that exist or that rules name, then whatever else rules name, then everybody. */
export function headingsOf(policy: Policy, set: string, type: string, tags: readonly string[]): Heading[] {
  const ends = rulesOf(policy, set).flatMap(({ rule }) => {
    const body = policy["firewall-rule"].get(rule);
    return [body?.["endpoint_1"], body?.["endpoint_2"]];
  });
  const named = ends.flatMap((end) => (isDocument(end) ? textsOf(end["tags"]) : []));
  const values = [...new Set([...tags, ...named])].filter((tag) => typeOfTag(tag) === type);
  const others = new Map<string, Heading>();
  for (const end of ends) {
    if (!isDocument(end) || textsOf(end["tags"]).length > 0 || end["any"] === true) continue;
    const key = endText(end);
    if (key !== "any") others.set(key, { key, title: key.split(":").at(-1) ?? key, end: clean(end) });
  }
  const rows = values.map((key): Heading => ({ key, title: titleOf(key), end: { tags: [key] } }));
  return [...rows, ...others.values(), ANYBODY];
}

function titleOf(tag: string): string {
  const value = tag.slice(tag.indexOf("=") + 1);
  return tag.startsWith(GLOBAL) ? `${value} (global)` : value;
}

function clean(end: Document): Document {
  return Object.fromEntries(Object.entries(end).filter(([name, value]) => name !== "tag_ids" && !isEmpty(value) && value !== false));
}

/** Whether an end means a heading: null if not, else what else it asks for (nothing: an empty text). */
function narrowed(end: Json | undefined, heading: Heading, type: string): string | null {
  const tags = isDocument(end) ? textsOf(end["tags"]) : [];
  if (tags.length === 0) {
    const text = endText(end);
    return text === "any" || text === heading.key ? "" : null;
  }
  const own = tags.filter((tag) => typeOfTag(tag) === type);
  const rest = tags.filter((tag) => typeOfTag(tag) !== type).join(" and ");
  if (own.length === 0) return rest;
  return own.length === 1 && own[0] === heading.key ? rest : null;
}

export interface CellRule extends Placing {
  readonly verdict: "pass" | "deny";
  readonly services: string;
  /** Under which conditions beside the two headings it applies. */
  readonly conditions: readonly string[];
  /** Whether the rule names the first heading as its second end. */
  readonly isTurned: boolean;
}

export function cellOf(policy: Policy, set: string, from: Heading, to: Heading, type: string): CellRule[] {
  const found: CellRule[] = [];
  for (const placing of rulesOf(policy, set)) {
    const body = policy["firewall-rule"].get(placing.rule);
    if (body === undefined) continue;
    const direction = String(body["direction"] ?? "<>");
    const [one, other] = [body["endpoint_1"], body["endpoint_2"]];
    const straight = direction === "<" ? null : both(narrowed(one, from, type), narrowed(other, to, type));
    const turned = direction === ">" ? null : both(narrowed(other, from, type), narrowed(one, to, type));
    const fits = straight ?? turned;
    if (fits === null) continue;
    found.push({
      ...placing,
      verdict: isDocument(body["action_list"]) && body["action_list"]["simple_action"] === "deny" ? "deny" : "pass",
      services: servicesText(body),
      conditions: [...fits, ...matchOf(body).map((name) => `same ${name}`)],
      isTurned: straight === null,
    });
    if (found.at(-1)?.services === "any" && found.at(-1)?.conditions.length === 0) break;
  }
  return found;
}

function both(source: string | null, destination: string | null): string[] | null {
  if (source === null || destination === null) return null;
  return [source === "" ? "" : `from ${source}`, destination === "" ? "" : `to ${destination}`].filter(Boolean);
}

export function verdictOf(rules: readonly CellRule[]): "pass" | "deny" | "none" {
  if (rules.some((each) => each.verdict === "pass")) return "pass";
  return rules.length > 0 ? "deny" : "none";
}

export function cellText(rules: readonly CellRule[]): string {
  if (rules.length === 0) return "nothing passes";
  return rules.map((each) => [each.verdict, each.services, ...each.conditions.map((one) => `(${one})`)].join(" ")).join("; ");
}

/** A rule's service, or the names of its groups. */
export function servicesText(rule: Document): string {
  const groups = isList(rule["service_group_refs"]) ? rule["service_group_refs"].filter(isDocument) : [];
  if (groups.length > 0) return groups.map((each) => textsOf(each["to"]).at(-1) ?? "").join(", ");
  return serviceText(rule["service"]);
}

/** The rule with the services that a text names: one of its own, or groups by name; a text that is wrong says why. */
export function withServices(rule: Document, text: string, groups: readonly string[]): Document | string {
  const service = serviceOf(text);
  if (service !== undefined) {
    const { service_group_refs: _refs, ...rest } = rule;
    return { ...rest, service };
  }
  const names = text.split(",").map((each) => each.trim()).filter(Boolean);
  if (names.length === 0) return "a service such as tcp 80, or a service group";
  const refs: Document[] = [];
  for (const name of names) {
    const full = groups.find((each) => each === name) ?? groups.find((each) => each.split(":").at(-1) === name);
    if (full === undefined) return `${name}: neither a service such as tcp 80-90, nor a service group`;
    refs.push({ to: full.split(":") });
  }
  const { service: _service, ...rest } = rule;
  return { ...rest, service_group_refs: refs };
}

export interface CellChange {
  readonly from: string;
  readonly to: string;
  readonly before: string;
  readonly after: string;
}

/** The pairs for which another policy says something else. */
export function cellChanges(now: Policy, then: Policy, type: string, tags: readonly string[]): CellChange[] {
  const found: CellChange[] = [];
  const sets = new Set([...now["application-policy-set"].keys(), ...then["application-policy-set"].keys()]);
  for (const set of sets) {
    const headings = new Map([...headingsOf(now, set, type, tags), ...headingsOf(then, set, type, tags)].map((each) => [each.key, each]));
    for (const from of headings.values()) {
      for (const to of headings.values()) {
        const [before, after] = [cellOf(now, set, from, to, type), cellOf(then, set, from, to, type)].map(cellText);
        if (before !== after) found.push({ from: from.title, to: to.title, before: before ?? "", after: after ?? "" });
      }
    }
  }
  return found;
}

export function hasPolicies(policy: Policy, set: string): boolean {
  return ordered(policy["application-policy-set"].get(set)?.["firewall_policy_refs"]).length > 0;
}
