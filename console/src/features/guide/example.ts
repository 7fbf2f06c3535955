/** The two tenants of the example, as operations of one transaction. Pure. */

import type { Operation } from "../../api/client";
import { type ConfigObject, type Document, isDocument, isList, lastName } from "../../model/document";

const DOMAIN = "default-domain";

export type Tenants = readonly [string, string];
/** Names that the tenants get: the first pair of which none is somebody else's. */
const PAIRS: readonly Tenants[] = [["red", "blue"], ["first-red", "first-blue"]];
export const NAMES: readonly string[] = PAIRS.flat();
/** Says that the guide made a project, so that it may take it away. */
export const MARK = { key: "made_by", value: "first-steps" } as const;

function isMarked(project: ConfigObject): boolean {
  const held = project["annotations"];
  const pairs = isDocument(held) && isList(held["key_value_pair"]) ? held["key_value_pair"].filter(isDocument) : [];
  return pairs.some((pair) => pair["key"] === MARK.key && pair["value"] === MARK.value);
}

export interface Choice {
  readonly tenants: Tenants;
  /** Projects that the guide made: there is nothing to build, but to take away. */
  readonly made: readonly ConfigObject[];
  /** Names that others have. */
  readonly taken: readonly string[];
  readonly isFree: boolean;
}

/** Which names to build with, where there are these projects with one of `NAMES`. */
export function choiceOf(projects: readonly ConfigObject[]): Choice {
  const among = (names: readonly string[]) => projects.filter(({ fq_name }) => names.includes(lastName(fq_name)));
  const taken = [...new Set(projects.filter((each) => !isMarked(each)).map(({ fq_name }) => lastName(fq_name)))].toSorted();
  const ours = PAIRS.find((pair) => among(pair).length > 0 && among(pair).every(isMarked));
  const free = PAIRS.find((pair) => among(pair).length === 0);
  const tenants = ours ?? free ?? PAIRS[0] ?? ["", ""];
  return { tenants, made: ours === undefined ? [] : among(ours), taken, isFree: ours === undefined && free !== undefined };
}

function apply(type: string, name: readonly string[], object: Document = {}): Operation {
  return { op: "apply", type, name: [DOMAIN, ...name], object: { ...object, fq_name: [DOMAIN, ...name] } };
}

function named(...names: string[]): Document {
  return { to: [DOMAIN, ...names] };
}

function network(tenant: string, name: string, prefix: string, policy: string | null): Operation {
  const subnet = { subnet: { ip_prefix: prefix, ip_prefix_len: 24 }, addr_from_start: true };
  return apply("virtual-network", [tenant, name], {
    parent_type: "project",
    network_ipam_refs: [{ ...named(tenant, "ipam"), attr: { ipam_subnets: [subnet] } }],
    ...(policy === null ? {} : { network_policy_refs: [{ ...named(tenant, policy), attr: { sequence: { major: 0, minor: 0 } } }] }),
  });
}

function policyRule(tenant: string, action: string, protocol: string, first: number, last: number): Document {
  return {
    direction: "<>",
    protocol,
    src_addresses: [{ virtual_network: `${DOMAIN}:${tenant}:front` }],
    src_ports: [{ start_port: -1, end_port: -1 }],
    dst_addresses: [{ virtual_network: `${DOMAIN}:${tenant}:back` }],
    dst_ports: [{ start_port: first, end_port: last }],
    action_list: { simple_action: action },
  };
}

const ANY_PORT = [{ start_port: 0, end_port: 65535 }];

function groupRule(remote: Document, isIngress: boolean, protocol: string, ports: readonly Document[]): Document {
  const local = { security_group: "local" };
  return {
    direction: ">",
    ethertype: "IPv4",
    protocol,
    src_addresses: [isIngress ? remote : local],
    src_ports: ANY_PORT,
    dst_addresses: [isIngress ? local : remote],
    dst_ports: ports,
  };
}

const EVERYBODY = { subnet: { ip_prefix: "0.0.0.0", ip_prefix_len: 0 } };
const FRONT = { subnet: { ip_prefix: "10.1.1.0", ip_prefix_len: 24 } };

function group(tenant: string, name: string, rules: readonly Document[]): Operation {
  return apply("security-group", [tenant, name], { parent_type: "project", security_group_entries: { policy_rule: rules } });
}

/** Machines are named by their uuids, and belong to no project: they are taken away by name. */
export const MACHINES = [1, 2, 3].map((place) => `f1257000-57e9-4000-8000-00000000000${place}`);

function port(machine: number, tenant: string, name: string, where: string, guard: string): Operation[] {
  const uuid = MACHINES[machine] ?? "";
  return [
    { op: "apply", type: "virtual-machine", name: [uuid], object: { uuid, fq_name: [uuid], display_name: `${tenant}-${name}` } },
    apply("virtual-machine-interface", [tenant, name], {
      parent_type: "project",
      virtual_machine_refs: [{ to: [uuid] }],
      virtual_network_refs: [named(tenant, where)],
      security_group_refs: [named(tenant, guard)],
    }),
    {
      op: "apply",
      type: "instance-ip",
      name: [`${tenant}-${name}`],
      object: {
        fq_name: [`${tenant}-${name}`],
        virtual_network_refs: [named(tenant, where)],
        virtual_machine_interface_refs: [named(tenant, name)],
      },
    },
  ];
}

export interface Part {
  readonly title: string;
  readonly why: string;
  readonly operations: readonly Operation[];
}

export function partsOf([first, second]: Tenants): Part[] {
  const open = [groupRule(EVERYBODY, true, "any", ANY_PORT), groupRule(EVERYBODY, false, "any", ANY_PORT)];
  const webOnly = [
    groupRule(FRONT, true, "icmp", ANY_PORT),
    groupRule(FRONT, true, "tcp", [{ start_port: 80, end_port: 80 }]),
    groupRule(EVERYBODY, false, "any", ANY_PORT),
  ];
  return [
    {
      title: "Two tenants",
      why: "A project is a tenant: what it has is its own. Both get an IPAM, which gives addresses.",
      operations: [first, second].flatMap((tenant) => [
        apply("project", [tenant], { parent_type: "domain", annotations: { key_value_pair: [MARK] } }),
        apply("network-ipam", [tenant, "ipam"], { parent_type: "project" }),
      ]),
    },
    {
      title: `A policy between two networks of ${first}`,
      why: "Networks do not reach each other until a policy lets them. This one lets everything pass but telnet.",
      operations: [
        apply("network-policy", [first, "front-back"], {
          parent_type: "project",
          network_policy_entries: { policy_rule: [policyRule(first, "deny", "tcp", 23, 23), policyRule(first, "pass", "any", -1, -1)] },
        }),
      ],
    },
    {
      title: "Networks",
      why: `Of ${first}: front and back; of ${second}: a front with the very same addresses. Nothing of one is seen by the other.`,
      operations: [
        network(first, "front", "10.1.1.0", "front-back"),
        network(first, "back", "10.1.2.0", "front-back"),
        network(second, "front", "10.1.1.0", null),
      ],
    },
    {
      title: "Security groups and ports",
      why: "A port is where a workload, a machine or a container, is plugged; its group says what may reach it. The app of the first tenant lets in ping and web from front only.",
      operations: [
        group(first, "open", open),
        group(first, "web-only", webOnly),
        group(second, "open", open),
        ...port(0, first, "web1", "front", "open"),
        ...port(1, first, "app", "back", "web-only"),
        ...port(2, second, "web1", "front", "open"),
      ],
    },
  ];
}
