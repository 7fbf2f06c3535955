/** Logical routers: what they join, and the changes that make one so. Pure. */

import { ifUnchanged, type Operation } from "../../api/client";
import { nameFault } from "../../model/check";
import { type ConfigObject, type Document, documentsOf, isDocument, type Json, lastName, textsOf } from "../../model/document";

export const EXTERNAL = "ExternalGateway";
export const SNAT = "snat-routing";
export const VXLAN = "vxlan-routing";
/** Whose ports the router's are: those of others are left alone. */
const OWNER = "network:router_interface";
/** Of the addresses that the compiler makes, one for each host. */
export const SNAT_NAME = "source-nat-";

export interface Objects {
  readonly routers: readonly ConfigObject[];
  /** Ports that routers have, by uuid. */
  readonly ports: ReadonlyMap<string, ConfigObject>;
  readonly tables: readonly ConfigObject[];
}

/** Full names throughout. */
export interface Router {
  readonly uuid: string;
  readonly name: string;
  readonly type: string;
  readonly networks: readonly string[];
  readonly external: string;
  readonly tables: readonly string[];
}

export const EMPTY: Router = { uuid: "", name: "", type: SNAT, networks: [], external: "", tables: [] };

function nameIn(reference: Document): string {
  return textsOf(reference["to"]).join(":");
}

/** A reference that says nothing of its use is one to the network outside. */
function isExternal(reference: Document): boolean {
  const use = isDocument(reference["attr"]) ? reference["attr"]["logical_router_virtual_network_type"] : undefined;
  return use === undefined || use === null || use === EXTERNAL;
}

function networksOf(port: ConfigObject | undefined): string[] {
  return documentsOf(port?.["virtual_network_refs"]).map(nameIn);
}

function portsOf(router: ConfigObject | undefined, { ports }: Objects): { readonly reference: Document; readonly port: ConfigObject | undefined }[] {
  return documentsOf(router?.["virtual_machine_interface_refs"]).map((reference) => ({ reference, port: ports.get(String(reference["uuid"])) }));
}

export function routerOf(object: ConfigObject, objects: Objects): Router {
  return {
    uuid: object.uuid, name: lastName(object.fq_name), type: String(object["logical_router_type"] ?? SNAT),
    networks: [...new Set(portsOf(object, objects).flatMap(({ port }) => networksOf(port)))],
    external: documentsOf(object["virtual_network_refs"]).filter(isExternal).map(nameIn)[0] ?? "",
    tables: documentsOf(object["route_table_refs"]).map(nameIn),
  };
}

export interface Route {
  readonly prefix: string;
  readonly nextHop: string;
}

export function routesOf(table: ConfigObject | undefined): Route[] {
  const routes = isDocument(table?.["routes"]) ? table["routes"]["route"] : undefined;
  return documentsOf(routes).map((each) => ({ prefix: String(each["prefix"] ?? ""), nextHop: String(each["next_hop"] ?? "") }));
}

export function faultsOf(router: Router, objects: Objects): string[] {
  const isTaken = router.uuid === "" && objects.routers.some((each) => lastName(each.fq_name) === router.name.trim());
  return [
    ...(router.uuid === "" && nameFault(router.name) !== "" ? [`The router: ${nameFault(router.name)}`] : []),
    ...(isTaken ? ["There is a router of this name in the project"] : []),
    ...(router.external !== "" && router.networks.includes(router.external) ? ["The network outside cannot be joined too: take it out of the networks"] : []),
    ...(router.type === VXLAN && router.external !== "" ? ["A VXLAN router is led out by physical routers, not by a network outside"] : []),
  ];
}

/** What holds and is still not what one wants. */
export function warningsOf(router: Router): string[] {
  if (router.networks.length === 0) return ["It joins nothing yet: choose networks."];
  if (router.networks.length === 1 && router.external === "") return ["One network alone: there is nothing to join it with, and no way out."];
  return [];
}

function same(one: readonly string[], other: readonly string[]): boolean {
  return one.toSorted().join(",") === other.toSorted().join(",");
}

const toAll = (names: readonly string[]) => names.map((each) => ({ to: each.split(":") }));

/** Creates ports in networks that come, changes the router, then takes its own ports away from those that go; none where nothing changes. */
export function operationsOf(router: Router, objects: Objects, project: readonly string[], newUuid: () => string): Operation[] {
  const before = objects.routers.find((each) => each.uuid === router.uuid);
  const was = before === undefined ? EMPTY : routerOf(before, objects);
  const name = router.name.trim();
  const held = portsOf(before, objects);
  const isLeft = (port: ConfigObject | undefined) => port !== undefined && networksOf(port).length > 0 && networksOf(port).every((each) => !router.networks.includes(each));
  const added = router.networks.filter((each) => !was.networks.includes(each)).map((network) => {
    const uuid = newUuid();
    const object = { uuid, fq_name: [...project, `${name}-${lastName(network.split(":"))}-${uuid.slice(0, 8)}`], parent_type: "project", virtual_network_refs: toAll([network]), virtual_machine_interface_device_owner: OWNER };
    return { op: "create" as const, type: "virtual-machine-interface", object };
  });
  const kept = held.filter(({ port }) => !isLeft(port)).map(({ reference }) => ({ to: textsOf(reference["to"]) }));
  const others = documentsOf(before?.["virtual_network_refs"]).filter((each) => !isExternal(each));
  const members: Record<string, Json> = {
    ...(same(router.networks, was.networks) ? {} : { virtual_machine_interface_refs: [...kept, ...added.map(({ object }) => ({ to: object.fq_name }))] }),
    ...(router.external === was.external ? {} : { virtual_network_refs: [...others, ...toAll(router.external === "" ? [] : [router.external]).map((each) => ({ ...each, attr: { logical_router_virtual_network_type: EXTERNAL } }))] }),
    ...(same(router.tables, was.tables) ? {} : { route_table_refs: toAll(router.tables) }),
  };
  if (before === undefined) {
    return [...added, { op: "create", type: "logical-router", object: { fq_name: [...project, name], parent_type: "project", logical_router_type: router.type, ...members } }];
  }
  if (Object.keys(members).length === 0) return [];
  const gone = held.flatMap(({ port }) => (isLeft(port) && port?.["virtual_machine_interface_device_owner"] === OWNER ? [port] : []));
  return [
    ...added,
    { op: "patch", type: "logical-router", uuid: before.uuid, object: members, ...ifUnchanged(before) },
    // With the addresses that they have.
    ...gone.map((port): Operation => ({ op: "delete", type: "virtual-machine-interface", uuid: port.uuid, cascade: true })),
  ];
}

/** Takes the router away with the ports that are its own. */
export function removal(router: Router, objects: Objects): Operation[] {
  const before = objects.routers.find((each) => each.uuid === router.uuid);
  if (before === undefined) return [];
  const own = portsOf(before, objects).flatMap(({ port }) => (port?.["virtual_machine_interface_device_owner"] === OWNER ? [port] : []));
  return [
    { op: "delete", type: "logical-router", uuid: before.uuid, ...ifUnchanged(before) },
    ...own.map((port): Operation => ({ op: "delete", type: "virtual-machine-interface", uuid: port.uuid, cascade: true })),
  ];
}

export interface WayOut {
  readonly address: string;
  readonly uuid: string;
  /** uuid of the virtual router whose workloads leave by it. */
  readonly host: string;
}

/** Addresses by which workloads leave, from those of the network outside. */
export function waysOut(addresses: readonly ConfigObject[]): WayOut[] {
  return addresses.filter((each) => lastName(each.fq_name).startsWith(SNAT_NAME)).map((each) => ({
    address: String(each["instance_ip_address"] ?? ""), uuid: each.uuid, host: lastName(each.fq_name).slice(-36),
  }));
}
