/** Ports of workloads: what one is, and the changes that make it so. Pure. */

import { ifUnchanged, type Operation } from "../../api/client";
import { at, listFaults, withAt } from "../../forms/columns";
import { FAT_FLOWS, macFault, PAIRS } from "../../forms/ports";
import { nameFault } from "../../model/check";
import { type ConfigObject, type Document, documentsOf, equal, isDocument, isEmpty, type Json, lastName, mergePatch, namesOf, pruned, textsOf } from "../../model/document";
import { numberOf as addressNumber } from "../../model/prefix";

export const ANY_V4 = "any IPv4";
export const ANY_V6 = "any IPv6";
const [PAIRS_OF, FAT_OF, PROPERTIES] = ["virtual_machine_interface_allowed_address_pairs", "virtual_machine_interface_fat_flow_protocols", "virtual_machine_interface_properties"] as const;
const MACS = "virtual_machine_interface_mac_addresses";
const UNPOLICED = "virtual_machine_interface_disable_policy";
const MIRROR = ["interface_mirror"];
export const FIELDS = [
  "virtual_network_refs", "virtual_machine_refs", "virtual_machine_interface_device_owner", "security_group_refs", "qos_config_refs", "interface_route_table_refs",
  MACS, PAIRS_OF, FAT_OF, PROPERTIES, UNPOLICED, "port_security_enabled", "etag",
];

/** An address of a port; one without uuid is yet to be taken. */
export interface Address {
  readonly uuid: string;
  readonly text: string;
  /** Ports that have it: one that others have too is only let go of. */
  readonly holders: readonly Document[];
}

/** Full names throughout. */
export interface Port {
  readonly uuid: string;
  readonly name: string;
  readonly network: string;
  readonly mac: string;
  readonly addresses: readonly Address[];
  readonly groups: readonly string[];
  readonly tables: readonly string[];
  readonly qos: string;
  readonly isSecured: boolean;
  readonly isUnpoliced: boolean;
  readonly pairs: Json | undefined;
  readonly fatFlows: Json | undefined;
  /** `virtual_machine_interface_properties`: the mirror is in it, with what is not edited here. */
  readonly properties: Document;
}

export const EMPTY: Port = {
  uuid: "", name: "", network: "", mac: "", addresses: [{ uuid: "", text: ANY_V4, holders: [] }], groups: [], tables: [], qos: "",
  isSecured: true, isUnpoliced: false, pairs: undefined, fatFlows: undefined, properties: {},
};

export function addressOf(object: ConfigObject): Address {
  return { uuid: object.uuid, text: String(object["instance_ip_address"] ?? ""), holders: documentsOf(object["virtual_machine_interface_refs"]) };
}

export function portOf(object: ConfigObject, addresses: readonly ConfigObject[]): Port {
  const macs = object[MACS];
  const properties = object[PROPERTIES];
  return {
    uuid: object.uuid, name: lastName(object.fq_name), network: namesOf(object["virtual_network_refs"])[0] ?? "",
    mac: isDocument(macs) ? (textsOf(macs["mac_address"])[0] ?? "") : "", addresses: addresses.map(addressOf),
    groups: namesOf(object["security_group_refs"]), tables: namesOf(object["interface_route_table_refs"]), qos: namesOf(object["qos_config_refs"])[0] ?? "",
    isSecured: object["port_security_enabled"] !== false, isUnpoliced: object[UNPOLICED] === true,
    pairs: object[PAIRS_OF], fatFlows: object[FAT_OF], properties: isDocument(properties) ? properties : {},
  };
}

/** What is copied of the port's traffic, and to whom. */
export interface Mirror {
  readonly direction: string;
  readonly analyzer: string;
  readonly address: string;
  readonly udpPort: string;
}

export const NO_MIRROR = "nothing";

export function mirrorOf({ properties }: Port): Mirror {
  const text = (...way: string[]) => String(at(properties, [...MIRROR, ...way]) ?? "");
  return {
    direction: text("traffic_direction") || NO_MIRROR, analyzer: text("mirror_to", "analyzer_name"),
    address: text("mirror_to", "analyzer_ip_address"), udpPort: text("mirror_to", "udp_port"),
  };
}

/** The port with a part of its mirror changed; what is not edited here stays while there is a mirror. */
export function withMirror(port: Port, part: Partial<Mirror>): Port {
  const next = { ...mirrorOf(port), ...part };
  if (next.direction === NO_MIRROR) return { ...port, properties: withAt(port.properties, MIRROR, undefined) };
  const members: readonly (readonly [string[], Json | undefined])[] = [
    [["traffic_direction"], next.direction],
    [["mirror_to", "analyzer_name"], next.analyzer || undefined],
    [["mirror_to", "analyzer_ip_address"], next.address.trim() || undefined],
    [["mirror_to", "udp_port"], /^\d+$/.test(next.udpPort) ? Number(next.udpPort) : next.udpPort || undefined],
  ];
  return { ...port, properties: members.reduce((held, [way, value]) => withAt(held, [...MIRROR, ...way], value), port.properties) };
}

function mirrorFaults(port: Port): string[] {
  const { direction, analyzer, address, udpPort } = mirrorOf(port);
  if (direction === NO_MIRROR) return [];
  return [
    ...(analyzer === "" && address === "" ? ["Mirroring: name the analyzer, or its address"] : []),
    ...(address !== "" && addressNumber(address) === undefined ? [`Mirroring: ${address} is no address`] : []),
    ...(udpPort !== "" && !(/^\d{1,5}$/.test(udpPort) && Number(udpPort) > 0 && Number(udpPort) < 65_536) ? ["Mirroring: the UDP port is 1 to 65535"] : []),
  ];
}

export function addressFault(text: string): string {
  return text === ANY_V4 || text === ANY_V6 || addressNumber(text) !== undefined ? "" : `${text}: an address of the network, ${ANY_V4} or ${ANY_V6}`;
}

export function faultsOf(port: Port): string[] {
  const isNew = port.uuid === "";
  return [
    ...(isNew && nameFault(port.name) !== "" ? [`The port: ${nameFault(port.name)}`] : []),
    ...(port.network === "" ? ["Choose the network that it is in"] : []),
    ...(isNew && macFault(port.mac.trim()) !== "" ? [`The MAC: ${macFault(port.mac.trim())}`] : []),
    ...port.addresses.filter((each) => each.uuid === "" && addressFault(each.text) !== "").map((each) => addressFault(each.text)),
    ...mirrorFaults(port),
    ...(listFaults(PAIRS, port.pairs, []).size + listFaults(FAT_FLOWS, port.fatFlows, []).size > 0 ? ["A table has texts that mean nothing"] : []),
  ];
}

/** What holds and is still not what one wants. */
export function warningsOf(port: Port): string[] {
  return [
    ...(port.addresses.length === 0 ? ["It has no address: DHCP gives it none, and nobody reaches it by IP."] : []),
    ...(port.isUnpoliced ? ["No policy, group or mirror is applied to its traffic: it passes as packets, without flows."] : []),
    ...(!port.isSecured && port.groups.length > 0 ? ["Its security groups do nothing: they go with the check of senders, which is off."] : []),
  ];
}

const toAll = (names: readonly string[]) => names.map((each) => ({ to: each.split(":") }));

function membersOf(port: Port): Document {
  return {
    security_group_refs: toAll(port.groups), interface_route_table_refs: toAll(port.tables), qos_config_refs: toAll(port.qos === "" ? [] : [port.qos]),
    port_security_enabled: port.isSecured, [UNPOLICED]: port.isUnpoliced,
    [PAIRS_OF]: port.pairs, [FAT_OF]: port.fatFlows, [PROPERTIES]: isEmpty(port.properties) ? undefined : port.properties,
  };
}

function taking({ text }: Address, port: Port, name: readonly string[], uuid: string): Operation {
  const asked = text === ANY_V4 ? { instance_ip_family: "v4" } : text === ANY_V6 ? { instance_ip_family: "v6" } : { instance_ip_address: text.trim() };
  return { op: "create", type: "instance-ip", object: { uuid, fq_name: [uuid], ...asked, virtual_network_refs: toAll([port.network]), virtual_machine_interface_refs: [{ to: [...name] }] } };
}

/** An address that others have too stays theirs. */
function leaving({ uuid, holders }: Address, port: Port): Operation {
  const others = holders.filter((each) => each["uuid"] !== port.uuid).map((each) => ({ to: textsOf(each["to"]) }));
  if (others.length === 0) return { op: "delete", type: "instance-ip", uuid };
  return { op: "patch", type: "instance-ip", uuid, object: { virtual_machine_interface_refs: others } };
}

/** One transaction: the port and its addresses; none where nothing changes. */
export function operationsOf(port: Port, before: ConfigObject | null, held: readonly ConfigObject[], project: readonly string[], newUuid: () => string): Operation[] {
  const name = before?.fq_name ?? [...project, port.name.trim()];
  const taken = port.addresses.filter((each) => each.uuid === "").map((each) => taking(each, port, name, newUuid()));
  if (before === null) {
    const mac = port.mac.trim() === "" ? {} : { [MACS]: { mac_address: [port.mac.trim()] } };
    const object = { fq_name: name, parent_type: "project", virtual_network_refs: toAll([port.network]), ...mac, ...(pruned(membersOf(port)) as Document) };
    return [{ op: "create", type: "virtual-machine-interface", object }, ...taken];
  }
  const was = portOf(before, held);
  const [from, to] = [membersOf(was), membersOf(port)];
  const patch = equal(from, to) ? {} : mergePatch(from, to);
  const left = was.addresses.filter((each) => !port.addresses.some(({ uuid }) => uuid === each.uuid));
  return [
    ...(Object.keys(patch).length === 0 ? [] : [{ op: "patch" as const, type: "virtual-machine-interface", uuid: before.uuid, object: patch, ...ifUnchanged(before) }]),
    ...left.map((each) => leaving(each, port)),
    ...taken,
  ];
}

/** Takes the port away with addresses that are its alone. */
export function removal(before: ConfigObject, held: readonly ConfigObject[]): Operation[] {
  const port = portOf(before, held);
  return [...port.addresses.map((each) => leaving(each, port)), { op: "delete", type: "virtual-machine-interface", uuid: before.uuid, ...ifUnchanged(before) }];
}
