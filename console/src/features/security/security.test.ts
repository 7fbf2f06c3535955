/** Tag-based policy: the matrix says what rules say, drafts are laid over what is enforced, edits become operations. */

import { expect, test } from "vitest";

import { serviceOf, serviceText } from "../../forms/services";
import type { ConfigObject, Document } from "../../model/document";
import { changesOf, DRAFTS, enforcedName, type Loaded, operationsOf, ordered, type Policy, viewOf, withNewRule, withObject, withOrder, withoutRule } from "../../policy/firewall";
import { ANYBODY, cellChanges, cellOf, cellText, type Heading, headingsOf, servicesText, verdictOf, withServices } from "./matrix";

const HOME = ["d", "p"];

function object(name: string, body: Document, place: readonly string[] = HOME): ConfigObject {
  return { uuid: `${place.join(".")}.${name}`, fq_name: [...place, name], etag: '"1"', ...body };
}

function rule(name: string, from: Document, to: Document, body: Document = {}): ConfigObject {
  return object(name, { endpoint_1: from, endpoint_2: to, direction: ">", service: { protocol: "tcp", dst_ports: { start_port: 80, end_port: 80 } }, action_list: { simple_action: "pass" }, match_tags: { tag_list: [] }, ...body });
}

function refs(...names: string[]): Document[] {
  return names.map((name, index) => ({ to: [...HOME, name], attr: { sequence: String(index + 1) } }));
}

const WEB = { tags: ["tier=web"] };
const DB = { tags: ["tier=db"] };
const RULES = [
  rule("a", WEB, DB),
  rule("b", { any: true }, { tags: ["tier=web", "deployment=test"] }),
  rule("c", { address_group: "d:p:office" }, DB, { direction: "<>", action_list: { simple_action: "deny" } }),
];

function loaded(rules: readonly ConfigObject[] = RULES, drafts: Partial<Record<keyof Loaded, ConfigObject[]>> = {}): Loaded {
  return {
    "service-group": drafts["service-group"] ?? [],
    "address-group": [],
    "firewall-rule": [...rules, ...(drafts["firewall-rule"] ?? [])],
    "firewall-policy": [object("f", { firewall_rule_refs: refs("c", "b", "a").toReversed() }), ...(drafts["firewall-policy"] ?? [])],
    "application-policy-set": [object("s", { firewall_policy_refs: refs("f") })],
  };
}

const policy = (): Policy => viewOf(loaded()).now;
const TAGS = ["tier=web", "tier=db", "site=x"];
const at = (key: string): Heading => headingsOf(policy(), "d:p:s", "tier", TAGS).find((each) => each.key === key) ?? ANYBODY;
const cell = (from: string, to: string) => cellText(cellOf(policy(), "d:p:s", at(from), at(to), "tier"));

test("rows and columns are the values of the tag type, what else rules name, and everybody", () => {
  expect(headingsOf(policy(), "d:p:s", "tier", TAGS).map((each) => each.title)).toEqual(["web", "db", "office", "anybody"]);
});

test("a cell says what passes, and under which conditions", () => {
  expect(cell("tier=web", "tier=db")).toBe("pass tcp 80");
  expect(cell("tier=db", "tier=web")).toBe("pass tcp 80 (to deployment=test)");
  expect(cell("any", "tier=db")).toBe("nothing passes");
});

test("a rule for both directions is in both cells", () => {
  expect(cell("address group d:p:office", "tier=db")).toBe("deny tcp 80");
  expect(cell("tier=db", "address group d:p:office")).toBe("deny tcp 80");
});

test("what comes behind a rule that takes everything is not shown", () => {
  const all = { ...viewOf(loaded([rule("c", { any: true }, { any: true }, { service: { protocol: "any" } }), ...RULES.slice(0, 2)])).now };
  const rules = cellOf(all, "d:p:s", at("tier=web"), at("tier=db"), "tier");
  expect(rules.map((each) => each.rule)).toEqual(["d:p:c"]);
  expect(verdictOf(rules)).toBe("pass");
  expect(verdictOf([])).toBe("none");
});

test.each(["any", "tcp", "tcp 80", "udp 53-60", "tcp 80 from 1024-65535", "47"])("service %s is read as it is written", (text) => {
  expect(serviceText(serviceOf(text))).toBe(text);
});

test.each(["", "tcp x", "tcp 90-80", "tcp 70000", "256", "frog"])("%s is no service", (text) => {
  expect(serviceOf(text)).toBeUndefined();
});

test("services of a rule are of its own or groups, never both", () => {
  const grouped = withServices(RULES[0] as ConfigObject, "mail, d:p:web", ["d:p:mail", "d:p:web"]) as Document;
  expect([servicesText(grouped), grouped["service"]]).toEqual(["mail, web", undefined]);
  const own = withServices(grouped, "tcp 22", []) as Document;
  expect([servicesText(own), own["service_group_refs"]]).toEqual(["tcp 22", undefined]);
  expect(withServices(own, "tpc 22", [])).toContain("neither a service");
});

test("edits become one transaction: what is new first, then its place, what is gone last", () => {
  const before = policy();
  let after = withNewRule(before, "d:p:s", [DB, WEB], "db-to-web").policy;
  after = withoutRule(after, { policy: "d:p:f", rule: "d:p:a" });
  const operations = operationsOf(before, after);
  expect(operations.map(({ op, type }) => `${op} ${type}`)).toEqual(["create firewall-rule", "patch firewall-policy", "delete firewall-rule"]);
  expect(operations[1]?.if_match).toBe('"1"');
  expect(ordered(operations[1]?.object?.["firewall_rule_refs"])).toEqual(["d:p:c", "d:p:b", "d:p:db-to-web"]);
  expect(operationsOf(before, before)).toEqual([]);
});

test("a set without a policy gets one with its first rule", () => {
  const bare = withObject(withObject(policy(), "firewall-policy", "d:p:f", undefined), "application-policy-set", "d:p:s", object("s", {}));
  const types = operationsOf(bare, withNewRule(bare, "d:p:s", [WEB, DB], "x").policy).map(({ op, type }) => `${op} ${type}`);
  expect(types).toEqual(["create firewall-rule", "create firewall-policy", "patch application-policy-set"]);
});

test("a rule that another policy has stays when it leaves one", () => {
  const shared = withObject(policy(), "firewall-policy", "d:p:g", object("g", { firewall_rule_refs: refs("a") }));
  expect(withoutRule(shared, { policy: "d:p:f", rule: "d:p:a" })["firewall-rule"].has("d:p:a")).toBe(true);
});

test("a new order keeps the sequences that fit", () => {
  const turned = withOrder(policy(), "d:p:f", ["d:p:c", "d:p:a", "d:p:b"]);
  const held = turned["firewall-policy"].get("d:p:f")?.["firewall_rule_refs"] as readonly Document[];
  expect(held.map((each) => (each["attr"] as Document)["sequence"])).toEqual(["1", "3", "4"]);
});

test("drafts lie over what is enforced under the names they will have", () => {
  const place = [...HOME, DRAFTS];
  const updated = { ...rule("a", WEB, DB, { service: { protocol: "udp" } }), uuid: "x", fq_name: [...place, "a"], draft_mode_state: "updated" };
  const gone = { ...object("c", { draft_mode_state: "deleted" }, place) };
  const both = viewOf(loaded(RULES, { "firewall-rule": [updated, gone] }));
  expect(both.planned["firewall-rule"].get("d:p:a")?.uuid).toBe("x");
  expect(both.planned["firewall-rule"].has("d:p:c")).toBe(false);
  expect(cellChanges(both.now, both.planned, "tier", TAGS)).toContainEqual({ from: "web", to: "db", before: "pass tcp 80", after: "pass udp" });
  const [change] = changesOf(both.pending);
  expect(change?.["fields"]).toEqual([{ path: "service", from: { protocol: "tcp", dst_ports: { start_port: 80, end_port: 80 } }, to: { protocol: "udp" } }]);
});

test("drafts for everybody are named after the folder of everybody", () => {
  expect(enforcedName([DRAFTS, "r"])).toBe("default-policy-management:r");
  expect(enforcedName([...HOME, DRAFTS, "r"])).toBe("d:p:r");
});
