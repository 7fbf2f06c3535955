/** Numbers of addresses, records and quotas as the tabs of objects show them. */

import { expect, test } from "vitest";

import model from "../../../generated/model.json";
import type { Catalog } from "../../../model/catalog";
import { addressNumber, capacityOf, capacityText, heldOf, inOrder, shareOf, fillOf } from "./addresses";
import { filterOf, limitOf, tenantKey } from "./quotas";
import { EMPTY_RECORD, recordFault } from "./records";

const catalog = model as unknown as Catalog;

test.each([
  ["10.0.0.1", 0x0a000001n], ["::", 0n], ["::1", 1n], ["fd00::", 0xfd00n << 112n], ["1:2:3:4:5:6:7:8", 0x00010002000300040005000600070008n],
])("%s is the number it is", (text, number) => {
  expect(addressNumber(text)).toBe(number);
});

test.each(["", "10.0.0", "256.0.0.1", "1::2::3", "1:2", "g::"])("%s is no address", (text) => {
  expect(addressNumber(text)).toBeUndefined();
});

function subnet(ip_prefix: string, ip_prefix_len: number) {
  return { subnet: { ip_prefix, ip_prefix_len } };
}

test("a subnet has the addresses of its prefix, or of its pools", () => {
  expect(capacityOf(subnet("10.0.0.0", 24))).toBe(254n);
  expect(capacityOf(subnet("10.0.0.0", 31))).toBe(2n);
  expect(capacityText(capacityOf(subnet("fd00::", 64)))).toBe("2^64");
  const pools = [{ start: "10.0.0.10", end: "10.0.0.19" }, { start: "10.0.0.30", end: "10.0.0.30" }];
  const use = fillOf({ ...subnet("10.0.0.0", 24), allocation_pools: pools }, 11);
  expect([use.capacity, shareOf(use)]).toEqual([11n, 100]);
});

function share(used: number, capacity: bigint) {
  return shareOf({ ...fillOf(subnet("10.0.0.0", 24), used), capacity });
}

test("a share is rounded, and no subnet is full before its last address", () => {
  expect([share(1, 252n), share(1, 254n), share(0, 254n), share(0, 0n)]).toEqual([0.4, 0.39, 0, 100]);
  expect([share(65_533, 65_534n), share(65_534, 65_534n)]).toEqual([99.99, 100]);
});

test("addresses are in the order of their numbers", () => {
  const held = ["10.0.0.10", "10.0.0.9"].map((instance_ip_address) => heldOf("instance-ip", { uuid: instance_ip_address, fq_name: [], instance_ip_address }));
  expect(inOrder(held).map((each) => each.address)).toEqual(["10.0.0.9", "10.0.0.10"]);
});

test("a record leads to what its type means", () => {
  const record = { ...EMPTY_RECORD, name: "www", data: "192.0.2.7" };
  expect(recordFault(record)).toBe("");
  expect(recordFault({ ...record, type: "AAAA" })).toContain("IPv6");
  expect(recordFault({ ...record, data: "2001:db8::7" })).toContain("IPv4");
  expect(recordFault({ ...record, type: "CNAME", data: "" })).toContain("a name");
  expect(recordFault({ ...record, type: "MX", data: "mail" })).toContain("preference");
  expect(recordFault({ ...record, ttl: "x" })).toContain("whole number");
  expect(recordFault({ ...record, name: "" })).toContain("a name is needed");
});

test("what counts for a quota is what is below the project, or refers to it", () => {
  expect(filterOf(catalog, "virtual_network", "u")).toBe("parent_uuid:eq:u");
  expect(filterOf(catalog, "floating_ip", "u")).toBe("project_refs:eq:u");
  expect(filterOf(catalog, "security_group_rule", "u")).toBe("");
  expect([limitOf({ defaults: 5, subnet: 2 }, "subnet"), limitOf({ defaults: 5 }, "subnet"), limitOf({}, "subnet")]).toEqual([2, 5, -1]);
});

test("owners and those shared with are the same projects with and without dashes", () => {
  expect(tenantKey("tenant:2b0d865f-930b")).toBe(tenantKey("2b0d865f930b"));
});
