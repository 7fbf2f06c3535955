/** What a router joins, and the changes that make it so. */

import { expect, test } from "vitest";

import { EMPTY, faultsOf, type Objects, operationsOf, removal, routerOf, VXLAN, warningsOf, waysOut } from "./router";

const PROJECT = ["d", "p"];

const port = (name: string, network: string, owner = "network:router_interface") => ({
  uuid: name, fq_name: [...PROJECT, name], virtual_network_refs: [{ to: [...PROJECT, network] }], virtual_machine_interface_device_owner: owner,
});

const refTo = (name: string) => ({ to: [...PROJECT, name], uuid: name });

const ROUTER = {
  uuid: "r", fq_name: [...PROJECT, "r"], etag: "7",
  virtual_machine_interface_refs: [refTo("in-a"), refTo("machine")],
  virtual_network_refs: [{ ...refTo("out"), attr: null }, { ...refTo("inner"), attr: { logical_router_virtual_network_type: "InternalVirtualNetwork" } }],
};

const OBJECTS: Objects = { routers: [ROUTER], tables: [], ports: new Map([port("in-a", "a"), port("machine", "b", "compute:x")].map((each) => [each.uuid, each])) };

const uuid = () => "12345678-0000";

test("a router joins the networks of its ports, and leads out by the one outside", () => {
  expect(routerOf(ROUTER, OBJECTS)).toMatchObject({ networks: ["d:p:a", "d:p:b"], external: "d:p:out" });
});

test("nothing changes where nothing was changed", () => {
  expect(operationsOf(routerOf(ROUTER, OBJECTS), OBJECTS, PROJECT, uuid)).toEqual([]);
});

test("a network that comes gets a port, one that goes loses the router's own, with the tag of what was read", () => {
  const wanted = { ...routerOf(ROUTER, OBJECTS), networks: ["d:p:b", "d:p:c"] };
  const [made, patched, gone, ...more] = operationsOf(wanted, OBJECTS, PROJECT, uuid);
  expect(made).toMatchObject({ op: "create", object: { fq_name: [...PROJECT, "r-c-12345678"], virtual_network_refs: [{ to: [...PROJECT, "c"] }] } });
  expect(patched).toMatchObject({ op: "patch", if_match: "7", object: { virtual_machine_interface_refs: [{ to: [...PROJECT, "machine"] }, { to: [...PROJECT, "r-c-12345678"] }] } });
  expect(gone).toEqual({ op: "delete", type: "virtual-machine-interface", uuid: "in-a", cascade: true });
  expect(more).toEqual([]);
});

test("the port of a machine is left alone when its network goes", () => {
  const operations = operationsOf({ ...routerOf(ROUTER, OBJECTS), networks: ["d:p:a"] }, OBJECTS, PROJECT, uuid);
  expect(operations.map(({ op }) => op)).toEqual(["patch"]);
  expect(removal(routerOf(ROUTER, OBJECTS), OBJECTS).map((each) => each.uuid)).toEqual(["r", "in-a"]);
});

test("another network outside leaves the router's inner one as it is", () => {
  const [patched] = operationsOf({ ...routerOf(ROUTER, OBJECTS), external: "d:q:public" }, OBJECTS, PROJECT, uuid);
  expect(patched?.object?.["virtual_network_refs"]).toEqual([ROUTER.virtual_network_refs[1], { to: ["d", "q", "public"], attr: { logical_router_virtual_network_type: "ExternalGateway" } }]);
});

const fault = (part: object) => faultsOf({ ...EMPTY, name: "new", ...part }, OBJECTS);

test("what cannot be is said", () => {
  expect(fault({})).toEqual([]);
  expect(fault({ name: "" })[0]).toContain("a name is needed");
  expect(fault({ name: "r" })[0]).toContain("of this name");
  expect(fault({ networks: ["d:p:a"], external: "d:p:a" })[0]).toContain("cannot be joined too");
  expect(fault({ type: VXLAN, external: "d:p:out" })[0]).toContain("physical routers");
  expect([warningsOf(EMPTY).length, warningsOf({ ...EMPTY, networks: ["a"] }).length, warningsOf({ ...EMPTY, networks: ["a"], external: "o" }).length]).toEqual([1, 1, 0]);
});

test("an address outside says on which host it stands for workloads", () => {
  const [network, host] = ["11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"];
  const named = { uuid: "i", fq_name: [`source-nat-${network}-${host}`], instance_ip_address: "203.0.113.5" };
  expect(waysOut([named, { uuid: "x", fq_name: ["other"] }])).toEqual([{ address: "203.0.113.5", uuid: "i", host }]);
});
