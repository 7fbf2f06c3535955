/** What a port is, and the one transaction that makes it so. */

import { expect, test } from "vitest";

import model from "../../generated/model.json";
import type { Catalog } from "../../model/catalog";
import { checkObject } from "../../model/check";
import { ANY_V6, EMPTY, faultsOf, mirrorOf, operationsOf, type Port, portOf, removal, warningsOf, withMirror } from "./ports";

const PROJECT = ["d", "p"];
const HELD = {
  uuid: "v", fq_name: ["d", "p", "web"], etag: "7", virtual_network_refs: [{ to: ["d", "p", "blue"] }], security_group_refs: [{ to: ["d", "p", "default"] }],
  virtual_machine_interface_mac_addresses: { mac_address: ["02:00:00:00:00:01"] }, virtual_machine_interface_properties: { sub_interface_vlan_tag: 7 },
};
const OWN = { uuid: "a", fq_name: ["a"], instance_ip_address: "10.0.0.3", virtual_machine_interface_refs: [{ to: ["d", "p", "web"], uuid: "v" }] };
const SHARED = { uuid: "s", fq_name: ["s"], instance_ip_address: "10.0.0.9", virtual_machine_interface_refs: [{ to: ["d", "p", "web"], uuid: "v" }, { to: ["d", "p", "other"], uuid: "o" }] };
const NEW: Port = { ...EMPTY, name: "web", network: "d:p:blue" };

function made(port: Port) {
  return operationsOf(port, null, [], PROJECT, () => "u");
}

test("a new port takes an address in the same transaction", () => {
  const [port, address] = made({ ...NEW, groups: ["d:p:default"] });
  expect(port).toEqual({ op: "create", type: "virtual-machine-interface", object: { fq_name: ["d", "p", "web"], parent_type: "project", virtual_network_refs: [{ to: ["d", "p", "blue"] }], security_group_refs: [{ to: ["d", "p", "default"] }], port_security_enabled: true, virtual_machine_interface_disable_policy: false } });
  expect(address).toEqual({ op: "create", type: "instance-ip", object: { uuid: "u", fq_name: ["u"], instance_ip_family: "v4", virtual_network_refs: [{ to: ["d", "p", "blue"] }], virtual_machine_interface_refs: [{ to: ["d", "p", "web"] }] } });
});

test("all that can be said of a port is right by the model", () => {
  const pairs = { allowed_address_pair: [{ ip: { ip_prefix: "10.0.0.100", ip_prefix_len: 32 }, address_mode: "active-standby" }] };
  const fatFlows = { fat_flow_protocol: [{ protocol: "udp", port: 53, ignore_address: "source" }] };
  const port = withMirror({ ...NEW, mac: "02:00:00:00:00:09", qos: "g:gold", tables: ["d:p:behind"], pairs, fatFlows, isSecured: false, isUnpoliced: true }, { direction: "both", analyzer: "d:p:tap", udpPort: "8099" });
  const object = made(port)[0]?.object ?? {};
  expect([...checkObject(model as unknown as Catalog, "virtual-machine-interface", object)]).toEqual([]);
  expect(faultsOf(port)).toEqual([]);
  expect(mirrorOf(port)).toEqual({ direction: "both", analyzer: "d:p:tap", address: "", udpPort: "8099" });
});

test("nothing changes where nothing was changed", () => {
  expect(operationsOf(portOf(HELD, [OWN, SHARED]), HELD, [OWN, SHARED], PROJECT, () => "u")).toEqual([]);
});

test("a change names what changes, and keeps what is not edited here", () => {
  const port = withMirror(portOf(HELD, [OWN]), { direction: "ingress", address: "192.0.2.9" });
  const [patch, ...rest] = operationsOf({ ...port, groups: [] }, HELD, [OWN], PROJECT, () => "u");
  expect(patch).toEqual({ op: "patch", type: "virtual-machine-interface", uuid: "v", if_match: "7", object: { security_group_refs: null, virtual_machine_interface_properties: { interface_mirror: { traffic_direction: "ingress", mirror_to: { analyzer_ip_address: "192.0.2.9" } } } } });
  expect(rest).toEqual([]);
  expect(withMirror(port, { direction: "nothing" }).properties).toEqual({ sub_interface_vlan_tag: 7 });
});

test("an address of its own goes with the port; one that others have stays theirs", () => {
  const port = portOf(HELD, [OWN, SHARED]);
  const left = [{ op: "delete", type: "instance-ip", uuid: "a" }, { op: "patch", type: "instance-ip", uuid: "s", object: { virtual_machine_interface_refs: [{ to: ["d", "p", "other"] }] } }];
  expect(operationsOf({ ...port, addresses: [] }, HELD, [OWN, SHARED], PROJECT, () => "u")).toEqual(left);
  expect(removal(HELD, [OWN, SHARED])).toEqual([...left, { op: "delete", type: "virtual-machine-interface", uuid: "v", if_match: "7" }]);
});

test.each<[Partial<Port>, string]>([
  [{ name: "" }, "name"], [{ network: "" }, "network"], [{ mac: "02:00" }, "MAC"],
  [{ addresses: [{ uuid: "", text: "10.0.0", holders: [] }] }, "10.0.0"],
  [{ pairs: { allowed_address_pair: [{ ip: { ip_prefix: "ten" } }] } }, "table"],
  [withMirror(NEW, { direction: "both" }), "analyzer"], [withMirror(NEW, { direction: "both", address: "here" }), "here"],
  [withMirror(NEW, { direction: "both", analyzer: "d:p:tap", udpPort: "70000" }), "UDP"],
])("%j is told", (part, word) => {
  expect(faultsOf({ ...NEW, ...part }).join()).toContain(word);
});

test("what does nothing is told", () => {
  expect(warningsOf({ ...NEW, addresses: [], isSecured: false, groups: ["d:p:default"] })).toHaveLength(2);
  expect(warningsOf({ ...NEW, addresses: [{ uuid: "", text: ANY_V6, holders: [] }] })).toEqual([]);
});
