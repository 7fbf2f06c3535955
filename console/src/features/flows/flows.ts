/** Sessions added up to who talks to whom, and whether he may; and how that is drawn. Pure. */

import { type Moment, timeAsOf } from "../../api/moment";
import type { Json } from "../../model/document";

export type Row = Readonly<Record<string, Json>>;

export const GROUPINGS = [
  { value: "vn", label: "networks" },
  { value: "application", label: "applications" },
  { value: "tier", label: "tiers" },
  { value: "deployment", label: "deployments" },
  { value: "site", label: "sites" },
] as const;

export const PROTOCOL_NAMES: Readonly<Record<number, string>> = { 1: "icmp", 6: "tcp", 17: "udp", 58: "icmp6", 132: "sctp" };
const WITH_PORTS: ReadonlySet<number> = new Set([6, 17, 132]);
const SESSIONS = "SUM(sample_count)";
const FORWARD = "SUM(forward_sampled_bytes)";
const REVERSE = "SUM(reverse_sampled_bytes)";
const ROWS_COUNT = 10_000;
export const NODES_COUNT = 32;

export type Side = "client" | "server";

/** What one port of a server was asked for. */
export interface Service {
  readonly key: string;
  readonly protocol: number;
  /** 0: the protocol has none. */
  readonly port: number;
  readonly passed: number;
  readonly denied: number;
  readonly bytes: number;
  /** Of the denials, where there are any. */
  readonly rule: string;
  readonly reason: string;
  /** Whose host denied; the client's where nobody did. */
  readonly toldBy: Side;
}

export interface Edge {
  readonly key: string;
  readonly from: string;
  readonly to: string;
  readonly services: readonly Service[];
  readonly passed: number;
  readonly denied: number;
  readonly bytes: number;
}

export interface FlowMap {
  readonly nodes: readonly string[];
  readonly edges: readonly Edge[];
  /** Nodes that did not fit. */
  readonly leftOut: number;
}

export function bodyOf(by: string, from: string, side: Side, at: Moment | null): Record<string, Json> {
  return {
    table: "SessionSeriesTable",
    session_type: side,
    start_time: timeAsOf(from, at),
    end_time: timeAsOf("now", at),
    select_fields: [by, `remote_${by}`, "protocol", "server_port", "forward_action", "drop_reason", "security_policy_rule", SESSIONS, FORWARD, REVERSE],
    sort_fields: [SESSIONS],
    sort: 2,
    limit: ROWS_COUNT,
  };
}

interface Told {
  sessions: number;
  denied: number;
  bytes: number;
  rule: string;
  reason: string;
}

interface Sum {
  readonly from: string;
  readonly to: string;
  readonly protocol: number;
  readonly port: number;
  readonly client: Told;
  readonly server: Told;
}

function nobody(): Told {
  return { sessions: 0, denied: 0, bytes: 0, rule: "", reason: "" };
}

function add(told: Told, row: Row): void {
  const count = Number(row[SESSIONS] ?? 0);
  told.sessions += count;
  told.bytes += Number(row[FORWARD] ?? 0) + Number(row[REVERSE] ?? 0);
  if (row["forward_action"] === "pass") return;
  told.denied += count;
  told.rule = String(row["security_policy_rule"] ?? "");
  told.reason = String(row["drop_reason"] ?? "");
}

/** Both hosts of a session tell of it: what the server's denied, the client's let pass. It is counted once. */
export function mapOf(clients: readonly Row[], servers: readonly Row[], by: string): FlowMap {
  const sums = new Map<string, Sum>();
  for (const [side, rows] of [["client", clients], ["server", servers]] as const) {
    for (const row of rows) {
      const [near, far] = [String(row[by] ?? ""), String(row[`remote_${by}`] ?? "")];
      const [from, to] = side === "client" ? [near, far] : [far, near];
      const protocol = Number(row["protocol"] ?? 0);
      const port = WITH_PORTS.has(protocol) ? Number(row["server_port"] ?? 0) : 0;
      const key = [from, to, protocol, port].join(" ");
      const sum = sums.get(key) ?? { from, to, protocol, port, client: nobody(), server: nobody() };
      sums.set(key, sum);
      add(sum[side], row);
    }
  }
  const pairs = new Map<string, Service[]>();
  const ends = new Map<string, readonly [string, string]>();
  for (const sum of sums.values()) {
    const key = edgeKey(sum.from, sum.to);
    ends.set(key, [sum.from, sum.to]);
    pairs.set(key, [...(pairs.get(key) ?? []), serviceOf(sum)]);
  }
  const edges = [...ends].map(([key, [from, to]]) => edgeOf(key, from, to, pairs.get(key) ?? []));
  return withinBounds(edges);
}

export function edgeKey(from: string, to: string): string {
  return `${from} → ${to}`;
}

function serviceOf({ protocol, port, client, server }: Sum): Service {
  const denied = client.denied + server.denied;
  const sessions = Math.max(client.sessions, server.sessions, denied);
  const toldBy: Side = client.denied === 0 && (server.denied > 0 || client.sessions === 0) ? "server" : "client";
  const { rule, reason } = toldBy === "server" ? server : client;
  const bytes = Math.max(client.bytes, server.bytes);
  return { key: `${protocol} ${port}`, protocol, port, passed: sessions - denied, denied, bytes, rule, reason, toldBy };
}

function edgeOf(key: string, from: string, to: string, services: readonly Service[]): Edge {
  const total = (member: "passed" | "denied" | "bytes") => services.reduce((sum, each) => sum + each[member], 0);
  const sorted = services.toSorted((one, other) => other.denied - one.denied || other.passed - one.passed);
  return { key, from, to, services: sorted, passed: total("passed"), denied: total("denied"), bytes: total("bytes") };
}

/** The busiest nodes, in the order of their names, and what is between them. */
function withinBounds(edges: readonly Edge[]): FlowMap {
  const busy = new Map<string, number>();
  for (const { from, to, passed, denied } of edges) {
    for (const end of new Set([from, to])) busy.set(end, (busy.get(end) ?? 0) + passed + denied);
  }
  const shown = [...busy].toSorted(([, one], [, other]) => other - one).slice(0, NODES_COUNT).map(([name]) => name).toSorted();
  const kept = new Set(shown);
  return { nodes: shown, edges: edges.filter(({ from, to }) => kept.has(from) && kept.has(to)), leftOut: busy.size - shown.length };
}

export type Verdict = "pass" | "deny" | "mixed";

export function verdictOf({ passed, denied }: { readonly passed: number; readonly denied: number }): Verdict {
  if (denied === 0) return "pass";
  return passed === 0 ? "deny" : "mixed";
}

export function serviceName({ protocol, port }: { readonly protocol: number; readonly port: number }): string {
  const name = PROTOCOL_NAMES[protocol] ?? `protocol ${protocol}`;
  return port > 0 ? `${name} ${port}` : name;
}

export function nodeName(name: string): string {
  if (name === "") return "elsewhere";
  return name.split(":").slice(-2).join(" › ");
}

export interface Ribbon {
  readonly edge: Edge;
  readonly path: string;
}

export interface Bar {
  readonly name: string;
  readonly y: number;
  readonly height: number;
  readonly bytes: number;
}

export interface Sankey {
  readonly clients: readonly Bar[];
  readonly servers: readonly Bar[];
  readonly ribbons: readonly Ribbon[];
  readonly height: number;
}

export const SANKEY = { width: 940, left: 270, right: 670, bar: 14, gap: 22, top: 34 } as const;
const BAR_TOTAL_PX = 380;
const THIN_PX = 2;

/** Clients on the left, servers on the right; as wide as the bytes between them, both ways. */
export function sankeyOf(edges: readonly Edge[]): Sankey {
  const some = edges.filter((each) => each.bytes > 0).toSorted((one, other) => other.bytes - one.bytes);
  const scale = BAR_TOTAL_PX / Math.max(1, some.reduce((sum, each) => sum + each.bytes, 0));
  const thick = (edge: Edge) => Math.max(THIN_PX, edge.bytes * scale);
  const bars = (end: "from" | "to") => {
    let y: number = SANKEY.top;
    return [...new Set(some.map((each) => each[end]))].map((name): Bar => {
      const own = some.filter((each) => each[end] === name);
      const height = own.reduce((sum, each) => sum + thick(each), 0);
      const bar = { name, y, height, bytes: own.reduce((sum, each) => sum + each.bytes, 0) };
      y += height + SANKEY.gap;
      return bar;
    });
  };
  const [clients, servers] = [bars("from"), bars("to")];
  const next = { from: new Map(clients.map((bar) => [bar.name, bar.y])), to: new Map(servers.map((bar) => [bar.name, bar.y])) };
  const take = (end: "from" | "to", edge: Edge) => {
    const y = next[end].get(edge[end]) ?? 0;
    next[end].set(edge[end], y + thick(edge));
    return y;
  };
  const ribbons = some.map((edge): Ribbon => {
    const [a, b, wide] = [take("from", edge), take("to", edge), thick(edge)];
    const [x0, x1, middle] = [SANKEY.left + SANKEY.bar, SANKEY.right, (SANKEY.left + SANKEY.bar + SANKEY.right) / 2];
    const path = `M${x0} ${a} C${middle} ${a} ${middle} ${b} ${x1} ${b} V${b + wide} C${middle} ${b + wide} ${middle} ${a + wide} ${x0} ${a + wide} Z`;
    return { edge, path };
  });
  const end = Math.max(SANKEY.top, ...[...clients, ...servers].map((bar) => bar.y + bar.height));
  return { clients, servers, ribbons, height: end + SANKEY.gap };
}
