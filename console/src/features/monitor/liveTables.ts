/** Tables that processes show of themselves: which columns stand in the table, and what they lead to. Pure. */

import { fieldTitle } from "../../model/catalog";
import { type Document, isDocument, isList, type Json } from "../../model/document";
import { bytesText } from "../../model/units";
import { AGENT, CONTROL, durationText, placeOf } from "./processes";

export type Row = Document;
export type Place = readonly [node: string, process: string];

export interface Column {
  readonly name: string;
  readonly title: string;
  readonly text?: (row: Row) => string;
  /** Where the value leads; undefined: nowhere. */
  readonly to?: (row: Row, place: Place) => string | undefined;
  /** The word is good, bad, or neither. */
  readonly tone?: (row: Row) => "green" | "red" | "orange" | undefined;
}

export interface LiveTable {
  readonly name: string;
  readonly title: string;
  readonly about: string;
  readonly columns: readonly Column[];
  /** A column by which a long table is best narrowed, and the table that has its values. */
  readonly by?: { readonly column: string; readonly title: string; readonly table: string; readonly of: string };
  /** Read when asked only: it costs the process much. */
  readonly isCostly?: boolean;
}

/** What is asked of one table; all of it stands in the page's address. */
export interface Asked {
  readonly table: string;
  readonly where: Readonly<Record<string, string>>;
  readonly match: string;
  /** From 1. */
  readonly page: number;
}

export const PAGE_ROWS = 100;

export function askedOf(search: URLSearchParams, first: string): Asked {
  const pairs = search.getAll("where").map((each) => [each.slice(0, Math.max(0, each.indexOf(":"))), each.slice(each.indexOf(":") + 1)] as const);
  const page = Math.floor(Number(search.get("page") ?? 1));
  return {
    table: search.get("table") ?? first,
    where: Object.fromEntries(pairs.filter(([name]) => name !== "")),
    match: search.get("match") ?? "",
    page: page >= 1 && page <= 1e6 ? page : 1,
  };
}

export function searchOf({ table, where, match, page }: Asked): URLSearchParams {
  const search = new URLSearchParams({ table });
  for (const [name, value] of Object.entries(where)) search.append("where", `${name}:${value}`);
  if (match !== "") search.set("match", match);
  if (page > 1) search.set("page", String(page));
  return search;
}

/** The query of the page of rows that is asked for. */
export function queryOf({ where, match, page }: Asked, [node, process]: Place): URLSearchParams {
  const query = new URLSearchParams({ ...where, node, process, limit: String(PAGE_ROWS), offset: String((page - 1) * PAGE_ROWS), timeout: "15" });
  if (match !== "") query.set("match", match);
  return query;
}

/** Another table of the same process, narrowed. */
function within([node, process]: Place, table: string, where: Asked["where"]): string {
  return `${placeOf(node, process)}?${searchOf({ table, where, match: "", page: 1 }).toString()}`;
}

const plain = (name: string, title = fieldTitle(name)): Column => ({ name, title });
const since = (name = "up_s"): Column => ({ name, title: "For", text: (row) => durationText(row[name]) });
const up = (yes: string, no: string): Column => ({
  name: "up",
  title: "State",
  text: (row) => (row["up"] === true ? yes : no),
  tone: (row) => (row["up"] === true ? "green" : "red"),
});
const yes = (name: string, title: string): Column => ({ name, title, text: (row) => (row[name] === true ? "yes" : "no") });
const short = (name: string, title: string): Column => ({ name, title, text: (row) => String(row[name] ?? "").replace(/^default-domain:/, "") });

const port = (title = "Port"): Column => ({
  name: "vmi_uuid",
  title,
  text: (row) => String(row["name"] ?? row["vmi_uuid"] ?? "").replace(/^default-domain:/, ""),
  to: (row) => (row["vmi_uuid"] ? `/o/virtual-machine-interface/${String(row["vmi_uuid"])}` : undefined),
});
const portOnly: Column = { ...port(), text: (row) => String(row["vmi_uuid"] ?? "") };
const vif: Column = {
  name: "vif_id",
  title: "Interface",
  text: (row) => (row["vif_id"] ? String(row["vif_id"]) : "all"),
  to: (row, place) => (row["vif_id"] ? within(place, "interfaces", { vif_id: String(row["vif_id"]) }) : undefined),
};
const nexthop: Column = {
  name: "nexthop",
  title: "Next hop",
  text: (row) => String(row["nexthop"] || row["nexthop_id"] || ""),
  to: (row, place) => (row["nexthop_id"] ? within(place, "nexthops", { nexthop_id: String(row["nexthop_id"]) }) : undefined),
};
const vrfRoutes = (name: string, title: string): Column => ({
  ...short(name, title),
  to: (row, place) => (row[name] ? within(place, "routes", { vrf: String(row[name]) }) : undefined),
});
const instanceRoutes: Column = {
  ...short("instance", "Routing instance"),
  to: (row, place) => within(place, "routes", { instance: String(row["instance"]), ...(row["family"] === undefined ? {} : { family: String(row["family"]) }) }),
};
/** Hosts name themselves as their agents' processes do. */
const host = (name: string, title: string): Column => ({ name, title, to: (row) => (row[name] ? placeOf(String(row[name]), AGENT) : undefined) });

const used: Column = {
  name: "best",
  title: "Used",
  text: (row) => (row["best"] === true ? "used" : "not used"),
  tone: (row) => (row["best"] === true ? "green" : undefined),
};
const why: Column = { name: "why_best", title: "Why", text: (row) => String(row["best"] === true ? (row["why_best"] ?? "") : (row["why_not_best"] ?? "")) };
const source: Column = {
  name: "source",
  title: "From",
  // A host is no name of several parts, as BGP peers are.
  to: (row) => (row["source"] && !String(row["source"]).includes(":") && row["made"] === "" ? placeOf(String(row["source"]), AGENT) : undefined),
};

const OF_CONTROL: readonly LiveTable[] = [
  { name: "control", title: "State", about: "What this control node knows of the configuration, and whether it has settled.", columns: [plain("revision"), yes("config_complete", "Configuration complete"), yes("settled", "Settled"), plain("objects"), plain("instances", "Routing instances"), plain("peers", "Hosts"), plain("peers_up", "Hosts up"), plain("bgp_problems", "Problems of BGP routers")] },
  { name: "peers", title: "Hosts", about: "Agents that are, or were, connected, and how much they told and were told.", columns: [host("name", "Host"), plain("address"), up("Established", "Down"), since(), plain("subscriptions", "VRFs"), plain("routes"), plain("routes_stale", "Stale"), plain("revision"), plain("problem"), plain("last_down_reason", "Last down")] },
  { name: "bgp", title: "BGP peers", about: "Routers and other control nodes; sessions begin with what their bgp-router objects say.", columns: [short("name", "Peer"), plain("address"), plain("as", "AS"), up("Established", "Not established"), since(), plain("families"), plain("routes"), plain("updates_in", "Updates in"), plain("sessions"), plain("bfd", "BFD"), plain("last_down_reason", "Last down"), plain("last_problem")] },
  { name: "instances", title: "Routing instances", about: "Tables by network, and which route targets lead into them and out of them.", columns: [instanceRoutes, short("virtual_network", "Network"), plain("imports"), plain("exports")] },
  { name: "tables", title: "Tables", about: "How many destinations and paths each table has.", columns: [instanceRoutes, plain("family"), plain("destinations"), plain("paths"), plain("imported"), plain("members", "Hosts that get it")] },
  {
    name: "routes", title: "Routes", about: "Every path of every destination, and why it is used or not.",
    columns: [plain("prefix", "Destination"), plain("family"), used, why, { name: "next_hops", title: "Next hops", text: (row) => hopsText(row["next_hops"]) }, source, plain("local_preference", "Preference"), short("instance", "Routing instance"), short("origin", "Born in")],
    by: { column: "instance", title: "Routing instance", table: "instances", of: "instance" },
  },
  { name: "vpn", title: "VPN routes", about: "What is told to BGP peers and heard from them, by route distinguisher.", columns: [plain("prefix", "Destination"), plain("distinguisher"), plain("family"), used, { ...why, name: "why_not_best", text: (row) => String(row["why_not_best"] ?? "") }, plain("next_hops"), plain("source", "From"), plain("targets", "Route targets"), plain("as_path", "AS path")] },
];

const OF_VROUTER: readonly LiveTable[] = [
  { name: "interfaces", title: "Interfaces", about: "Ports that are plugged on this host, and why one does not forward.", columns: [port(), plain("ifname", "Link"), { name: "active", title: "State", text: (row) => (row["active"] === true ? "forwards" : "does not"), tone: (row) => (row["active"] === true ? "green" : "red") }, plain("reason", "Why"), plain("addresses"), plain("floating_addresses", "Floating"), plain("mac", "MAC"), vrfRoutes("vrf", "VRF"), plain("vif_id", "Number")] },
  { name: "vrfs", title: "VRFs", about: "Networks this host takes part in.", columns: [vrfRoutes("name", "VRF"), plain("routes"), plain("macs", "MACs"), plain("interfaces"), plain("forwarding"), plain("flood_members", "Flooded to"), plain("vrf_id", "Number")] },
  {
    name: "routes", title: "Routes", about: "What the kernel looks up in each VRF, and who told it.",
    columns: [plain("prefix", "Destination"), plain("family"), nexthop, plain("label"), { name: "sources", title: "Who told it", text: (row) => sourcesText(row["sources"]) }, plain("networks"), vrfRoutes("vrf", "VRF")],
    by: { column: "vrf", title: "VRF", table: "vrfs", of: "name" },
  },
  { name: "nexthops", title: "Next hops", about: "Where packets go: a port, a tunnel to a host, several to choose from.", columns: [plain("nexthop_id", "Number"), plain("name"), plain("kind"), { ...vif, text: (row) => (row["vif_id"] ? String(row["vif_id"]) : "") }, portOnly, plain("encapsulation", "Tunnel"), plain("remote", "To"), { name: "members", title: "Members", text: (row) => membersText(row["members"]) }] },
  { name: "flows", title: "Flows", about: "Connections the kernel remembers, a row for each direction, with what was decided.", isCostly: true, columns: [plain("source"), plain("source_port", "Port"), plain("destination"), plain("destination_port", "Port"), { name: "protocol", title: "Protocol", text: (row) => protocolText(row["protocol"]) }, { name: "allowed", title: "Verdict", text: (row) => (row["allowed"] === true ? "passes" : `dropped ${String(row["drop_reason"] ?? "")}`), tone: (row) => (row["allowed"] === true ? "green" : "red") }, { name: "rule", title: "Rule", text: (row) => String(row["rule"] ?? "").replace(/^default-domain:/, "") }, vif, nexthop, plain("packets"), bytesOf("bytes", "Bytes"), { name: "age_s", title: "Idle for", text: (row) => durationText(row["age_s"]) }] },
  { name: "drops", title: "Drops", about: "Packets that were dropped since the host began, by reason; of all, and at each interface.", columns: [plain("reason"), { name: "packets", title: "Packets", text: (row) => Number(row["packets"] ?? 0).toLocaleString("en") }, vif, portOnly] },
  { name: "policy", title: "Policy", about: "Rules as this host understands them, in the order in which they are tried.", columns: [plain("text", "Rule"), plain("direction"), plain("stage"), { name: "rule", title: "Name", text: (row) => String(row["rule"] ?? "").replace(/^default-domain:/, "") }] },
  { name: "labels", title: "Labels", about: "What tunnel packets of a label or network number are led to.", columns: [plain("kind"), plain("label", "Number"), nexthop] },
  { name: "tables", title: "Table sizes", about: "How full the kernel's tables are.", columns: [plain("table"), plain("entries"), plain("entries_max", "At most"), { name: "used_percent", title: "Used", text: (row) => `${String(row["used_percent"])} %` }, bytesOf("bytes", "Memory"), plain("state")] },
  { name: "sessions", title: "Control nodes", about: "Sessions of this host with control nodes.", columns: [{ name: "source", title: "Address" }, { name: "state", title: "State", tone: (row) => (row["state"] === "established" ? "green" : "red") }, plain("last_reason", "Last down")] },
  { name: "status", title: "Status", about: "The agent itself: what it wrote to the kernel, and what fails.", columns: [plain("name"), plain("address"), plain("ports"), yes("complete", "Complete"), plain("problem"), plain("puts", "Rows written"), plain("failures"), plain("drift"), plain("last_error")] },
];

export function tablesOf(process: string): readonly LiveTable[] {
  if (process === AGENT) return OF_VROUTER;
  return process === CONTROL ? OF_CONTROL : [];
}

const HIDDEN: ReadonlySet<string> = new Set(["node", "process"]);
const COLUMNS_MAX = 8;
/** Asked by a question, not read. */
const NO_TABLES: ReadonlySet<string> = new Set(["explain"]);

/** All tables a process has: first those that are described, then the others by name. */
export function tablesWith(process: string, names: readonly string[]): LiveTable[] {
  const known = tablesOf(process);
  const described = new Set(known.map(({ name }) => name));
  const others = names.filter((name) => !described.has(name) && !NO_TABLES.has(name));
  return [
    ...known.filter(({ name }) => names.length === 0 || names.includes(name)),
    ...others.map((name) => ({ name, title: fieldTitle(name), about: "", columns: [] })),
  ];
}

/** Columns of a table: its own, or those of its rows that say something. */
export function columnsOf(table: LiveTable, rows: readonly Row[]): readonly Column[] {
  if (table.columns.length > 0) return table.columns;
  const names = [...new Set(rows.flatMap((row) => Object.keys(row)))].filter((name) => !HIDDEN.has(name));
  return names.slice(0, COLUMNS_MAX).map((name) => (name.endsWith("bytes") ? bytesOf(name, fieldTitle(name)) : plain(name)));
}

export function factsOf(row: Row): [string, string][] {
  return Object.entries(row)
    .filter(([name]) => !HIDDEN.has(name))
    .map(([name, value]) => [fieldTitle(name), valueText(value)]);
}

export function textOf(column: Column, row: Row): string {
  return column.text?.(row) ?? valueText(row[column.name]);
}

export function valueText(value: Json | undefined): string {
  if (value === undefined || value === null) return "";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (isList(value)) return value.every((each) => !isDocument(each) && !isList(each)) ? value.map(valueText).join(", ") : JSON.stringify(value);
  return isDocument(value) ? JSON.stringify(value) : String(value);
}

function bytesOf(name: string, title: string): Column {
  return { name, title, text: (row) => (typeof row[name] === "number" ? bytesText(row[name]) : valueText(row[name])) };
}

function hopsText(hops: Json | undefined): string {
  if (!isList(hops)) return "";
  return hops.filter(isDocument).map((hop) => `${String(hop["address"])} label ${String(hop["label"])}`).join(", ");
}

function sourcesText(sources: Json | undefined): string {
  if (!isList(sources)) return "";
  return sources.filter(isDocument).map((each) => `${String(each["origin"])}${each["stale"] === true ? " (stale)" : ""}`).join(", ");
}

function membersText(members: Json | undefined): string {
  return isList(members) ? members.map((each) => (isList(each) ? String(each[0]) : valueText(each))).join(", ") : "";
}

const PROTOCOLS: Readonly<Record<number, string>> = { 1: "icmp", 6: "tcp", 17: "udp", 58: "icmp6", 132: "sctp" };

function protocolText(value: Json | undefined): string {
  return typeof value === "number" ? (PROTOCOLS[value] ?? String(value)) : valueText(value);
}
