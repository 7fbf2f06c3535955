/** A question to history as the page's address holds it and as analytics takes it. */

import { csv } from "../../model/csv";
import { type Moment, timeAsOf } from "../../api/moment";
import type { Json } from "../../model/document";

export interface Match {
  readonly name: string;
  readonly op: number;
  readonly value: string;
}

export interface Question {
  readonly table: string;
  readonly columns: readonly string[];
  readonly matches: readonly Match[];
  readonly from: string;
  readonly to: string;
  readonly sort: string;
  readonly isAscending: boolean;
  readonly limit: number;
  /** Of SessionSeriesTable: which side told. */
  readonly side: string;
}

export interface ColumnInfo {
  readonly name: string;
  readonly datatype: string;
}

export const OPERATIONS = [
  { value: 1, label: "is" },
  { value: 2, label: "is not" },
  { value: 7, label: "begins with" },
  { value: 8, label: "matches" },
  { value: 5, label: "at most" },
  { value: 6, label: "at least" },
] as const;

const EMPTY: Question = {
  table: "", columns: [], matches: [], from: "now-1h", to: "now", sort: "", isAscending: false, limit: 1000, side: "",
};

export interface Preset extends Question {
  readonly title: string;
}

const ENDS = ["vn", "local_ip", "remote_vn", "remote_ip", "protocol", "server_port"];

/** What most people ask; a start for everything else. */
export const PRESETS: readonly Preset[] = [
  {
    ...EMPTY,
    title: "Logs",
    table: "MessageTable",
    columns: ["MessageTS", "Level", "Source", "ModuleId", "Messagetype", "Xmlmessage"],
    sort: "MessageTS",
  },
  {
    ...EMPTY,
    title: "Sessions",
    table: "SessionRecordTable",
    columns: ["T", "session_type", "vmi", ...ENDS, "client_port", "forward_action", "security_policy_rule"],
    sort: "T",
  },
  {
    ...EMPTY,
    title: "Denied",
    table: "SessionRecordTable",
    // What was refused of whom, and by what, is seen without scrolling.
    columns: ["T", "drop_reason", "protocol", "server_port", "vmi", "remote_ip", "security_policy_rule", "vn", "remote_vn", "local_ip", "session_type", "vrouter"],
    matches: [{ name: "forward_action", op: 2, value: "pass" }],
    sort: "T",
  },
  {
    ...EMPTY,
    title: "Traffic between networks",
    table: "SessionSeriesTable",
    side: "client",
    columns: ["vn", "remote_vn", "SUM(forward_sampled_bytes)", "SUM(reverse_sampled_bytes)", "SUM(sample_count)"],
    sort: "SUM(forward_sampled_bytes)",
  },
  {
    ...EMPTY,
    title: "Flows by minute",
    table: "SessionSeriesTable",
    side: "client",
    columns: ["T=60", "vn", "remote_vn", "protocol", "server_port", "SUM(sample_count)", "SUM(forward_sampled_bytes)"],
    sort: "T=60",
  },
];

/** Numbers most people ask for. */
export const STATISTICS: readonly Preset[] = [
  {
    ...EMPTY,
    title: "Top talkers",
    table: "SessionSeriesTable",
    side: "client",
    columns: ["vmi", "local_ip", "vn", "SUM(forward_sampled_bytes)", "SUM(reverse_sampled_bytes)", "SUM(sample_count)"],
    sort: "SUM(forward_sampled_bytes)",
    limit: 50,
  },
  {
    ...EMPTY,
    title: "Busiest ports",
    table: "StatTable.UveVMInterfaceAgent.if_stats",
    columns: ["name", "SUM(if_stats.in_bytes)", "SUM(if_stats.out_bytes)", "SUM(if_stats.in_tpkts)", "SUM(if_stats.out_tpkts)"],
    sort: "SUM(if_stats.out_bytes)",
    limit: 50,
  },
  {
    ...EMPTY,
    title: "Busiest hosts",
    table: "StatTable.VrouterStatsAgent.if_stats",
    columns: ["name", "SUM(if_stats.in_bytes)", "SUM(if_stats.out_bytes)"],
    sort: "SUM(if_stats.out_bytes)",
    limit: 50,
  },
  {
    ...EMPTY,
    title: "Drops by reason",
    table: "SessionSeriesTable",
    side: "client",
    columns: ["drop_reason", "vn", "remote_vn", "SUM(sample_count)"],
    matches: [{ name: "forward_action", op: 2, value: "pass" }],
    sort: "SUM(sample_count)",
    limit: 100,
  },
  {
    ...EMPTY,
    title: "Use of processes",
    table: "StatTable.NodeStatus.process_mem_cpu_usage",
    columns: ["name", "process_mem_cpu_usage.__key", "MAX(process_mem_cpu_usage.cpu_seconds)", "MAX(process_mem_cpu_usage.resident_bytes)"],
    sort: "MAX(process_mem_cpu_usage.cpu_seconds)",
    limit: 1000,
  },
];

export function questionOf(search: URLSearchParams): Question {
  if (!search.has("table")) return PRESETS[0] ?? EMPTY;
  const limit = Number(search.get("limit"));
  return {
    table: search.get("table") ?? "",
    columns: (search.get("columns") ?? "").split(",").filter(Boolean),
    matches: search.getAll("where").map(matchOf).filter((each) => each.name !== ""),
    from: search.get("from") ?? EMPTY.from,
    to: search.get("to") ?? EMPTY.to,
    sort: search.get("sort") ?? "",
    isAscending: search.get("order") === "up",
    limit: Number.isInteger(limit) && limit > 0 ? limit : EMPTY.limit,
    side: search.get("side") ?? "",
  };
}

/** `name:operation:value`; values may have colons. */
function matchOf(text: string): Match {
  const [name = "", op = "", ...value] = text.split(":");
  return { name, op: OPERATIONS.some((each) => each.value === Number(op)) ? Number(op) : 1, value: value.join(":") };
}

export function searchOf(question: Question): URLSearchParams {
  const search = new URLSearchParams({ table: question.table, columns: question.columns.join(","), from: question.from });
  for (const { name, op, value } of question.matches) search.append("where", `${name}:${op}:${value}`);
  if (question.to !== EMPTY.to) search.set("to", question.to);
  if (question.sort !== "") search.set("sort", question.sort);
  if (question.isAscending) search.set("order", "up");
  if (question.limit !== EMPTY.limit) search.set("limit", String(question.limit));
  if (question.side !== "") search.set("side", question.side);
  return search;
}

export function missing(question: Question): string {
  if (question.columns.length === 0) return "Choose at least one column.";
  const open = question.matches.find((each) => each.name === "");
  return open === undefined ? "" : "Choose a column for every condition, or remove it.";
}

/** The body of `/analytics/query`; numbers are numbers where the column is one. */
export function bodyOf(question: Question, infos: readonly ColumnInfo[], at: Moment | null = null): Record<string, Json> {
  const numbers = new Set(infos.filter((each) => each.datatype !== "string").map((each) => each.name));
  const where = question.matches.map(({ name, op, value }) => ({
    name, op, value: numbers.has(name) && value.trim() !== "" && Number.isFinite(Number(value)) ? Number(value) : value,
  }));
  return {
    table: question.table,
    start_time: timeAsOf(question.from, at),
    end_time: timeAsOf(question.to, at),
    select_fields: question.columns,
    limit: question.limit,
    ...(where.length === 0 ? {} : { where: [where] }),
    ...(question.sort === "" || !question.columns.includes(question.sort)
      ? {}
      : { sort_fields: [question.sort], sort: question.isAscending ? 1 : 2 }),
    ...(question.side === "" ? {} : { session_type: question.side }),
  };
}

/** Columns that may be asked for: the table's, and for sums the numbers of it. */
export function choicesOf(table: string, infos: readonly ColumnInfo[]): string[] {
  const names = infos.map((each) => each.name);
  if (table !== "SessionSeriesTable") return names;
  const sums = infos.filter((each) => each.datatype === "int" && /bytes|pkts|count/.test(each.name)).map((each) => `SUM(${each.name})`);
  return ["T=60", "T=600", "T=3600", ...sums, ...names];
}

export function isTime(column: string): boolean {
  return /^(T|T=\d+|MessageTS|.*_time)$/.test(column);
}

/** Bins of time are answered under one name, however wide they were asked for. */
export function valueOf(row: Readonly<Record<string, Json>>, column: string): Json | undefined {
  return row[/^T=\d+$/.test(column) ? "T=" : column];
}

export function cellText(column: string, value: Json | undefined): string {
  if (value === undefined || value === null) return "";
  if (isTime(column) && typeof value === "number") return new Date(value / 1000).toISOString().slice(0, 23).replace("T", " ");
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

const LEVELS = ["emergency", "alert", "critical", "error", "warning", "notice", "info", "debug"];
const PROTOCOLS: Readonly<Record<number, string>> = { 1: "icmp", 6: "tcp", 17: "udp", 58: "icmp6", 132: "sctp" };
const MEMBER = /<([\w.-]+)[^<>]*>([^<]+)<\//g;
const ENTITIES: Readonly<Record<string, string>> = { "&lt;": "<", "&gt;": ">", "&quot;": '"', "&apos;": "'", "&amp;": "&" };

/** What a session has to say of itself for its way to be asked for. */
const OF_A_WAY = ["session_type", "vmi", "remote_ip", "remote_vn", "protocol", "server_port"] as const;
const WITH_PORTS: ReadonlySet<string> = new Set(["tcp", "udp", "sctp"]);

export function showsWays(columns: readonly string[]): boolean {
  return OF_A_WAY.every((name) => columns.includes(name));
}

/** The page that tells why a session was let through or not, from its client to its server; empty when none can. */
export function wayOf(row: Readonly<Record<string, Json>>): string {
  const told = (name: string) => String(row[name] ?? "");
  const protocol = PROTOCOLS[Number(row["protocol"])] ?? "";
  if (protocol === "" || told("vmi") === "" || told("remote_ip") === "") return "";
  const [from, to] = told("session_type") === "server" ? [told("remote_ip"), told("vmi")] : [told("vmi"), told("remote_ip")];
  const search = new URLSearchParams({ from, to, protocol, network: told("remote_vn") });
  if (WITH_PORTS.has(protocol)) search.set("port", told("server_port"));
  return `/trace?${search.toString()}`;
}

/** A cell as people read it: messages without their XML, levels by name. */
export function readable(column: string, value: Json | undefined): string {
  if (column === "Level" && typeof value === "number") return LEVELS[value] ?? String(value);
  if (column === "protocol" && typeof value === "number") return PROTOCOLS[value] ?? String(value);
  const text = cellText(column, value);
  if (!text.startsWith("<")) return text;
  const members = [...text.matchAll(MEMBER)].map(([, name, inner]) => `${name}: ${inner}`);
  if (members.length === 0) return text;
  return members.join(", ").replaceAll(/&(lt|gt|quot|apos|amp);/g, (entity) => ENTITIES[entity] ?? entity);
}

export function csvOf(columns: readonly string[], rows: readonly Readonly<Record<string, Json>>[]): string {
  return csv([columns, ...rows.map((row) => columns.map((column) => cellText(column, valueOf(row, column))))]);
}
