/** What a floating address leads to, and the change that makes it so. */

import { expect, test } from "vitest";

import { allocation, changeOf, EMPTY, faultsOf, floatingOf, mappingsText } from "./floating";

const MAPPINGS = { port_mappings: [{ protocol: "TCP", src_port: 80, dst_port: 8080 }] };

const HELD = {
  uuid: "f", fq_name: ["d", "p", "street", "pool", "f"], etag: "3", floating_ip_address: "203.0.113.7",
  virtual_machine_interface_refs: [{ to: ["d", "p", "web"], uuid: "w" }], floating_ip_fixed_ip_address: "10.0.0.3",
};

test("an address is taken from a pool for a project, by the server's choice unless one is named", () => {
  const { object } = allocation({ ...EMPTY, pool: "d:p:street:pool" }, ["d", "q"], "x");
  expect(object).toEqual({ fq_name: ["d", "p", "street", "pool", "x"], parent_type: "floating-ip-pool", project_refs: [{ to: ["d", "q"] }], floating_ip_traffic_direction: "both", floating_ip_port_mappings_enable: false });
  expect(allocation({ ...EMPTY, pool: "d:p:street:pool", address: "2001:db8::7" }, ["d", "q"], "x").object).toMatchObject({ floating_ip_address: "2001:db8::7", floating_ip_address_family: "v6" });
});

test("an address that is let go of leads to no port, and to no address of one", () => {
  expect(changeOf({ ...floatingOf(HELD), ports: [] }, HELD)).toEqual([{ op: "patch", type: "floating-ip", uuid: "f", if_match: "3", object: { virtual_machine_interface_refs: null, floating_ip_fixed_ip_address: null } }]);
});

test("several ports share an address, each by its first one", () => {
  const shared = { ...floatingOf(HELD), ports: ["d:p:web", "d:p:web-2"] };
  expect(changeOf(shared, HELD)).toEqual([{ op: "patch", type: "floating-ip", uuid: "f", if_match: "3", object: { virtual_machine_interface_refs: [{ to: ["d", "p", "web"] }, { to: ["d", "p", "web-2"] }], floating_ip_fixed_ip_address: null } }]);
});

test("nothing changes where nothing was changed", () => {
  expect(changeOf(floatingOf(HELD), HELD)).toEqual([]);
});

test("mapped ports are told and checked", () => {
  const mapped = { ...floatingOf(HELD), isMapped: true, mappings: MAPPINGS };
  expect([mappingsText(floatingOf(HELD)), mappingsText(mapped), mappingsText({ ...mapped, mappings: undefined })]).toEqual(["all ports", "TCP 80 → 8080", "no port"]);
  expect(faultsOf(mapped)).toEqual([]);
  expect(faultsOf({ ...mapped, mappings: { port_mappings: [...MAPPINGS.port_mappings, ...MAPPINGS.port_mappings] } })[0]).toContain("one port of the workload only");
  expect(faultsOf({ ...mapped, mappings: { port_mappings: [{ protocol: "TCP", src_port: 70_000, dst_port: 1 }] } })[0]).toContain("1 to 65535");
  expect(faultsOf(EMPTY)[0]).toContain("pool");
});
