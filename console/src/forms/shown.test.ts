/** Tables of editors as pages of objects show them. */

import { expect, test } from "vitest";

import { shownOf } from "./shown";
import { newGroupRule, newPolicyRule } from "./rules";
import type { Document, Json } from "../model/document";

function textsOf(type: string, name: string, value: Json) {
  const shown = shownOf(type, name, value);
  return [shown?.columns, ...(shown?.rows ?? []).map((row) => row.cells.map((cell) => cell.text))];
}

test("a rule of a policy is a row, with any ports said so and what has no column below", () => {
  const rule: Document = { ...newPolicyRule(), rule_uuid: "u", dst_ports: [{ start_port: -1, end_port: -1 }], application: ["web"], action_list: { simple_action: "deny", log: true, alert: false } };

  const shown = shownOf("network-policy", "network_policy_entries", { policy_rule: [rule] });

  expect(shown?.columns).toEqual(["#", "Action", "Protocol", "Source", "Source ports", "Way", "Destination", "Ports"]);
  expect(shown?.rows[0]?.cells.map((cell) => cell.text)).toEqual(["1", "deny", "any", "any", "any", "↔", "any", "any"]);
  expect(shown?.rows[0]?.rest).toEqual({ application: ["web"], log: true });
});

test("a rule of a group tells its direction and its remote end", () => {
  expect(textsOf("security-group", "security_group_entries", { policy_rule: [newGroupRule()] })).toEqual([
    ["Direction", "Family", "Protocol", "Ports", "From or to"], ["in", "IPv4", "tcp", "any", "0.0.0.0/0"],
  ]);
});

test("subnets lead to their IPAM, and a flat IPAM is told of too", () => {
  const subnet = { subnet: { ip_prefix: "10.0.0.0", ip_prefix_len: 24 }, default_gateway: "10.0.0.1", subnet_uuid: "s", dns_nameservers: ["192.0.2.1"] };
  const references = [{ to: ["d", "p", "i"], uuid: "u", attr: { ipam_subnets: [subnet] } }, { to: ["d", "p", "flat"], uuid: "f", attr: { ipam_subnets: [{}] } }];

  const shown = shownOf("virtual-network", "network_ipam_refs", references);

  expect(shown?.rows.map((row) => row.cells[0]?.text)).toEqual(["10.0.0.0/24", "those of the flat IPAM"]);
  expect(shown?.rows[0]?.cells.at(-1)?.leads).toEqual({ type: "network-ipam", to: ["d", "p", "i"], uuid: "u" });
  expect(shown?.rows[0]?.rest).toEqual({ dns_nameservers: ["192.0.2.1"] });
});

test("lists have the columns of their editor that say something, in the order that counts", () => {
  const route = { prefix: "10.0.0.0/8", next_hop: "10.1.0.5", next_hop_type: "ip-address" };
  expect(textsOf("route-table", "routes", { route: [route] })).toEqual([["Prefix", "Next hop is", "Next hop"], ["10.0.0.0/8", "ip-address", "10.1.0.5"]]);
  const policies = [{ to: ["d", "p", "second"], attr: { sequence: { major: 2, minor: 0 } } }, { to: ["d", "p", "first"], attr: { sequence: { major: 1, minor: 0 } } }];
  expect(textsOf("virtual-network", "network_policy_refs", policies)).toEqual([["#", "Policy"], ["1", "d:p:first"], ["2", "d:p:second"]]);
});

function condition(operand1: string) {
  return { operand1, operation: ">", operand2: { json_value: "3" } };
}

test("conditions of an alarm say how they are joined", () => {
  const rules = { or_list: [{ and_list: [condition("a"), condition("b")] }, { and_list: [condition("c")] }] };
  expect(textsOf("alarm", "alarm_rules", rules)).toEqual([
    ["Raised", "Attribute", "Is", "Value or attribute"], ["when", "a", ">", "3"], ["and", "b", ">", "3"], ["or when", "c", ">", "3"],
  ]);
});

test("annotations of alarm rules are called what they mean, others by their names", () => {
  const value = { key_value_pair: [{ key: "active-timer-seconds", value: "30" }, { key: "mine", value: "x" }] };
  expect(textsOf("alarm", "annotations", value).slice(1)).toEqual([["Raised after", "30", "seconds in which the rule holds"], ["mine", "x", ""]]);
  expect(textsOf("project", "annotations", value)).toEqual([["Name", "Value"], ["active-timer-seconds", "30"], ["mine", "x"]]);
});

test("without a table, or anything in it, there is none", () => {
  expect([shownOf("virtual-network", "mtu", 9000), shownOf("network-policy", "network_policy_entries", { policy_rule: [] }), shownOf("route-table", "routes", undefined)]).toEqual([undefined, undefined, undefined]);
});
