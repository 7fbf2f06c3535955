/** Subnets of many networks as rows, and which addresses are theirs. */

import { expect, test } from "vitest";

import { capacityOf, capacityText, isWithin } from "../objects/tabs/addresses";
import { holderText, ofNetworks, ownOf, rowOf, startOf, subnetsOf, uncounted } from "./use";

function subnet(ip_prefix: string, ip_prefix_len: number, more: Readonly<Record<string, string>> = {}) {
  return { subnet: { ip_prefix, ip_prefix_len }, subnet_uuid: `${ip_prefix}/${ip_prefix_len}`, ...more };
}

const network = (name: string, ...ipam_subnets: ReturnType<typeof subnet>[]) => ({ uuid: name, fq_name: ["d", "p", name], network_ipam_refs: [{ to: ["d", "p", "i"], attr: { ipam_subnets } }] });

test("gateway and DNS server have addresses that ports cannot get", () => {
  const own = { default_gateway: "10.0.0.1", dns_server_address: "10.0.0.2" };
  expect(capacityOf(subnet("10.0.0.0", 29, own))).toBe(4n);
  expect(capacityOf(subnet("10.0.0.0", 29, { ...own, dns_server_address: "10.0.0.1" }))).toBe(5n);
  expect(capacityOf({ ...subnet("10.0.0.0", 24, own), allocation_pools: [{ start: "10.0.0.2", end: "10.0.0.9" }] })).toBe(7n);
  expect(capacityText(capacityOf(subnet("fd00::", 64, { default_gateway: "fd00::1" })))).toBe("2^64");
});

test("a counted subnet has what the server says of it, however much that is", () => {
  const row = rowOf({ holder_type: "network-ipam", holder_uuid: "i", holder_name: ["d", "p", "i"], subnet: subnet("fd00::", 64), used: 7, capacity: "18446744073709551612" });
  expect([row.prefix, row.holder, row.use?.used, row.use?.capacity, holderText(row)]).toEqual(["fd00::/64", "network-ipam", 7, 2n ** 64n - 4n, "flat IPAM i"]);
});

test("nothing is known of how much was used", () => {
  expect(subnetsOf("virtual-network", network("n", subnet("10.0.0.0", 24))).map(uncounted).map(({ prefix, use }) => [prefix, use])).toEqual([["10.0.0.0/24", undefined]]);
});

test("a flat IPAM has the subnets that it shares", () => {
  const ipam = { uuid: "i", fq_name: ["d", "p", "i"], ipam_subnets: { subnets: [subnet("10.9.0.0", 16)] } };
  expect(subnetsOf("network-ipam", ipam).map(({ uuid, holder }) => [uuid, holder])).toEqual([["10.9.0.0/16", "network-ipam"]]);
  expect(subnetsOf("network-ipam", { uuid: "i", fq_name: [] })).toEqual([]);
});

test.each([
  ["10.1.2.0", 24, "10.1.2."], ["10.1.2.128", 25, "10.1.2."], ["10.0.0.0", 9, "10."], ["0.0.0.0", 0, ""], ["10.1.2.3", 32, "10.1.2.3"], ["fd00:1::", 64, "fd00:"], ["::", 0, ""],
])("all addresses of %s/%i begin with %s", (prefix, length, start) => {
  expect(startOf(subnet(prefix, length))).toBe(start);
});

test("an address is of the subnet whose prefix it has", () => {
  expect([isWithin(subnet("10.0.0.128", 25), "10.0.0.130"), isWithin(subnet("10.0.0.128", 25), "10.0.0.1"), isWithin(subnet("10.0.0.0", 8), "fd00::1"), isWithin(subnet("fd00::", 64), "fd00::1")]).toEqual([true, false, false, true]);
});

const floating = (project: string) => ({ uuid: project, fq_name: ["d", project, "n", "pool", "f"], floating_ip_address: "10.0.0.9" });

test("public addresses are those of the subnet's own networks, which may have the same prefix elsewhere", () => {
  expect(ofNetworks("floating-ip", [floating("p"), floating("q")], new Set(["d:p:n"])).map(({ uuid, kind }) => [uuid, kind])).toEqual([["p", "floating"]]);
});

test("a network that answers as no gateway has no address of it", () => {
  const [one] = subnetsOf("virtual-network", network("n", subnet("10.0.0.0", 24, { default_gateway: "0.0.0.0", dns_server_address: "10.0.0.2" })));
  expect(ownOf(one!).map(({ address, kind }) => [address, kind])).toEqual([["10.0.0.2", "DNS server"]]);
});
