/** Policy by tags: what hosts decide about a session, and the rule that lets it through. */

import { expect, test } from "vitest";

import type { ConfigObject, Document } from "../model/document";
import { isIn, numberOf } from "../model/prefix";
import { allowed, endOf } from "./allow";
import { type End, type Session, setsOf, standingOf, tagsOf } from "./decide";
import { EVERYBODY, type Kind, KINDS, operationsOf, type Policy, viewOf } from "./firewall";

const HOME = ["d", "red"];
const NOBODYS = new Map([["d:red", ["d:red:all"]]]);

function object(name: string, body: Document, place: readonly string[] = HOME): ConfigObject {
  return { uuid: `${place.join(".")}.${name}`, fq_name: [...place, name], etag: '"1"', ...body };
}

function refs(...names: string[]): Document[] {
  return names.map((name, index) => ({ to: name.split(":"), attr: { sequence: String(index + 1) } }));
}

function rule(name: string, body: Document): ConfigObject {
  return object(name, { direction: ">", endpoint_1: { any: true }, endpoint_2: { any: true }, service: { protocol: "any" }, action_list: { simple_action: "pass" }, match_tags: { tag_list: [] }, ...body });
}

function policyOf(rules: readonly ConfigObject[], more: Partial<Record<Kind, readonly ConfigObject[]>> = {}): Policy {
  const loaded = {
    "service-group": [object("web", { service_group_firewall_service_list: { firewall_service: [{ protocol: "tcp", dst_ports: { start_port: 80, end_port: 80 } }] } })],
    "address-group": [object("office", { address_group_prefix: { subnet: [{ ip_prefix: "10.1.0.0", ip_prefix_len: 16 }] } })],
    "firewall-rule": rules,
    "firewall-policy": [object("tiers", { firewall_rule_refs: refs(...rules.map((each) => each.fq_name.join(":"))) })],
    "application-policy-set": [object("shop", { firewall_policy_refs: refs("d:red:tiers"), tag_refs: [{ to: [...HOME, "application=shop"] }] })],
    ...more,
  };
  return viewOf(Object.fromEntries(KINDS.map((kind) => [kind, loaded[kind]])) as typeof loaded).now;
}

const CLIENT: End = { project: "d:red", network: "d:red:front", address: "10.1.1.3", tags: ["d:red:application=shop", "d:red:tier=web"] };
const SERVER: End = { project: "d:red", network: "d:red:front", address: "10.1.1.4", tags: ["d:red:application=shop", "d:red:tier=app", "site=x"] };
const SESSION: Session = { client: CLIENT, server: SERVER, protocol: "tcp", port: 80 };

function verdict(body: Document, session: Session = SESSION): boolean | undefined {
  return standingOf(policyOf([rule("a", body)]), new Map(), session, "client")?.passes;
}

test("addresses of both families are in their prefixes", () => {
  expect(numberOf("::1")).toBe(1n);
  expect(numberOf("1.2.3")).toBeUndefined();
  expect(numberOf("1::2::3")).toBeUndefined();
  expect(isIn("10.1.1.3", "10.1.0.0/16")).toBe(true);
  expect(isIn("10.2.1.3", "10.1.0.0/16")).toBe(false);
  expect(isIn("fd00::1:2", "fd00::/64")).toBe(true);
  expect(isIn("fd01::1:2", "fd00::/64")).toBe(false);
  expect(isIn("fd01::1:2", "0.0.0.0/0")).toBe(false);
});

test("rules are matched by ends, direction, services and tags to be alike", () => {
  expect(verdict({})).toBe(true);
  expect(verdict({ endpoint_1: { tags: ["tier=web"] }, endpoint_2: { tags: ["tier=app", "global:site=x"] } })).toBe(true);
  expect(verdict({ endpoint_1: { tags: ["tier=app"] } })).toBe(false);
  expect(verdict({ endpoint_1: { tags: ["tier=app"] }, endpoint_2: { tags: ["tier=web"] }, direction: "<" })).toBe(true);
  expect(verdict({ endpoint_1: { address_group: "d:red:office" } })).toBe(true);
  expect(verdict({ endpoint_1: { subnet: { ip_prefix: "10.2.0.0", ip_prefix_len: 16 } } })).toBe(false);
  expect(verdict({ endpoint_2: { virtual_network: "d:red:back" } })).toBe(false);
  expect(verdict({ service: { protocol: "6", dst_ports: { start_port: 80, end_port: 90 } } })).toBe(true);
  expect(verdict({ service: { protocol: "tcp", dst_ports: { start_port: 81, end_port: 90 } } })).toBe(false);
  expect(verdict({ service: undefined, service_group_refs: [{ to: [...HOME, "web"] }] } as unknown as Document)).toBe(true);
  expect(verdict({ match_tags: { tag_list: ["application"] } })).toBe(true);
  expect(verdict({ match_tags: { tag_list: ["tier"] } })).toBe(false);
  expect(verdict({ action_list: { simple_action: "deny" } })).toBe(false);
});

test("everybody's sets come first, then the project's, then the application's; those without rules restrict nobody", () => {
  const all = [
    object("shop", { firewall_policy_refs: refs("d:red:tiers"), tag_refs: [{ to: [...HOME, "application=shop"] }] }),
    object("all", { firewall_policy_refs: refs("d:red:tiers") }),
    object("empty", { tag_refs: [{ to: [...HOME, "application=shop"] }] }),
    object("first", { firewall_policy_refs: refs("d:red:tiers"), global_vrouter_config_refs: [{ to: ["x"] }] }, [EVERYBODY]),
  ];
  const policy = policyOf([rule("a", {})], { "application-policy-set": all });
  expect(setsOf(policy, NOBODYS, CLIENT)).toEqual([`${EVERYBODY}:first`, "d:red:all", "d:red:shop"]);
  expect(setsOf(policy, NOBODYS, { ...CLIENT, tags: [] })).toEqual([`${EVERYBODY}:first`, "d:red:all"]);
  expect(standingOf(policyOf([]), new Map(), SESSION, "client")).toBeNull();
});

test("what no rule lets through gets a rule by tags, which is what hosts then decide by", () => {
  const policy = policyOf([rule("a", { service: { protocol: "udp" } })]);
  const found = allowed(policy, new Map(), SESSION);
  expect(found?.told).toEqual(["a new rule in set shop, policy tiers: pass tcp 80 from tier=web to tier=app of the same application"]);
  const operations = operationsOf(policy, found!.policy);
  expect(operations.map(({ op, type }) => `${op} ${type}`)).toEqual(["create firewall-rule", "patch firewall-policy"]);
  expect(operations[0]?.object).toMatchObject({ fq_name: [...HOME, "allow-tcp-80-web-to-app"], endpoint_1: { tags: ["tier=web"] }, match_tags: { tag_list: ["application"] } });
  expect(standingOf(found!.policy, new Map(), SESSION, "server")?.passes).toBe(true);
  expect(standingOf(found!.policy, new Map(), { ...SESSION, port: 81 }, "server")?.passes).toBe(false);
  expect(allowed(found!.policy, new Map(), SESSION)?.told).toEqual([]);
});

test("a rule that allows is put before the one that denied", () => {
  const policy = policyOf([rule("a", { service: { protocol: "udp" } }), rule("b", { action_list: { simple_action: "deny" } })]);
  const found = allowed(policy, new Map(), SESSION);
  expect(found?.told[0]).toContain("before b");
  expect(standingOf(found!.policy, new Map(), SESSION, "client")?.rule?.rule).toBe("d:red:allow-tcp-80-web-to-app");
});

test("each end's sets get a rule of their own where both refuse, and only an end that sets hold for", () => {
  const [shop] = [...policyOf([]) ["application-policy-set"].values()];
  const bank = object("bank", { firewall_policy_refs: refs("d:blue:own"), tag_refs: [{ to: ["d", "blue", "application=bank"] }] }, ["d", "blue"]);
  const own = object("own", { firewall_rule_refs: refs("d:blue:x") }, ["d", "blue"]);
  const x = { ...rule("x", { service: { protocol: "udp" } }), fq_name: ["d", "blue", "x"], uuid: "x" };
  const a = rule("a", { service: { protocol: "udp" } });
  const tiers = object("tiers", { firewall_rule_refs: refs("d:red:a") });
  const policy = policyOf([a, x], { "application-policy-set": [shop!, bank], "firewall-policy": [tiers, own] });
  const server = { ...SERVER, project: "d:blue", tags: ["d:blue:application=bank", "d:blue:tier=db"] };
  const found = allowed(policy, new Map(), { ...SESSION, server });
  expect(found?.told).toEqual([
    "a new rule in set shop, policy tiers: pass tcp 80 from tier=web to 10.1.1.4/32",
    "a new rule in set bank, policy own: pass tcp 80 from 10.1.1.3/32 to tier=db",
  ]);
  expect(allowed(policy, new Map(), { ...SESSION, server: { ...server, tags: [] } })?.told).toHaveLength(1);
});

test("an end is named by what says best what it is", () => {
  expect(endOf("d:red", SERVER)).toEqual({ tags: ["tier=app"] });
  expect(endOf("d:blue", SERVER)).toEqual({ tags: ["global:site=x"] });
  expect(endOf("d:red", { ...SERVER, tags: [], address: "fd00::1" })).toEqual({ subnet: { ip_prefix: "fd00::1", ip_prefix_len: 128 } });
});

test("of each kind the most particular holder's tag holds, and labels add up", () => {
  const port = ["d:red:tier=web", "d:red:label=a"];
  const network = ["d:red:tier=db", "d:red:site=x", "d:red:label=b"];
  expect(tagsOf([port, [], network], ["d:red:tier=old", "deployment=test"])).toEqual([...port, "d:red:site=x", "d:red:label=b", "deployment=test"]);
  expect(tagsOf([], ["d:red:tier=web"])).toEqual(["d:red:tier=web"]);
});
