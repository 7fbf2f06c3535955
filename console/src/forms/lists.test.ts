/** Lists as tables: a row's text is read as it is written, and what a table does not show of an element stays. */

import { expect, test } from "vitest";

import model from "../generated/model.json";
import type { Catalog } from "../model/catalog";
import { checkObject } from "../model/check";
import type { Document } from "../model/document";
import { elementsOf, LISTS, matchesOf, matchesText, rolesOf, rolesText, valueOf, withAt } from "./lists";

const catalog = model as unknown as Catalog;

const EXAMPLES: readonly [string, readonly string[]][] = [
  ["service-group service_group_firewall_service_list", ["udp 53 from 1024-65535"]],
  ["address-group address_group_prefix", ["192.0.2.0/24"]],
  ["route-table routes", ["10.0.0.0/8", "ip-address", "10.1.0.5", "64512:7, no-export"]],
  ["interface-route-table interface_route_table_routes", ["10.0.0.0/8", "ip-address", "", ""]],
  ["routing-policy routing_policy_entries", ["bgp, static", "10.0.0.0/8 orlonger, 10.1.0.0/16", "64512:7", "200", "5", "64512:8", "reject"]],
  ["floating-ip floating_ip_port_mappings", ["TCP", "80", "8080"]],
  ["api-access-list api_access_list_entries", ["virtual-network", "", "member CRUD, reader R"]],
  ["qos-config dscp_entries", ["46", "1"]],
  ["qos-config vlan_priority_entries", ["5", "1"]],
  ["qos-config mpls_exp_entries", ["5", "1"]],
];

test("every table has an example here", () => {
  expect(EXAMPLES.map(([name]) => name).toSorted()).toEqual(Object.keys(LISTS).toSorted());
});

test.each(EXAMPLES)("%s: what is typed is shown again, and is right by the model", (name, texts) => {
  const spec = LISTS[name];
  if (spec === undefined) throw new Error(name);
  const [type = "", member = ""] = name.split(" ");
  const element = spec.columns.reduce((each, column, index) => column.put(each, texts[index] ?? ""), spec.fresh);
  expect(spec.columns.map((column) => column.show(element))).toEqual(texts);
  expect(spec.columns.map((column) => column.fault?.(column.show(element)) ?? "").join("")).toBe("");
  const value = valueOf(spec, [element], undefined);
  expect(elementsOf(spec, value)).toEqual([element]);
  expect([...checkObject(catalog, type, { [member]: value })]).toEqual([]);
  expect(member in (catalog.objects[type]?.properties ?? {})).toBe(true);
});

test.each([
  ["service-group service_group_firewall_service_list", 0, "tpc 80"],
  ["address-group address_group_prefix", 0, "192.0.2.0"],
  ["routing-policy routing_policy_entries", 1, "10.0.0.0/8 longest"],
  ["api-access-list api_access_list_entries", 2, "member XYZ"],
  ["api-access-list api_access_list_entries", 2, ""],
])("%s: column %i does not take %j", (name, column, text) => {
  expect(LISTS[name]?.columns[column]?.fault?.(text)).not.toBe("");
});

test("an emptied table takes the member away", () => {
  expect(valueOf(LISTS["route-table routes"]!, [], { route: [{}] })).toBeUndefined();
});

test("a changed cell leaves what the table does not show", () => {
  const term: Document = { term_match_condition: { as_path: [1], protocol: ["bgp"] }, term_action_list: { action: "accept", update: { med: 5 } } };
  expect(withAt(term, ["term_match_condition", "protocol"], undefined)["term_match_condition"]).toEqual({ as_path: [1] });
  expect(withAt(term, ["term_action_list", "update", "med"], undefined)["term_action_list"]).toEqual({ action: "accept" });
});

test("prefixes and roles are read as they are written", () => {
  expect(matchesText(matchesOf("10.0.0.0/8 longer, fd00::/8"))).toBe("10.0.0.0/8 longer, fd00::/8");
  expect(rolesText(rolesOf("a CR, * R"))).toBe("a CR, * R");
});
