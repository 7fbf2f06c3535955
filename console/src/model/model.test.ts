import { expect, test } from "vitest";

import text from "../generated/model.json";
import { type Catalog, fieldTitle, isForAdministrators, midSentence, typeTitle, typesByFamily, typesTitle } from "./catalog";
import { checkObject, nameFault } from "./check";
import { mergePatch, pruned } from "./document";

const catalog = text as unknown as Catalog;

test("a value out of its range is told where it is", () => {
  const faults = checkObject(catalog, "virtual-network", { mtu: 70000 });

  expect([...faults.keys()]).toEqual(["/mtu"]);
  expect(faults.get("/mtu")).toMatch(/^between \d+ and \d+$/);
});

test("a word that is not of the enumeration is told with those that are", () => {
  const faults = checkObject(catalog, "virtual-network", { virtual_network_category: "tenent" });

  expect(faults.get("/virtual_network_category")).toBe("one of infra, tenant, internal, routed");
});

test("what is wrong deep inside a reference has its whole pointer", () => {
  const attr = { ipam_subnets: [{ subnet: { ip_prefix: "10.0.0.0", ip_prefix_len: "wide" } }] };
  const object = { network_ipam_refs: [{ to: ["a", "b", "c"], attr }] };

  const faults = checkObject(catalog, "virtual-network", object);

  expect([...faults.keys()]).toEqual(["/network_ipam_refs/0/attr/ipam_subnets/0/subnet/ip_prefix_len"]);
});

test("a reference to nothing is told", () => {
  expect([...checkObject(catalog, "virtual-network", { network_policy_refs: [{}] }).keys()]).toEqual([
    "/network_policy_refs/0",
  ]);
});

test("decimal text is a number, as for the server", () => {
  expect(checkObject(catalog, "virtual-network", { mtu: "1500" }).size).toBe(0);
});

test("names have no colons", () => {
  expect(nameFault("web")).toBe("");
  expect(nameFault("a:b")).toMatch(/colon/);
});

test("a patch has what differs, null for what goes, and nothing for empty members", () => {
  const before = { mtu: 1500, display_name: "web", nested: { a: 1, b: 2 }, list: [1] };
  const after = { mtu: 9000, nested: { a: 1, b: 3 }, list: [1], other: "", display_name: "" };

  expect(mergePatch(before, after)).toEqual({ mtu: 9000, display_name: null, nested: { b: 3 } });
});

test("what says nothing is not sent; false and 0 say something", () => {
  expect(pruned({ a: "", b: { c: null }, d: false, e: 0, f: ["", "x"] })).toEqual({ d: false, e: 0, f: ["x"] });
});

test("names of types and fields read as words", () => {
  expect(typeTitle("virtual-machine-interface")).toBe("Virtual machine interface");
  expect(["virtual-network", "network-policy", "network-ipam", "hardware-inventory", "device-chassis", "virtual-DNS", "bgp-as-a-service"].map(typesTitle)).toEqual([
    "Virtual networks", "Network policies", "Network IPAMs", "Hardware inventories", "Device chassis", "Virtual DNS servers", "BGP as a service",
  ]);
  expect(typeTitle("network-ipam")).toBe("Network IPAM");
  expect(["network-ipam", "qos-config"].map((each) => midSentence(typeTitle(each)))).toEqual(["network IPAM", "QoS config"]);
  expect(fieldTitle("virtual_network_refs")).toBe("Virtual network");
  expect(fieldTitle("virtual_network_network_id", "virtual-network")).toBe("Network ID");
  expect(fieldTitle("network_policy_entries", "network-policy")).toBe("Rules");
});

test("every type is in the navigation once", () => {
  const listed = typesByFamily(catalog).flatMap((group) => group.types);

  expect(listed.length).toBe(Object.keys(catalog.objects).length);
  expect(new Set(listed).size).toBe(listed.length);
});

test("every type that a field names is in the model", () => {
  const named = [...Object.values(catalog.objects), ...Object.values(catalog.types)]
    .flatMap((entry) => Object.values("fields" in entry ? entry.fields : entry.properties))
    .filter((field) => field.base === "compound")
    .map((field) => field.type);

  expect(named.filter((name) => catalog.types[name] === undefined)).toEqual([]);
});

test("what reaches beyond a project is for administrators, as the model says", () => {
  const network = catalog.objects["virtual-network"];
  const mirror = catalog.types["MirrorActionType"];

  expect(isForAdministrators(network?.properties["fabric_snat"]?.guard)).toBe(true);
  expect(isForAdministrators(network?.references?.["virtual_network_refs"]?.guard)).toBe(true);
  expect(isForAdministrators(network?.properties["mtu"]?.guard)).toBe(false);
  // Of the bindings only some keys are; of pairs, who may write the network is asked.
  const port = catalog.objects["virtual-machine-interface"];
  expect(isForAdministrators(port?.properties["virtual_machine_interface_bindings"]?.guard)).toBe(false);
  expect(isForAdministrators(port?.properties["virtual_machine_interface_allowed_address_pairs"]?.guard)).toBe(false);
  // An address in a routing instance of his own is anybody's.
  expect(isForAdministrators(mirror?.fields["analyzer_ip_address"]?.guard, {})).toBe(true);
  expect(isForAdministrators(mirror?.fields["analyzer_ip_address"]?.guard, { routing_instance: "d:p:n:n" })).toBe(false);
});
