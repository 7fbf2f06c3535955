/** Rules that would let a denied flow through, from what there is. Pure. */

import type { Found, Operation } from "../../api/client";
import { type Document, isDocument, isList, type Json, lastName, textsOf } from "../../model/document";
import { familyOf, isIn } from "../../model/prefix";
import { groupRuleOf, newGroupRule, newPolicyRule, portsText, rulesOf, withEnds } from "../../forms/rules";
import { allowed } from "../../policy/allow";
import { type Applied, type End, tagsOf } from "../../policy/decide";
import { operationsOf as operationsOfPolicy, type Policy } from "../../policy/firewall";

export interface Flow {
  readonly clientNetwork: string;
  readonly serverNetwork: string;
  readonly clientAddress: string;
  readonly serverAddress: string;
  /** Of each end as hosts told it then, full names. */
  readonly clientTags: readonly string[];
  readonly serverTags: readonly string[];
  /** As rules write it: `tcp`. */
  readonly protocol: string;
  readonly port: number;
  /** Uuid of the rule that denied; where none allowed, the name of what had none. */
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
  /** Of the client's. */
  readonly clientGroups: readonly Found[];
  readonly tags: TagGround;
}

/** Where an end belongs, and the tags that it has by that, the most particular holder's first. */
export interface Belonging {
  readonly project: string;
  readonly holders: readonly (readonly string[])[];
}

export interface TagGround {
  readonly policy: Policy;
  readonly applied: Applied;
  readonly client: Belonging;
  readonly server: Belonging;
  /** Projects whose changes wait as a draft. */
  readonly drafting: readonly string[];
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
  return [
    ...between,
    ...groupProposals(flow, ground.clientGroups, false),
    ...groupProposals(flow, ground.groups, true),
    ...tagProposals(flow, ground.tags),
  ];
}

/** A rule of application policy sets at each end whose sets refuse the flow. */
function tagProposals(flow: Flow, { policy, applied, ...ends }: TagGround): Proposal[] {
  const client: End = { project: ends.client.project, network: flow.clientNetwork, address: flow.clientAddress, tags: tagsOf(ends.client.holders, flow.clientTags) };
  const server: End = { project: ends.server.project, network: flow.serverNetwork, address: flow.serverAddress, tags: tagsOf(ends.server.holders, flow.serverTags) };
  const found = allowed(policy, applied, { client, server, protocol: flow.protocol, port: flow.port });
  if (found === null || found.told.length === 0) return [];
  return [{
    key: "tags", title: "Application policy", why: found.told.join("; "), isNeeded: true,
    operations: operationsOfPolicy(policy, found.policy),
  }];
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

/** What groups of a port take in, or send out; of the client's only what stands in the way is worth a proposal. */
function groupProposals(flow: Flow, groups: readonly Found[], isIngress: boolean): Proposal[] {
  const isOpen = groups.some((each) => lets(each, flow, isIngress));
  if (!isIngress && isOpen) return [];
  return groups.map((group, index) => groupProposal(flow, group, { isIngress, isNeeded: index === 0 && !isOpen }));
}

function groupProposal(flow: Flow, group: Found, { isIngress, isNeeded }: { readonly isIngress: boolean; readonly isNeeded: boolean }): Proposal {
  const rules = rulesOf(group.object["security_group_entries"]);
  const address = isIngress ? flow.clientAddress : flow.serverAddress;
  const family = familyOf(address);
  const remote = `${address}/${family === "IPv6" ? 128 : 32}`;
  const rule = withEnds(
    { ...newGroupRule(), ethertype: family, protocol: flow.protocol, dst_ports: portsFor(flow) },
    { isIngress, remote },
  );
  return {
    key: `group ${isIngress} ${group.object.uuid}`,
    title: `Security group ${lastName(group.object.fq_name)}${isIngress ? "" : " of the client"}`,
    why: `${isIngress ? "takes in" : "sends out"} ${whatOf(flow)} ${isIngress ? "from" : "to"} ${remote}`,
    isNeeded,
    operations: [
      { op: "patch", type: "security-group", uuid: group.object.uuid, if_match: group.etag, object: { security_group_entries: { policy_rule: [...rules, rule] } } },
    ],
  };
}

/** Whether a group surely lets the flow in, or out. Remote groups are not followed: of them this is not known. */
export function lets(group: Found, flow: Flow, isIngress: boolean): boolean {
  const far = isIngress ? flow.clientAddress : flow.serverAddress;
  return rulesOf(group.object["security_group_entries"]).some((rule) => {
    const told = groupRuleOf(rule);
    const protocol = String(rule["protocol"] ?? "any");
    const ports = portsText(rule["dst_ports"]);
    const fits = ports === "any" || flow.port === 0 || ports.split(", ").some((range) => {
      const [start = 0, end = start] = range.split("-").map(Number);
      return start <= flow.port && flow.port <= end;
    });
    const isFamily = String(rule["ethertype"] ?? "IPv4") === familyOf(far);
    const isFar = told.remote.split(", ").some((each) => each === "any" || isIn(far, each));
    return told.isIngress === isIngress && isFamily && fits && (protocol === "any" || protocol === flow.protocol) && isFar;
  });
}

/** Names of the policies that both networks have. */
export function commonPolicies(client: Found, server: Found): string[] {
  const others = new Set(referred(server.object["network_policy_refs"]));
  return referred(client.object["network_policy_refs"]).filter((name) => others.has(name));
}

export function referred(refs: Json | undefined): string[] {
  return (isList(refs) ? refs.filter(isDocument) : []).map((each) => textsOf(each["to"]).join(":"));
}

/** All that is chosen, as one transaction. */
export function operationsOf(proposals: readonly Proposal[], chosen: ReadonlySet<string>): Operation[] {
  return proposals.filter((each) => chosen.has(each.key)).flatMap((each) => each.operations);
}

export interface Decider {
  /** As people say it. */
  readonly what: string;
  readonly names: readonly string[];
  readonly type: "security-group" | "application-policy-set" | "";
}

const UUID = /^[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}$/i;

/** What refused a flow that no rule let through; null where a rule did. */
export function deciderOf(rule: string): Decider | null {
  if (UUID.test(rule)) return null;
  for (const [what, type] of [["security groups", "security-group"], ["application policy sets", "application-policy-set"]] as const) {
    if (!rule.startsWith(`${what} `)) continue;
    const names = rule.slice(what.length + 1);
    return names.startsWith("(") ? { what: `${what} ${names}`, names: [], type: "" } : { what, names: names.split(", "), type };
  }
  return { what: "the networks' policies", names: [], type: "" };
}
