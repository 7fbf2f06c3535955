/** Tag-based policy: what is enforced, what drafts make of it, who may talk to whom by it. Pure. */

import type { Operation } from "../api/client";
import { type ConfigObject, type Document, equal, isDocument, isEmpty, isList, type Json, lastName, mergePatch, textsOf } from "../model/document";

export const DRAFTS = "draft-policy-management";
export const EVERYBODY = "default-policy-management";
export const KINDS = ["service-group", "address-group", "firewall-rule", "firewall-policy", "application-policy-set"] as const;
export type Kind = (typeof KINDS)[number];
/** By full name, without the folder of drafts. */
export type Objects = ReadonlyMap<string, ConfigObject>;
export type Policy = Readonly<Record<Kind, Objects>>;
export type Loaded = Readonly<Record<Kind, readonly ConfigObject[]>>;

/** The name that a draft has once it is committed; other names are as they are. */
export function enforcedName(name: readonly string[]): string {
  if (name.at(-2) !== DRAFTS) return name.join(":");
  const scope = name.slice(0, -2);
  return [...(scope.length === 0 ? [EVERYBODY] : scope), lastName(name)].join(":");
}

export function isDraft(object: ConfigObject): boolean {
  return object.fq_name.at(-2) === DRAFTS;
}

export interface Pending {
  readonly kind: Kind;
  readonly name: string;
  readonly state: string;
  readonly draft: ConfigObject;
  readonly before: ConfigObject | undefined;
}

export interface Both {
  /** What hosts enforce. */
  readonly now: Policy;
  /** What they would enforce if everything pending were committed. */
  readonly planned: Policy;
  readonly pending: readonly Pending[];
}

export function viewOf(loaded: Loaded): Both {
  const now = {} as Record<Kind, Map<string, ConfigObject>>;
  const planned = {} as Record<Kind, Map<string, ConfigObject>>;
  const pending: Pending[] = [];
  for (const kind of KINDS) {
    now[kind] = new Map(loaded[kind].filter((each) => !isDraft(each)).map((each) => [each.fq_name.join(":"), each]));
    planned[kind] = new Map(now[kind]);
    for (const draft of loaded[kind].filter(isDraft)) {
      const name = enforcedName(draft.fq_name);
      const state = String(draft["draft_mode_state"] ?? "created");
      pending.push({ kind, name, state, draft, before: now[kind].get(name) });
      if (state === "deleted") planned[kind].delete(name);
      else planned[kind].set(name, draft);
    }
  }
  return { now, planned, pending };
}

const IDENTITY = new Set([
  "uuid", "fq_name", "parent_type", "parent_uuid", "id_perms", "perms2", "draft_mode_state", "etag", "tag_refs", "address_group_refs",
  "match_tag_types", "display_name",
]);

/** What a draft changes, as the server's plan tells of changes. */
export function changesOf(pending: readonly Pending[]): Document[] {
  return pending.map(({ kind, name, state, draft, before }): Document => {
    const names = Object.keys({ ...before, ...draft }).filter((each) => !IDENTITY.has(each));
    const fields = names.filter((each) => !equal(plain(before?.[each]), plain(draft[each])));
    const shown = fields.map((path): Document => ({ path, from: plain(before?.[path]) ?? null, to: plain(draft[path]) ?? null }));
    return { op: state, type: kind, name, fields: state === "deleted" ? [] : shown };
  });
}

/** A value without what the server adds, and with names in place of drafts' names. */
function plain(value: Json | undefined): Json | undefined {
  if (isEmpty(value) || value === false) return undefined;
  if (isList(value)) return value.map((each) => (isDocument(each) && isList(each["to"]) ? reference(each) : (plain(each) ?? null)));
  if (!isDocument(value)) return value;
  const kept = Object.entries(value).filter(([name, each]) => name !== "tag_ids" && name !== "protocol_id" && !isEmpty(each) && each !== false);
  return Object.fromEntries(kept.map(([name, each]) => [name, plain(each)]));
}

function reference(each: Document): Document {
  const attr = isDocument(each["attr"]) && each["attr"]["sequence"] !== undefined ? ` at ${String(each["attr"]["sequence"])}` : "";
  return { to: `${enforcedName(textsOf(each["to"]))}${attr}` };
}

interface Placed {
  readonly name: string;
  readonly place: number;
}

/** Names that a list of references has, in the order of their sequences. */
export function ordered(references: Json | undefined): string[] {
  const items = isList(references) ? references.filter(isDocument) : [];
  const placed = items.map((each): Placed => {
    const sequence = isDocument(each["attr"]) ? each["attr"]["sequence"] : undefined;
    return { name: enforcedName(textsOf(each["to"])), place: Number(sequence ?? Number.MAX_SAFE_INTEGER) };
  });
  return placed.toSorted((one, other) => one.place - other.place).map((each) => each.name);
}

export interface Placing {
  readonly policy: string;
  readonly rule: string;
}

/** The rules of a set, in the order in which they are tried. */
export function rulesOf(policy: Policy, set: string): Placing[] {
  return ordered(policy["application-policy-set"].get(set)?.["firewall_policy_refs"]).flatMap((name) =>
    ordered(policy["firewall-policy"].get(name)?.["firewall_rule_refs"])
      .filter((rule) => policy["firewall-rule"].has(rule))
      .map((rule) => ({ policy: name, rule })),
  );
}

/** The operations that lead from one policy to another: made first, then put in place, changed, taken away. */
export function operationsOf(before: Policy, after: Policy): Operation[] {
  const made: Operation[] = [];
  const changed: Operation[] = [];
  const gone: Operation[] = [];
  for (const kind of KINDS) {
    for (const [name, object] of after[kind]) {
      const old = before[kind].get(name);
      if (old === object) continue;
      if (old === undefined) {
        const { uuid: _uuid, ...body } = object;
        made.push({ op: "create", type: kind, object: body });
        continue;
      }
      const patch = mergePatch(old, object);
      const match = typeof old["etag"] === "string" ? { if_match: old["etag"] } : {};
      if (Object.keys(patch).length > 0) changed.push({ op: "patch", type: kind, uuid: old.uuid, object: patch, ...match });
    }
    for (const [name, old] of before[kind]) if (!after[kind].has(name)) gone.push({ op: "delete", type: kind, uuid: old.uuid });
  }
  return [...made, ...changed, ...gone];
}

export function withObject(policy: Policy, kind: Kind, name: string, object: ConfigObject | undefined): Policy {
  const changed = new Map(policy[kind]);
  if (object === undefined) changed.delete(name);
  else changed.set(name, object);
  return { ...policy, [kind]: changed };
}

/** The rule list of a policy; sequences are given anew, as little as it takes to keep the order. */
export function withOrder(policy: Policy, name: string, rules: readonly string[]): Policy {
  const object = policy["firewall-policy"].get(name);
  if (object === undefined) return policy;
  const before = (isList(object["firewall_rule_refs"]) ? object["firewall_rule_refs"] : []).filter(isDocument);
  let last = 0;
  const refs = rules.map((rule): Document => {
    const old = before.find((each) => enforcedName(textsOf(each["to"])) === rule);
    const held = old !== undefined && isDocument(old["attr"]) ? Number(old["attr"]["sequence"]) : Number.NaN;
    last = held > last ? held : Math.floor(last) + 1;
    return { to: rule.split(":"), attr: { sequence: String(last) } };
  });
  return withObject(policy, "firewall-policy", name, { ...object, firewall_rule_refs: refs });
}

/** The policy without a rule in one list; the rule itself goes when no other list has it. */
export function withoutRule(policy: Policy, placing: Placing): Policy {
  const rest = ordered(policy["firewall-policy"].get(placing.policy)?.["firewall_rule_refs"]).filter((each) => each !== placing.rule);
  const next = withOrder(policy, placing.policy, rest);
  const isUsed = [...next["firewall-policy"].values()].some((each) => ordered(each["firewall_rule_refs"]).includes(placing.rule));
  return isUsed ? next : withObject(next, "firewall-rule", placing.rule, undefined);
}

/** Types of which both ends must have the same value; the server's `application` when a rule says nothing. */
export function matchOf(rule: Document): string[] {
  const given = rule["match_tags"];
  return isDocument(given) ? textsOf(given["tag_list"]) : ["application"];
}

/** Where what an object of this name refers to by short names is. */
export function scopeOf(name: string): { readonly scope: string[]; readonly parent_type: string } {
  const scope = name.split(":").slice(0, -1);
  return { scope, parent_type: scope.join(":") === EVERYBODY ? "policy-management" : "project" };
}

/** With a new rule at the end of a policy: the one named, else the set's last of its own scope, made where it has none. */
export function withNewRule(
  given: Policy, set: string, ends: readonly [Document, Document], title: string, place = "",
): { readonly policy: Policy; readonly placing: Placing } {
  const [into, prepared] = place === "" ? withOwnPolicy(given, set) : ([place, given] as const);
  const { scope, parent_type } = scopeOf(into);
  const name = free([...scope, title].join(":"), prepared["firewall-rule"]);
  const rule = {
    uuid: "", fq_name: name.split(":"), parent_type, direction: ">", endpoint_1: ends[0], endpoint_2: ends[1],
    service: { protocol: "any" }, action_list: { simple_action: "pass" }, match_tags: { tag_list: ["application"] },
  };
  const policy = withObject(prepared, "firewall-rule", name, rule);
  const order = [...ordered(policy["firewall-policy"].get(into)?.["firewall_rule_refs"]), name];
  return { policy: withOrder(policy, into, order), placing: { policy: into, rule: name } };
}

/** The set's last policy of its own scope, made where it has none. */
function withOwnPolicy(given: Policy, set: string): readonly [string, Policy] {
  const object = given["application-policy-set"].get(set);
  const { scope, parent_type } = scopeOf(set);
  const own = ordered(object?.["firewall_policy_refs"]).findLast((each) => each.startsWith(`${scope.join(":")}:`));
  if (own !== undefined || object === undefined) return [own ?? "", given];
  const name = free([...scope, lastName(object.fq_name)].join(":"), given["firewall-policy"]);
  const made = withObject(given, "firewall-policy", name, { uuid: "", fq_name: name.split(":"), parent_type, firewall_rule_refs: [] });
  const refs = (isList(object["firewall_policy_refs"]) ? object["firewall_policy_refs"] : []).filter(isDocument);
  const last = Math.max(0, ...refs.map((each) => (isDocument(each["attr"]) ? Number(each["attr"]["sequence"]) : 0)));
  const added = { to: name.split(":"), attr: { sequence: String(Math.floor(last) + 1) } };
  return [name, withObject(made, "application-policy-set", set, { ...object, firewall_policy_refs: [...refs, added] })];
}

function free(name: string, taken: Objects): string {
  for (let number = 1; ; number += 1) {
    const tried = number === 1 ? name : `${name}-${number}`;
    if (!taken.has(tried)) return tried;
  }
}
