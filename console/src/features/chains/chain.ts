/** Service chains: a rule of a network policy that leads traffic between two networks through services. Pure. */

import { ifUnchanged, type Operation } from "../../api/client";
import { addressesText, portsOf, portsText, rulesOf } from "../../forms/rules";
import { type ConfigObject, type Document, equal, isDocument, isList, lastName, namesOf, textsOf } from "../../model/document";

export const MODES = ["in-network", "in-network-nat", "transparent"] as const;
export const SERVICES_MAX = 16;
const STANDBY_PREFERENCE = 100;

export interface Copy {
  readonly name: string;
  readonly uuid: string;
  /** Sides that have a port. */
  readonly sides: readonly string[];
  readonly isStandby: boolean;
  /** Security groups of its ports. */
  readonly groups: readonly string[];
}

export interface Service {
  /** `domain:project:name` */
  readonly name: string;
  readonly uuid: string;
  readonly mode: string;
  readonly copies: readonly Copy[];
  readonly checks: readonly string[];
}

export interface Chain {
  /** Full name of the policy; empty: one is made. */
  readonly policy: string;
  /** Place of the rule in it; -1: it is new. */
  readonly index: number;
  readonly left: string;
  readonly right: string;
  readonly isBothWays: boolean;
  readonly protocol: string;
  readonly ports: string;
  readonly services: readonly string[];
}

export const EMPTY: Chain = { policy: "", index: -1, left: "", right: "", isBothWays: true, protocol: "any", ports: "any", services: [] };

export interface Objects {
  readonly instances: readonly ConfigObject[];
  readonly templates: readonly ConfigObject[];
  readonly tuples: readonly ConfigObject[];
  readonly ports: readonly ConfigObject[];
  readonly checks: readonly ConfigObject[];
  readonly policies: readonly ConfigObject[];
  readonly networks: readonly ConfigObject[];
  readonly groups: readonly ConfigObject[];
}

export function servicesOf(objects: Objects): Service[] {
  return objects.instances.map((instance): Service => {
    const name = instance.fq_name.join(":");
    const template = objects.templates.find((each) => namesOf(instance["service_template_refs"]).includes(each.fq_name.join(":")));
    const properties = template?.["service_template_properties"];
    const copies = objects.tuples.filter((each) => each.fq_name.slice(0, -1).join(":") === name).map((tuple) => copyOf(tuple, objects.ports));
    const checks = objects.checks.filter((each) => namesOf(each["service_instance_refs"]).includes(name)).map((each) => lastName(each.fq_name));
    return { name, uuid: instance.uuid, mode: isDocument(properties) ? String(properties["service_mode"] ?? "") : "", copies, checks };
  });
}

function copyOf(tuple: ConfigObject, ports: readonly ConfigObject[]): Copy {
  const own = ports.filter((each) => namesOf(each["port_tuple_refs"]).includes(tuple.fq_name.join(":")));
  const properties = own.map((each) => each["virtual_machine_interface_properties"]).filter(isDocument);
  const preferences = properties.map((each) => Number(each["local_preference"] ?? Number.NaN));
  return {
    name: lastName(tuple.fq_name),
    uuid: tuple.uuid,
    sides: properties.map((each) => String(each["service_interface_type"] ?? "")),
    isStandby: preferences.some((each) => each === STANDBY_PREFERENCE),
    groups: [...new Set(own.flatMap((each) => namesOf(each["security_group_refs"])))],
  };
}

/** The rules that lead through services, of all policies. */
export function chainsOf(policies: readonly ConfigObject[]): Chain[] {
  return policies.flatMap((policy) =>
    rulesOf(policy["network_policy_entries"]).flatMap((rule, index): Chain[] => {
      const action = rule["action_list"];
      const services = isDocument(action) ? textsOf(action["apply_service"]) : [];
      if (services.length === 0) return [];
      return [{
        policy: policy.fq_name.join(":"), index, services,
        left: addressesText(rule["src_addresses"]), right: addressesText(rule["dst_addresses"]),
        isBothWays: rule["direction"] !== ">", protocol: String(rule["protocol"] ?? "any"), ports: portsText(rule["dst_ports"]),
      }];
    }),
  );
}

/** What keeps a chain from leading anywhere: the first of these forbids it, warnings do not. */
export function faultsOf(chain: Chain, services: ReadonlyMap<string, Service>): string[] {
  const found: string[] = [];
  if (chain.left === "") found.push("Choose the network at the left");
  if (chain.right === "") found.push("Choose the network at the right");
  if (chain.left !== "" && chain.left === chain.right) found.push("The two networks are the same");
  if (chain.services.length === 0) found.push("Add a service between the networks");
  if (chain.services.length > SERVICES_MAX) found.push(`At most ${SERVICES_MAX} services are in a chain`);
  if (new Set(chain.services).size < chain.services.length) found.push("A service is in the chain twice");
  chain.services.slice(0, -1).forEach((name) => {
    if (services.get(name)?.mode === "in-network-nat") found.push(`${shortName(name)} translates addresses: it has to be the last`);
  });
  if (portsText(portsOf(chain.ports)) !== chain.ports.trim() && chain.ports.trim() !== "") found.push(`${chain.ports}: ports such as 80, 8000-8080`);
  if (typeof portsOf(chain.ports)[0]?.["start_port"] === "string") found.push(`${chain.ports}: ports such as 80, 8000-8080`);
  return [...new Set(found)];
}

export function warningsOf(chain: Chain, services: ReadonlyMap<string, Service>): string[] {
  return chain.services.flatMap((name) => {
    const service = services.get(name);
    if (service === undefined) return [`${shortName(name)} does not exist any more: its rule drops`];
    if (service.copies.length === 0) return [`${shortName(name)} has no copy yet: the chain drops until it has one`];
    return service.copies
      .filter((copy) => !copy.sides.includes("left") || !copy.sides.includes("right"))
      .map((copy) => `${shortName(name)}: copy ${copy.name} lacks its ${copy.sides.includes("left") ? "right" : "left"} port`);
  });
}

export function shortName(name: string): string {
  return name.split(":").at(-1) ?? name;
}

export function moved(names: readonly string[], from: number, to: number): string[] {
  const rest = names.filter((_, index) => index !== from);
  const name = names[from];
  return name === undefined ? [...names] : [...rest.slice(0, to), name, ...rest.slice(to)];
}

function ruleOf(chain: Chain, before: Document): Document {
  const action = isDocument(before["action_list"]) ? before["action_list"] : {};
  return {
    ...before,
    direction: chain.isBothWays ? "<>" : ">",
    protocol: chain.protocol,
    src_addresses: [{ virtual_network: chain.left }],
    src_ports: before["src_ports"] ?? [{ start_port: -1, end_port: -1 }],
    dst_addresses: [{ virtual_network: chain.right }],
    dst_ports: portsOf(chain.ports),
    action_list: { ...action, simple_action: "pass", apply_service: chain.services },
  };
}

function covers(one: string, other: string): boolean {
  return one === "any" || one === other;
}

/** Before the first rule that would take all of its traffic, else at the end. */
export function placeFor(rules: readonly Document[], rule: Document): number {
  const at = rules.findIndex(
    (each) =>
      covers(String(each["protocol"]), String(rule["protocol"])) &&
      covers(portsText(each["dst_ports"]), portsText(rule["dst_ports"])) &&
      covers(addressesText(each["src_addresses"]), addressesText(rule["src_addresses"])) &&
      covers(addressesText(each["dst_addresses"]), addressesText(rule["dst_addresses"])),
  );
  return at < 0 ? rules.length : at;
}

/** What makes the rule be so, and has both networks use its policy. */
export function chainOperations(chain: Chain, objects: Objects, project: readonly string[]): Operation[] {
  const policy = objects.policies.find((each) => each.fq_name.join(":") === chain.policy);
  const name = policy?.fq_name ?? [...project, freeName(`${shortName(chain.left)}-${shortName(chain.right)}`, objects.policies)];
  const operations: Operation[] = [];
  if (policy === undefined) {
    const entries = { policy_rule: [ruleOf(chain, {})] };
    operations.push({ op: "create", type: "network-policy", object: { fq_name: name, parent_type: "project", network_policy_entries: entries } });
  } else {
    const rules = rulesOf(policy["network_policy_entries"]);
    const old = rules[chain.index];
    const rule = ruleOf(chain, old ?? {});
    const place = placeFor(rules, rule);
    const next = old === undefined ? [...rules.slice(0, place), rule, ...rules.slice(place)] : rules.map((each, at) => (at === chain.index ? rule : each));
    if (!equal(next, rules)) {
      operations.push({ op: "patch", type: "network-policy", uuid: policy.uuid, object: { network_policy_entries: { policy_rule: next } }, ...ifUnchanged(policy) });
    }
  }
  for (const end of [chain.left, chain.right]) {
    const network = objects.networks.find((each) => each.fq_name.join(":") === end);
    if (network === undefined || namesOf(network["network_policy_refs"]).includes(name.join(":"))) continue;
    const refs = (isList(network["network_policy_refs"]) ? network["network_policy_refs"] : []).filter(isDocument);
    const majors = refs.map((each) => (isDocument(each["attr"]) && isDocument(each["attr"]["sequence"]) ? Number(each["attr"]["sequence"]["major"]) : 0));
    const added = { to: name, attr: { sequence: { major: majors.length === 0 ? 0 : Math.max(...majors) + 1, minor: 0 } } };
    operations.push({ op: "patch", type: "virtual-network", uuid: network.uuid, object: { network_policy_refs: [...refs, added] }, ...ifUnchanged(network) });
  }
  return operations;
}

/** The rule taken out; its policy and the services stay. */
export function removal(chain: Chain, objects: Objects): Operation[] {
  const policy = objects.policies.find((each) => each.fq_name.join(":") === chain.policy);
  if (policy === undefined) return [];
  const rest = rulesOf(policy["network_policy_entries"]).filter((_, index) => index !== chain.index);
  const entries = rest.length === 0 ? null : { policy_rule: rest };
  return [{ op: "patch", type: "network-policy", uuid: policy.uuid, object: { network_policy_entries: entries }, ...ifUnchanged(policy) }];
}

function freeName(wanted: string, taken: readonly ConfigObject[]): string {
  const names = new Set(taken.map((each) => lastName(each.fq_name)));
  for (let number = 1; ; number += 1) {
    const tried = number === 1 ? wanted : `${wanted}-${number}`;
    if (!names.has(tried)) return tried;
  }
}

export interface Wanted {
  readonly name: string;
  readonly mode: string;
  readonly copies: number;
  readonly hasStandby: boolean;
  /** Full name of a health check, or empty. */
  readonly check: string;
  /** Full names of security groups that its ports get. */
  readonly groups: readonly string[];
}

/** The families that a network's own subnets have. */
function familiesOf(network: ConfigObject | undefined): string[] {
  const refs = network?.["network_ipam_refs"];
  const subnets = (isList(refs) ? refs.filter(isDocument) : []).flatMap((each) => {
    const attr = each["attr"];
    return isDocument(attr) && isList(attr["ipam_subnets"]) ? attr["ipam_subnets"].filter(isDocument) : [];
  });
  const prefixes = subnets.map((each) => (isDocument(each["subnet"]) ? String(each["subnet"]["ip_prefix"]) : ""));
  const found = [...new Set(prefixes.filter(Boolean).map((each) => (each.includes(":") ? "v6" : "v4")))];
  return found.length === 0 ? ["v4"] : found;
}

interface Where {
  readonly project: readonly string[];
  readonly left: string;
  readonly right: string;
  readonly newUuid: () => string;
}

/** A service with its template and its copies: for each a machine, and a port with addresses at either side. */
export function serviceOperations(wanted: Wanted, objects: Objects, where: Where): Operation[] {
  const { project, left, right } = where;
  const instance = [...project, wanted.name];
  const template = [project[0] ?? "", freeName(`${project.at(-1) ?? ""}-${wanted.name}-template`, objects.templates)];
  const sides = ["left", "right"];
  const check = objects.checks.find((each) => each.fq_name.join(":") === wanted.check);
  const held = (isList(check?.["service_instance_refs"]) ? check["service_instance_refs"] : []).filter(isDocument);
  return [
    {
      op: "create",
      type: "service-template",
      object: {
        fq_name: template,
        service_template_properties: {
          version: 2, service_mode: wanted.mode, service_type: "firewall", service_virtualization_type: "virtual-machine",
          service_scaling: wanted.copies > 1, interface_type: sides.map((service_interface_type) => ({ service_interface_type })),
        },
      },
    },
    {
      op: "create",
      type: "service-instance",
      object: {
        fq_name: instance,
        service_instance_properties: {
          interface_list: [left, right].map((virtual_network) => ({ virtual_network })),
          ...(wanted.copies > 1 ? { ha_mode: wanted.hasStandby ? "active-standby" : "active-active" } : {}),
        },
        service_template_refs: [{ to: template }],
      },
    },
    ...Array.from({ length: wanted.copies }, (_, number) => copyOperations(instance, { number: number + 1, isStandby: wanted.hasStandby && number > 0, groups: wanted.groups }, objects, where)).flat(),
    ...(check === undefined ? [] : [{
      op: "patch" as const, type: "service-health-check", uuid: check.uuid,
      object: { service_instance_refs: [...held, { to: instance, attr: { interface_type: "left" } }] }, ...ifUnchanged(check),
    }]),
  ];
}

interface NewCopy {
  readonly number: number;
  readonly isStandby: boolean;
  readonly groups: readonly string[];
}

/** One more copy of a service. */
export function copyOperations(instance: readonly string[], { number, isStandby, groups }: NewCopy, objects: Objects, where: Where): Operation[] {
  const { project, newUuid } = where;
  const name = `${lastName(instance)}-${number}`;
  const machine = newUuid();
  const tuple = [...instance, name];
  return [
    { op: "create", type: "port-tuple", object: { fq_name: tuple } },
    { op: "create", type: "virtual-machine", object: { uuid: machine, fq_name: [machine], display_name: `${lastName(project)}-${name}` } },
    ...(["left", "right"] as const).flatMap((side): Operation[] => {
      const network = where[side];
      const port = [...project, `${name}-${side}`];
      const properties = { service_interface_type: side, ...(isStandby ? { local_preference: STANDBY_PREFERENCE } : {}) };
      const object = {
        fq_name: port, parent_type: "project", virtual_machine_interface_properties: properties,
        virtual_network_refs: [{ to: network.split(":") }], virtual_machine_refs: [{ to: [machine] }], port_tuple_refs: [{ to: tuple }],
        ...(groups.length === 0 ? {} : { security_group_refs: groups.map((each) => ({ to: each.split(":") })) }),
      };
      const addresses = familiesOf(objects.networks.find((each) => each.fq_name.join(":") === network)).map((family): Operation => {
        const address = { fq_name: [`${lastName(project)}-${name}-${side}-${family}`], instance_ip_family: family, virtual_network_refs: [{ to: network.split(":") }], virtual_machine_interface_refs: [{ to: port }] };
        return { op: "create", type: "instance-ip", object: address };
      });
      return [{ op: "create", type: "virtual-machine-interface", object }, ...addresses];
    }),
  ];
}
