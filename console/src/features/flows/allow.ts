/** Rules that would let a denied flow through, from what there is. Pure. */

import type { Found, Operation } from "../../api/client";
import { type Document, isDocument, isList, type Json, lastName, textsOf } from "../../model/document";
import { groupRuleOf, newGroupRule, newPolicyRule, portsText, rulesOf, withEnds } from "../../forms/rules";

export interface Flow {
  readonly clientNetwork: string;
  readonly serverNetwork: string;
  readonly clientAddress: string;
  /** As rules write it: `tcp`. */
  readonly protocol: string;
  readonly port: number;
  /** Uuid of the rule that denied; empty when no rule allowed. */
  readonly rule: string;
}

/** What there is that decides. */
export interface Ground {
  readonly client: Found;
  readonly server: Found;
  /** Of both networks. */
  readonly policies: readonly Found[];
  /** Of the server's port. */
  readonly groups: readonly Found[];
}

export interface Proposal {
  readonly key: string;
  readonly title: string;
  readonly why: string;
  /** Whether the flow needs it, as far as can be told. */
  readonly isNeeded: boolean;
  readonly operations: readonly Operation[];
}

function portsFor(flow: Flow): Document[] {
  return flow.port > 0 ? [{ start_port: flow.port, end_port: flow.port }] : [{ start_port: 0, end_port: 65535 }];
}

function whatOf({ protocol, port }: Flow): string {
  return port > 0 ? `${protocol} ${port}` : protocol;
}

export function proposalsOf(flow: Flow, ground: Ground): Proposal[] {
  const between = flow.clientNetwork === flow.serverNetwork ? [] : policyProposals(flow, ground);
  return [...between, ...ground.groups.map((group) => groupProposal(flow, group, ground.groups))];
}

function policyProposals(flow: Flow, ground: Ground): Proposal[] {
  const [first] = ground.policies;
  if (first === undefined) return [newPolicyProposal(flow, ground)];
  const decided = ground.policies.find((each) => placeOf(each, flow.rule) >= 0);
  return [ruleProposal(flow, decided ?? first, decided !== undefined)];
}

function placeOf(policy: Found, rule: string): number {
  if (rule === "") return -1;
  return rulesOf(policy.object["network_policy_entries"]).findIndex((each) => each["rule_uuid"] === rule);
}

function passRule(flow: Flow): Document {
  return {
    ...newPolicyRule(),
    direction: ">",
    protocol: flow.protocol,
    src_addresses: [{ virtual_network: flow.clientNetwork }],
    dst_addresses: [{ virtual_network: flow.serverNetwork }],
    dst_ports: portsFor(flow),
  };
}

function ruleProposal(flow: Flow, policy: Found, isDecided: boolean): Proposal {
  const rules = rulesOf(policy.object["network_policy_entries"]);
  const place = Math.max(0, placeOf(policy, flow.rule));
  const entries = { policy_rule: rules.toSpliced(place, 0, passRule(flow)) };
  return {
    key: `policy ${policy.object.uuid}`,
    title: `Network policy ${lastName(policy.object.fq_name)}`,
    why: `a new rule ${place + 1}: pass ${whatOf(flow)} from ${flow.clientNetwork} to ${flow.serverNetwork}`,
    isNeeded: isDecided,
    operations: [{ op: "patch", type: "network-policy", uuid: policy.object.uuid, if_match: policy.etag, object: { network_policy_entries: entries } }],
  };
}

function newPolicyProposal(flow: Flow, { client, server }: Ground): Proposal {
  const project = server.object.fq_name.slice(0, -1);
  const ends = [client, server].map((each) => lastName(each.object.fq_name)).join("-");
  const name = [...project, `allow-${whatOf(flow).replace(" ", "-")}-${ends}`];
  const attach = ({ object, etag }: Found): Operation => {
    const refs = object["network_policy_refs"];
    const kept: readonly Json[] = isList(refs) ? refs : [];
    const added = { to: name, attr: { sequence: { major: kept.length, minor: 0 } } };
    return { op: "patch", type: "virtual-network", uuid: object.uuid, if_match: etag, object: { network_policy_refs: [...kept, added] } };
  };
  return {
    key: "new policy",
    title: `A new network policy ${lastName(name)}`,
    why: `nothing joins the networks: pass ${whatOf(flow)} from ${flow.clientNetwork} to ${flow.serverNetwork}, on both`,
    isNeeded: true,
    operations: [
      { op: "create", type: "network-policy", object: { fq_name: name, network_policy_entries: { policy_rule: [passRule(flow)] } } },
      attach(client),
      attach(server),
    ],
  };
}

function familyOf(address: string): "IPv4" | "IPv6" {
  return address.includes(":") ? "IPv6" : "IPv4";
}

function groupProposal(flow: Flow, group: Found, all: readonly Found[]): Proposal {
  const rules = rulesOf(group.object["security_group_entries"]);
  const family = familyOf(flow.clientAddress);
  const remote = `${flow.clientAddress}/${family === "IPv6" ? 128 : 32}`;
  const rule = withEnds(
    { ...newGroupRule(), ethertype: family, protocol: flow.protocol, dst_ports: portsFor(flow) },
    { isIngress: true, remote },
  );
  return {
    key: `group ${group.object.uuid}`,
    title: `Security group ${lastName(group.object.fq_name)}`,
    why: `takes in ${whatOf(flow)} from ${remote}`,
    isNeeded: group === all[0] && !all.some((each) => takesIn(each, flow)),
    operations: [
      { op: "patch", type: "security-group", uuid: group.object.uuid, if_match: group.etag, object: { security_group_entries: { policy_rule: [...rules, rule] } } },
    ],
  };
}

/** Whether a group surely lets the flow in. Remote groups are not followed: of them this is not known. */
export function takesIn(group: Found, flow: Flow): boolean {
  return rulesOf(group.object["security_group_entries"]).some((rule) => {
    const { isIngress, remote } = groupRuleOf(rule);
    const protocol = String(rule["protocol"] ?? "any");
    const ports = portsText(rule["dst_ports"]);
    const fits = ports === "any" || flow.port === 0 || ports.split(", ").some((range) => {
      const [start = 0, end = start] = range.split("-").map(Number);
      return start <= flow.port && flow.port <= end;
    });
    const isFamily = String(rule["ethertype"] ?? "IPv4") === familyOf(flow.clientAddress);
    return isIngress && isFamily && fits && (protocol === "any" || protocol === flow.protocol) && remote.split(", ").some((each) => covers(each, flow.clientAddress));
  });
}

function numberOf(address: string): number {
  return address.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
}

function covers(prefix: string, address: string): boolean {
  if (prefix === "any" || prefix.endsWith("/0")) return true;
  const [net = "", length = ""] = prefix.split("/");
  if (net.includes(":") || address.includes(":")) return net === address && length === "128";
  const size = 2 ** (32 - Number(length));
  return Math.floor(numberOf(net) / size) === Math.floor(numberOf(address) / size);
}

/** Names of the policies that both networks have. */
export function commonPolicies(client: Found, server: Found): string[] {
  const others = new Set(referred(server.object["network_policy_refs"]));
  return referred(client.object["network_policy_refs"]).filter((name) => others.has(name));
}

export function referred(refs: Json | undefined): string[] {
  return (isList(refs) ? refs.filter(isDocument) : []).map((each) => textsOf(each["to"]).join(":"));
}

/** All that is chosen, as one transaction: several patches of one object are one. */
export function operationsOf(proposals: readonly Proposal[], chosen: ReadonlySet<string>): Operation[] {
  return proposals.filter((each) => chosen.has(each.key)).flatMap((each) => each.operations);
}
