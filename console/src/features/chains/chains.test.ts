/** Chains read from rules and written to them; services with their copies. */

import { expect, test } from "vitest";

import model from "../../generated/model.json";
import type { Catalog } from "../../model/catalog";
import { checkObject } from "../../model/check";
import type { ConfigObject, Document } from "../../model/document";
import { type Chain, chainOperations, chainsOf, EMPTY, faultsOf, moved, type Objects, placeFor, removal, type Service, serviceOperations, servicesOf, warningsOf } from "./chain";

const catalog = model as unknown as Catalog;
const P = ["d", "p"];

/** What is at a place within a document. */
function within(value: unknown, ...path: (string | number)[]): unknown {
  return path.reduce((held: unknown, key) => (held as Record<string | number, unknown> | undefined)?.[key], value);
}

function object(name: readonly string[], body: Document = {}): ConfigObject {
  return { uuid: name.join("."), fq_name: [...P, ...name], etag: '"1"', ...body };
}

const subnet = (ip_prefix: string, ip_prefix_len: number) => ({ subnet: { ip_prefix, ip_prefix_len } });
const OBJECTS: Objects = {
  instances: [object(["fw"], { service_template_refs: [{ to: ["d", "t"] }] })],
  templates: [{ uuid: "t", fq_name: ["d", "t"], service_template_properties: { service_mode: "in-network-nat" } }],
  tuples: [object(["fw", "one"]), object(["fw", "two"])],
  ports: [
    object(["l"], { port_tuple_refs: [{ to: [...P, "fw", "one"] }], virtual_machine_interface_properties: { service_interface_type: "left" } }),
    object(["r"], { security_group_refs: [{ to: [...P, "passing"] }], port_tuple_refs: [{ to: [...P, "fw", "one"] }], virtual_machine_interface_properties: { service_interface_type: "right" } }),
    object(["r2"], { port_tuple_refs: [{ to: [...P, "fw", "two"] }], virtual_machine_interface_properties: { service_interface_type: "right", local_preference: 100 } }),
  ],
  checks: [object(["ping"])],
  groups: [object(["passing"])],
  policies: [],
  networks: [
    object(["left"], { network_ipam_refs: [{ to: [...P, "i"], attr: { ipam_subnets: [subnet("10.1.0.0", 24), subnet("fd00::", 64)] } }] }),
    object(["right"], { network_policy_refs: [{ to: [...P, "other"], attr: { sequence: { major: 3, minor: 0 } } }] }),
  ],
};
const CHAIN: Chain = { ...EMPTY, left: "d:p:left", right: "d:p:right", services: ["d:p:fw"], protocol: "tcp", ports: "80, 8000-8080" };
const byName = (services: readonly Service[]) => new Map(services.map((each) => [each.name, each]));

test("a service's copies are known with their sides and who stands by", () => {
  const [service] = servicesOf(OBJECTS);
  expect(service?.mode).toBe("in-network-nat");
  expect(service?.copies.map((copy) => [copy.name, copy.sides, copy.isStandby, copy.groups])).toEqual([["one", ["left", "right"], false, ["d:p:passing"]], ["two", ["right"], true, []]]);
  expect(warningsOf(CHAIN, byName(servicesOf(OBJECTS)))).toEqual(["fw: copy two lacks its left port"]);
});

test("a new chain makes a policy, and both networks use it behind what they use", () => {
  const [policy, left, right] = chainOperations(CHAIN, OBJECTS, P);
  expect(policy?.object?.["fq_name"]).toEqual([...P, "left-right"]);
  expect(checkObject(catalog, "network-policy", policy?.object ?? {}).size).toBe(0);
  expect(left?.object?.["network_policy_refs"]).toEqual([{ to: [...P, "left-right"], attr: { sequence: { major: 0, minor: 0 } } }]);
  expect(within(right, "object", "network_policy_refs", 1, "attr")).toEqual({ sequence: { major: 4, minor: 0 } });
});

test("what was drawn is read back from its rule", () => {
  const [made] = chainOperations(CHAIN, OBJECTS, P);
  const policy = { uuid: "x", ...made?.object } as unknown as ConfigObject;
  expect(chainsOf([policy])).toEqual([{ ...CHAIN, policy: "d:p:left-right", index: 0 }]);
});

test("a changed chain keeps what its rule says beside, and the other rules", () => {
  const [made] = chainOperations(CHAIN, OBJECTS, P);
  const entries = made?.object?.["network_policy_entries"] as { policy_rule: Document[] };
  const rules = [{ protocol: "icmp" }, { ...entries.policy_rule[0], rule_uuid: "u" }];
  const policy = object(["left-right"], { network_policy_entries: { policy_rule: rules } });
  const objects = { ...OBJECTS, policies: [policy], networks: [] };
  const [patch] = chainOperations({ ...CHAIN, policy: "d:p:left-right", index: 1, services: ["d:p:x", "d:p:fw"] }, objects, P);
  const after = within(patch, "object", "network_policy_entries", "policy_rule") as Document[];
  expect([after[0], after[1]?.["rule_uuid"], patch?.if_match]).toEqual([{ protocol: "icmp" }, "u", '"1"']);
  expect(chainOperations({ ...CHAIN, policy: "d:p:left-right", index: 1 }, objects, P)).toEqual([]);
  expect(within(removal({ ...CHAIN, policy: "d:p:left-right", index: 1 }, objects), 0, "object", "network_policy_entries", "policy_rule")).toEqual([{ protocol: "icmp" }]);
});

function rule(protocol: string, network: string): Document {
  return { protocol, dst_ports: [], src_addresses: [{ virtual_network: network }], dst_addresses: [{ virtual_network: "b" }] };
}

test("a new rule comes before the one that would take its traffic", () => {
  expect(placeFor([rule("udp", "a"), rule("any", "any"), rule("tcp", "a")], rule("tcp", "a"))).toBe(1);
  expect(placeFor([rule("udp", "a")], rule("tcp", "a"))).toBe(1);
});

test.each([
  [{ ...CHAIN, left: "" }, "Choose the network at the left"],
  [{ ...CHAIN, right: CHAIN.left }, "The two networks are the same"],
  [{ ...CHAIN, services: [] }, "Add a service"],
  [{ ...CHAIN, services: ["d:p:fw", "d:p:x"] }, "has to be the last"],
  [{ ...CHAIN, services: ["d:p:fw", "d:p:fw"] }, "twice"],
  [{ ...CHAIN, ports: "80-" }, "ports such as"],
])("%o leads nowhere", (chain, fault) => {
  expect(faultsOf(chain, byName(servicesOf(OBJECTS))).join()).toContain(fault);
});

test("services move to where they are dropped", () => {
  expect(moved(["a", "b", "c"], 0, 2)).toEqual(["b", "c", "a"]);
  expect(moved(["a", "b", "c"], 2, 0)).toEqual(["c", "a", "b"]);
});

test("a new service comes with its copies, each with a machine, two ports and an address of each family", () => {
  let number = 0;
  const where = { project: P, left: "d:p:left", right: "d:p:right", newUuid: () => `u${(number += 1)}` };
  const wanted = { name: "guard", mode: "in-network", copies: 2, hasStandby: true, check: "d:p:ping", groups: ["d:p:passing"] };
  const operations = serviceOperations(wanted, OBJECTS, where);
  const count = (type: string) => operations.filter((each) => each.type === type).length;
  expect(["service-template", "service-instance", "port-tuple", "virtual-machine", "virtual-machine-interface", "instance-ip", "service-health-check"].map(count)).toEqual([1, 1, 2, 2, 4, 6, 1]);
  for (const each of operations) expect([each.type, [...checkObject(catalog, each.type, each.object ?? {})]]).toEqual([each.type, []]);
  const preferences = operations.filter((each) => each.type === "virtual-machine-interface").map((each) => within(each, "object", "virtual_machine_interface_properties", "local_preference"));
  expect(preferences).toEqual([undefined, undefined, 100, 100]);
  const groups = operations.filter((each) => each.type === "virtual-machine-interface").map((each) => within(each, "object", "security_group_refs"));
  expect(groups).toEqual(Array.from({ length: 4 }, () => [{ to: [...P, "passing"] }]));
});
