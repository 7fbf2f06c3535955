/** The service map and the rules it proposes, without a browser. */

import { expect, test } from "vitest";

import type { Found } from "../../api/client";
import type { Document } from "../../model/document";
import { type Loaded, viewOf } from "../../policy/firewall";
import { commonPolicies, deciderOf, type Flow, type Ground, lets, operationsOf, proposalsOf } from "./allow";
import { bodyOf, mapOf, NODES_COUNT, type Row, sankeyOf, serviceName, verdictOf } from "./flows";

const FRONT = "d:red:front";
const BACK = "d:red:back";

function row(near: string, far: string, port: number, action: string, count: number, bytes = 0): Row {
  return {
    vn: near, remote_vn: far, protocol: 6, server_port: port, forward_action: action, drop_reason: action === "pass" ? "" : "POLICY",
    security_policy_rule: action === "pass" ? "" : "r1", "SUM(sample_count)": count, "SUM(forward_sampled_bytes)": bytes, "SUM(reverse_sampled_bytes)": bytes,
  };
}

test("a session that both hosts tell of is counted once, with the verdict of the one that denied", () => {
  const map = mapOf([row(FRONT, BACK, 22, "pass", 5, 100), row(FRONT, BACK, 80, "pass", 7, 50)], [row(BACK, FRONT, 22, "deny", 5)], "vn");
  expect(map.nodes).toEqual([BACK, FRONT]);
  const [edge] = map.edges;
  expect(edge).toMatchObject({ from: FRONT, to: BACK, passed: 7, denied: 5, bytes: 300 });
  expect(edge?.services.map(({ port, passed, denied, toldBy }) => [port, passed, denied, toldBy])).toEqual([[22, 0, 5, "server"], [80, 7, 0, "client"]]);
  expect(edge?.services[0]).toMatchObject({ rule: "r1", reason: "POLICY" });
  expect(verdictOf(edge!)).toBe("mixed");
});

test("what only a server's host tells is shown in the direction of its client", () => {
  const [edge] = mapOf([], [row(BACK, "", 80, "pass", 3)], "vn").edges;
  expect(edge).toMatchObject({ from: "", to: BACK, passed: 3, denied: 0 });
});

test("the busiest nodes are shown, and how many others there are is said", () => {
  const rows = Array.from({ length: NODES_COUNT + 5 }, (_, index) => row(`d:p:n${index}`, `d:p:n${index}`, 80, "pass", index + 1));
  const map = mapOf(rows, [], "vn");
  expect(map.nodes).toHaveLength(NODES_COUNT);
  expect(map.leftOut).toBe(5);
  expect(map.nodes).not.toContain("d:p:n0");
});

test("questions are of one side, and end at the moment that is shown", () => {
  const body = bodyOf("tier", "now-1h", "server", { time: "1970-01-01T02:00:00Z", revision: 1 });
  expect(body).toMatchObject({ session_type: "server", start_time: 3_600_000_000, end_time: 7_200_000_000 });
  expect((body["select_fields"] as string[]).slice(0, 2)).toEqual(["tier", "remote_tier"]);
});

test("ribbons fill their bars", () => {
  const map = mapOf([row("a", "b", 1, "pass", 1, 300), row("a", "c", 1, "pass", 1, 100)], [], "vn");
  const { clients, servers, ribbons } = sankeyOf(map.edges);
  expect(clients.map(({ name, bytes }) => [name, bytes])).toEqual([["a", 800]]);
  expect(servers.map(({ name }) => name)).toEqual(["b", "c"]);
  expect(clients[0]?.height).toBeCloseTo((servers[0]?.height ?? 0) + (servers[1]?.height ?? 0));
  expect(ribbons).toHaveLength(2);
});

test("services are named by protocol, with a port where there is one", () => {
  expect(serviceName({ protocol: 6, port: 443 })).toBe("tcp 443");
  expect(serviceName({ protocol: 1, port: 0 })).toBe("icmp");
  expect(serviceName({ protocol: 47, port: 0 })).toBe("protocol 47");
});

const FLOW: Flow = { clientNetwork: FRONT, serverNetwork: BACK, clientAddress: "10.1.1.3", serverAddress: "10.1.2.3", clientTags: [], serverTags: [], protocol: "tcp", port: 23, rule: "deny-telnet" };

function found(name: string, members: Document = {}): Found {
  return { object: { uuid: name, fq_name: ["d", "red", name], ...members }, etag: `"${name}"` };
}

const NOTHING: Loaded = { "service-group": [], "address-group": [], "firewall-rule": [], "firewall-policy": [], "application-policy-set": [] };
const NO_TAGS = { policy: viewOf(NOTHING).now, applied: new Map<string, readonly string[]>(), client: { project: "d:red", holders: [] }, server: { project: "d:red", holders: [] }, drafting: [] };

function ground(part: Partial<Ground> = {}): Ground {
  return { client: found("front"), server: found("back"), policies: [], groups: [], clientGroups: [], tags: NO_TAGS, ...part };
}

function groupOf(remote: Document, protocol = "tcp", ports: Document = { start_port: 80, end_port: 80 }): Found {
  const rule = { ethertype: "IPv4", protocol, src_addresses: [remote], dst_addresses: [{ security_group: "local" }], dst_ports: [ports] };
  return found("web-only", { security_group_entries: { policy_rule: [rule] } });
}

const ANY = { subnet: { ip_prefix: "0.0.0.0", ip_prefix_len: 0 } };

test("a rule that allows is written before the one that denied, which stays", () => {
  const rules = [{ rule_uuid: "other" }, { rule_uuid: "deny-telnet" }];
  const policy = found("front-back", { network_policy_entries: { policy_rule: rules } });
  const [proposal] = proposalsOf(FLOW, ground({ policies: [policy] }));
  expect(proposal?.isNeeded).toBe(true);
  const operation = proposal!.operations[0]!;
  expect(operation).toMatchObject({ op: "patch", type: "network-policy", if_match: '"front-back"' });
  const written = (operation.object!["network_policy_entries"] as { policy_rule: Document[] }).policy_rule;
  expect(written.map((each) => each["rule_uuid"])).toEqual(["other", undefined, "deny-telnet"]);
  expect(written[1]).toMatchObject({ direction: ">", protocol: "tcp", src_addresses: [{ virtual_network: FRONT }], dst_ports: [{ start_port: 23, end_port: 23 }] });
});

test("networks that no policy joins get one, and keep those they have", () => {
  const client = found("front", { network_policy_refs: [{ to: ["d", "red", "p"], attr: {} }] });
  const [proposal] = proposalsOf({ ...FLOW, rule: "" }, ground({ client }));
  expect(proposal?.operations.map(({ op, type }) => `${op} ${type}`)).toEqual(["create network-policy", "patch virtual-network", "patch virtual-network"]);
  expect(proposal?.operations[1]?.object?.["network_policy_refs"]).toHaveLength(2);
});

test("a group of the server's port takes in the client alone, if none does already", () => {
  const closed = groupOf(ANY);
  const [, proposal] = proposalsOf(FLOW, ground({ groups: [closed] }));
  expect(proposal).toMatchObject({ isNeeded: true, why: "takes in tcp 23 from 10.1.1.3/32" });
  expect(operationsOf([proposal!], new Set([proposal!.key]))).toHaveLength(1);
  expect(operationsOf([proposal!], new Set())).toEqual([]);
  expect(lets(closed, FLOW, true)).toBe(false);
  expect(lets(closed, { ...FLOW, port: 80 }, true)).toBe(true);
  expect(lets(groupOf(ANY, "udp"), { ...FLOW, port: 80 }, true)).toBe(false);
  expect(lets(groupOf({ subnet: { ip_prefix: "10.1.1.0", ip_prefix_len: 24 } }), { ...FLOW, port: 80 }, true)).toBe(true);
  expect(lets(groupOf({ subnet: { ip_prefix: "10.1.2.0", ip_prefix_len: 24 } }), { ...FLOW, port: 80 }, true)).toBe(false);
  expect(lets(groupOf({ security_group: "d:red:friends" }), { ...FLOW, port: 80 }, true)).toBe(false);
});

function outward(remote: Document): Found {
  const rule = { ethertype: "IPv4", protocol: "any", src_addresses: [{ security_group: "local" }], dst_addresses: [remote], dst_ports: [] };
  return found("clients", { security_group_entries: { policy_rule: [rule] } });
}

function titles(group: Found): string[] {
  return proposalsOf({ ...FLOW, serverNetwork: FRONT }, ground({ clientGroups: [group] })).map(({ title, why }) => `${title}: ${why}`);
}

test("a client's group that sends nothing out gets a rule, one that does gets none", () => {
  expect(titles(outward(ANY))).toEqual([]);
  expect(titles(outward({ subnet: { ip_prefix: "10.9.0.0", ip_prefix_len: 16 } }))).toEqual(["Security group clients of the client: sends out tcp 23 to 10.1.2.3/32"]);
});

test("what refused a flow that no rule let through is named", () => {
  expect(deciderOf("5d3ac1c6-0000-4000-8000-0123456789ab")).toBeNull();
  expect(deciderOf("security groups d:red:a, d:red:b")).toEqual({ what: "security groups", names: ["d:red:a", "d:red:b"], type: "security-group" });
  expect(deciderOf("application policy sets d:red:s")?.type).toBe("application-policy-set");
  expect(deciderOf("d:red:front:front")?.what).toBe("the networks' policies");
});

test("within one network no policy is proposed", () => {
  expect(proposalsOf({ ...FLOW, serverNetwork: FRONT }, ground({ groups: [groupOf(ANY)] })).map(({ title }) => title)).toEqual(["Security group web-only"]);
});

function refs(...names: string[]): Document {
  return { network_policy_refs: names.map((name) => ({ to: ["d", "red", name] })) };
}

test("policies count that both networks have", () => {
  expect(commonPolicies(found("front", refs("a", "b")), found("back", refs("b", "c")))).toEqual(["d:red:b"]);
});
