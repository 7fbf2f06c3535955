/** Lists as tables: a row's text is read as it is written, and what a table does not show of an element stays. */

import { expect, test } from "vitest";

import model from "../generated/model.json";
import type { Catalog } from "../model/catalog";
import { checkObject } from "../model/check";
import type { Document } from "../model/document";
import { columnsOf, elementsOf, listFaults, valueOf, withAt } from "./columns";
import { LISTS, rolesOf, rolesText } from "./lists";
import { madeFaults } from "./made";
import { STRUCTS } from "./structs";
import { communitiesFault, extendedFault, matchesOf, matchesText } from "./routing";

const catalog = model as unknown as Catalog;

const EXAMPLES: readonly [string, readonly string[]][] = [
  ["service-group service_group_firewall_service_list", ["udp 53 from 1024-65535"]],
  ["address-group address_group_prefix", ["192.0.2.0/24"]],
  ["route-table routes", ["10.0.0.0/8", "ip-address", "10.1.0.5", "64512:7, no-export"]],
  ["interface-route-table interface_route_table_routes", ["10.0.0.0/8", "64512:7, no-export"]],
  ["interface-route-table service_instance_refs", ["d:p:fw", "right"]],
  ["routing-policy routing_policy_entries", [
    "bgp, static", "10.0.0.0/8 orlonger, 10.1.0.0/16", "64512:7", "200", "5", "64512:8", "reject",
    "all", "target:64512:7", "all", "64512, 64513", "10.0.0.0/8 upto /16, 10.1.0.0/16 prefix-length-range /17-/24, 10.2.0.0/16", "u-1, u-2", "orlonger", "150", "inet-vpn", "2, 5",
    "64512, 64512", "64512:9", "no-export", "origin:192.0.2.1:7", "rt:64512:9", "0x0002fc0000000007", "policy",
  ]],
  ["routing-policy service_instance_refs", ["d:p:fw", "1.0", "2"]],
  ["virtual-network routing_policy_refs", ["d:p:prefer"]],
  ["virtual-network network_policy_refs", ["d:p:allow"]],
  ["route-aggregate service_instance_refs", ["d:p:fw", "left"]],
  ["floating-ip floating_ip_port_mappings", ["TCP", "80", "8080"]],
  ["virtual-machine-interface virtual_machine_interface_allowed_address_pairs", ["10.0.0.100/32", "02:00:5e:10:00:01", "active-standby"]],
  ["virtual-machine-interface virtual_machine_interface_fat_flow_protocols", ["udp", "53", "source", "10.0.0.0/8", "24", "192.0.2.0/24", ""]],
  ["virtual-machine-interface virtual_machine_interface_host_routes", ["10.0.0.0/8", "10.1.0.5"]],
  ["virtual-machine-interface virtual_machine_interface_dhcp_option_list", ["ntp-servers", "192.0.2.1", ""]],
  ["virtual-network virtual_network_fat_flow_protocols", ["tcp", "443", "destination", "", "", "", ""]],
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
  const columns = columnsOf(spec);
  const element = columns.reduce((each, column, index) => column.put(each, texts[index] ?? ""), spec.fresh);
  expect(columns.map((column) => column.show(element))).toEqual(texts);
  const value = valueOf(spec, [element], undefined);
  expect([...listFaults(spec, value, [member])]).toEqual([]);
  expect(elementsOf(spec, value)).toMatchObject([element]);
  expect([...checkObject(catalog, type, { [member]: value })]).toEqual([]);
  const entry = catalog.objects[type];
  expect(member in { ...entry?.properties, ...entry?.references }).toBe(true);
});

test.each([
  ["service-group service_group_firewall_service_list", 0, "tpc 80"],
  ["address-group address_group_prefix", 0, "192.0.2.0"],
  ["routing-policy routing_policy_entries", 1, "10.0.0.0/8 longest"],
  ["routing-policy routing_policy_entries", 11, "10.0.0.0/8 upto 16"],
  ["routing-policy routing_policy_entries", 11, "10.0.0.0/8 within /16"],
  ["api-access-list api_access_list_entries", 2, "member XYZ"],
  ["api-access-list api_access_list_entries", 2, ""],
  ["route-table routes", 0, "10.0.0.0"],
  ["virtual-machine-interface virtual_machine_interface_allowed_address_pairs", 0, "10.0.0"],
  ["virtual-machine-interface virtual_machine_interface_allowed_address_pairs", 1, "02:00"],
  ["virtual-machine-interface virtual_machine_interface_fat_flow_protocols", 1, "65536"],
  ["virtual-machine-interface virtual_machine_interface_host_routes", 1, "gateway"],
  ["route-table routes", 2, "10.0.0.300"],
  ["route-table routes", 3, "64512"],
])("%s: column %i does not take %j", (name, column, text) => {
  expect(LISTS[name]?.columns[column]?.fault?.(text, {})).not.toBe("");
});

function hopFaults(route: Document): string[] {
  const value = { route: [{ prefix: "10.0.0.0/8", next_hop_type: "ip-address", ...route }] };
  return [...listFaults(LISTS["route-table routes"]!, value, [])].map(([, told]) => told);
}

test("a next hop is an address of the prefix's family, or a service instance", () => {
  expect(hopFaults({ next_hop: "10.1.0.5" })).toEqual([]);
  expect(hopFaults({ next_hop: "fd00::5" })).toEqual(["the prefix is of the other address family"]);
  expect(hopFaults({ next_hop_type: "service-instance", next_hop: "10.1.0.5" })).toEqual(["a service instance as domain:project:name"]);
  expect(hopFaults({ next_hop_type: "service-instance", next_hop: "d:p:fw" })).toEqual([]);
});

test("communities are what a route can carry", () => {
  expect(communitiesFault("64512:7, no-export")).toBe("");
  expect(communitiesFault("64512:7, 70000:1")).toContain("70000:1");
  expect(communitiesFault("no-exprot")).toContain("no-exprot");
  expect(extendedFault("target:4200000000:7, origin:192.0.2.1:7, 0x0002fc0000000007")).toBe("");
  for (const wrong of ["target:64512", "target:4200000000:70000", "target:192.0.2.1:70000", "colour:1:2", "target:192.0.2.300:7"]) expect(extendedFault(wrong)).toContain(wrong);
});

test("policies stand in their order, and are numbered by it when that changes", () => {
  const spec = LISTS["virtual-network routing_policy_refs"]!;
  const held = [{ to: ["c"] }, { to: ["b"], attr: { sequence: "2.10" } }, { to: ["a"], attr: { sequence: "2.9" } }];
  const elements = elementsOf(spec, held);
  expect(elements.map((each) => each["to"])).toEqual([["a"], ["b"], ["c"]]);
  expect(valueOf(spec, elements.toReversed(), held)).toEqual([
    { to: ["c"], attr: { sequence: "1.0" } }, { to: ["b"], attr: { sequence: "2.0" } }, { to: ["a"], attr: { sequence: "3.0" } },
  ]);
});

test("a list that nobody changed keeps nobody from saving the rest", () => {
  const wrong = { routes: { route: [{ prefix: "everything" }] } };
  expect(madeFaults("route-table", wrong, { ...wrong, display_name: "x" }).size).toBe(0);
  expect(madeFaults("route-table", {}, wrong).size).toBeGreaterThan(0);
});

test("what only the form of all members has is told", () => {
  const term = { term_match_condition: { prefix_list: [{ interface_route_table_uuid: ["u"] }, { interface_route_table_uuid: ["v"] }], as_path: [1] }, term_action_list: { external: "ospf-type-1" } };
  expect(LISTS["routing-policy routing_policy_entries"]?.beside?.(term)).toEqual(["further tables of prefixes", "an external type given"]);
});

test("an address alone is the longest prefix, and one workload at a time has no wide one", () => {
  const [ip, , mode] = LISTS["virtual-machine-interface virtual_machine_interface_allowed_address_pairs"]!.columns;
  expect(ip?.show(ip.put({}, "10.0.0.7"))).toBe("10.0.0.7/32");
  expect(ip?.show(ip.put({}, "fd00::7"))).toBe("fd00::7/128");
  expect(mode?.fault?.("active-standby", { ip: { ip_prefix: "10.0.0.0", ip_prefix_len: 16 } })).toContain("/24");
  expect(mode?.fault?.("active-standby", { ip: { ip_prefix: "fd00::", ip_prefix_len: 120 } })).toBe("");
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

const CELLS: Readonly<Record<string, readonly string[]>> = {
  "virtual-DNS virtual_DNS_data": ["example.net", "d:upstream", "fixed", "300", "60", "yes", "yes", "no", "dashed-ip"],
  "bgp-router bgp_router_parameters": ["64512", "192.0.2.1", "179", "192.0.2.1", "other", "router", "inet-vpn, e-vpn", "90", "64513", "1", "no"],
};

test.each(Object.entries(STRUCTS))("%s: what is typed is shown again, and is right by the model", (name, spec) => {
  const [type = "", member = ""] = name.split(" ");
  const columns = spec.groups.flatMap((group) => group.columns);
  const texts = CELLS[name] ?? [];
  const held = columns.reduce<Document>((each, column, index) => column.put(each, texts[index] ?? ""), {});
  expect(columns.map((column) => column.show(held))).toEqual(texts);
  expect([...checkObject(catalog, type, { [member]: held })]).toEqual([]);
  expect([...madeFaults(type, {}, { [member]: held })]).toEqual([]);
  expect(member in (catalog.objects[type]?.properties ?? {})).toBe(true);
});

test.each([
  ["virtual-DNS", { virtual_DNS_data: { domain_name: "no zone" } }],
  ["virtual-DNS", { virtual_DNS_data: { domain_name: "example.net", next_virtual_DNS: "upstream" } }],
  ["bgp-router", { bgp_router_parameters: { autonomous_system: 0 } }],
  ["bgp-router", { bgp_router_parameters: { autonomous_system: 1, address: "router1" } }],
])("%s: %j is refused", (type, object) => {
  expect(madeFaults(type, {}, object).size).toBe(1);
});
