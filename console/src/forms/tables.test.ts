/** Rules and subnets as tables show them: what is not shown stays as it was. */

import { expect, test } from "vitest";

import model from "../generated/model.json";
import type { Catalog } from "../model/catalog";
import { checkObject } from "../model/check";
import type { Document } from "../model/document";
import { addressesOf, addressesText, addressFault, entriesOf, groupRuleOf, newGroupRule, newPolicyRule, portsOf, portsText, remoteFault, withEnds } from "./rules";
import { poolsText, prefixFault, prefixText, referencesOf, rowsOf, withPools, withPrefix } from "./subnets";

const catalog = model as unknown as Catalog;

test.each(["any", "local", "a:b:c", "10.0.0.0/8", "fd00::/8, a:b:c", "security group a:b:c", "policy a:b:c"])("%s is read as it is written", (text) => {
  expect(addressesText(addressesOf(text))).toBe(text);
  expect(addressFault(text)).toBe("");
});

test.each(["", "10.0.0.1", "web", "a:b"])("%s is no address of a rule", (text) => {
  expect(addressFault(text)).not.toBe("");
});

test.each(["any", "80", "80-90", "22, 80-90"])("ports %s are read as they are written", (text) => {
  expect(portsText(portsOf(text))).toBe(text);
});

test("ports as other clients write them are shown as any", () => {
  expect(portsText([{ start_port: -1, end_port: -1 }])).toBe("any");
  expect(portsText([])).toBe("any");
});

test.each(["x", "90-80", "70000", "80-"])("ports %s stay as typed and are refused by the form", (text) => {
  const rule = { ...newPolicyRule(), dst_ports: portsOf(text) };
  expect(portsText(rule.dst_ports)).toBe(text);
  expect(checkObject(catalog, "network-policy", { network_policy_entries: entriesOf([rule]) }).size).toBe(1);
});

test("new rules are right as they are", () => {
  expect(checkObject(catalog, "network-policy", { network_policy_entries: entriesOf([newPolicyRule()]) }).size).toBe(0);
  expect(checkObject(catalog, "security-group", { security_group_entries: entriesOf([newGroupRule()]) }).size).toBe(0);
});

test("a group rule turned round keeps whom it is about, and what the table does not show", () => {
  const rule: Document = { ...newGroupRule(), rule_uuid: "u", description: "why" };
  const turned = withEnds(rule, { isIngress: false, remote: "security group a:b:c" });
  expect(groupRuleOf(turned)).toEqual({ isIngress: false, remote: "security group a:b:c" });
  expect([turned["rule_uuid"], turned["description"]]).toEqual(["u", "why"]);
});

test("a prefix of the other family is told of", () => {
  expect(remoteFault("::/0", "IPv4")).not.toBe("");
  expect(remoteFault("::/0", "IPv6")).toBe("");
  expect(remoteFault("a:b:c", "IPv4")).not.toBe("");
});

const OTHER: Document = { to: ["d", "p", "flat"], attr: { ipam_subnets: [] } };
const MAIN: Document = {
  to: ["d", "p", "main"],
  uuid: "m",
  attr: { ipam_subnets: [{ subnet: { ip_prefix: "10.0.0.0", ip_prefix_len: 24 }, subnet_name: "x" }], host_routes: { route: [] } },
};

test("subnets come out of the table as they went in", () => {
  expect(referencesOf(rowsOf([OTHER, MAIN]), [OTHER, MAIN])).toEqual([OTHER, MAIN]);
});

test("an IPAM goes with the last of its subnets, and comes with the first", () => {
  expect(referencesOf([], [OTHER, MAIN])).toEqual([OTHER]);
  const row = { ipam: ["d", "p", "new"], subnet: withPrefix({}, "10.1.0.0/24") };
  expect(referencesOf([row], undefined)).toEqual([{ to: ["d", "p", "new"], attr: { ipam_subnets: [row.subnet] } }]);
});

test.each(["10.0.0.0/24", "fd00::/64"])("prefix %s is read as it is written", (text) => {
  expect(prefixText(withPrefix({}, text))).toBe(text);
  expect(prefixFault(text)).toBe("");
});

test.each(["", "10.0.0.0", "10.0.0/24", "10.0.0.0/33", "300.0.0.0/8"])("%s is no prefix", (text) => {
  expect(prefixFault(text)).not.toBe("");
});

test("pools keep what the table does not show of them", () => {
  const subnet: Document = { allocation_pools: [{ start: "10.0.0.2", end: "10.0.0.9", vrouter_specific_pool: true }] };
  expect(withPools(subnet, poolsText(subnet))).toEqual(subnet);
  expect(withPools(subnet, "")).toEqual({});
});
