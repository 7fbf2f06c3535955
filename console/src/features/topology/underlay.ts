/** The underlay as a picture's parts: hosts, switches, what joins them, and the tunnels between hosts. Pure. */

import { isDocument, isList, type Json } from "../../model/document";
import { at, type Uve } from "../monitor/uves";

export type Row = Readonly<Record<string, Json>>;

export interface UnderlayNode {
  readonly id: string;
  readonly kind: "switch" | "host" | "elsewhere";
  readonly addresses: readonly string[];
  /** Of the object in the configuration; empty where none is known. */
  readonly uuid: string;
  readonly ports: number;
  readonly isWell: boolean;
  readonly x: number;
  readonly y: number;
}

/** One cable, as one of its ends tells it. */
export interface Cable {
  readonly key: string;
  readonly from: string;
  readonly to: string;
  readonly fromInterface: string;
  readonly toInterface: string;
  /** Of the teller's interface; empty where it tells none. */
  readonly index: string;
}

export interface Tunnel {
  readonly key: string;
  readonly from: string;
  readonly to: string;
  readonly bytes: number;
  readonly sessions: number;
}

export interface Underlay {
  readonly nodes: readonly UnderlayNode[];
  readonly cables: readonly Cable[];
  readonly tunnels: readonly Tunnel[];
  readonly leftOut: number;
  readonly width: number;
  readonly height: number;
}

export const BOX = { width: 220, height: 62 } as const;
const GAP_PX = 36;
const ROW_PX = 150;
const MARGIN_PX = 16;
const TUNNELS_PX = 150;
const WIDER_MOST = 2;
const HIGHER_MOST = 1.6;
export const HOSTS_COUNT = 60;
const FORWARD = "SUM(forward_sampled_bytes)";
const REVERSE = "SUM(reverse_sampled_bytes)";
const SESSIONS = "SUM(sample_count)";

/** Which host sent how much into which tunnel, as one side of sessions tells it when they end. */
export function tunnelsBody(side: "client" | "server", start: Json, end: Json): Record<string, Json> {
  return {
    table: "SessionSeriesTable", session_type: side, start_time: start, end_time: end,
    select_fields: ["vrouter_ip", "other_vrouter_ip", FORWARD, REVERSE, SESSIONS], limit: 10_000,
  };
}

/** By address or name: who is called what. */
export interface Named {
  readonly [addressOrName: string]: string;
}

/** Both hosts tell of a session: the larger sum of the two sides counts. */
export function tunnelsOf(clients: readonly Row[], servers: readonly Row[], names: Named): Tunnel[] {
  const sums = new Map<string, { from: string; to: string; client: [number, number]; server: [number, number] }>();
  for (const [side, rows] of [["client", clients], ["server", servers]] as const) {
    for (const row of rows) {
      const ends = [row["vrouter_ip"], row["other_vrouter_ip"]].map((each) => String(each ?? ""));
      if (ends.includes("") || ends[0] === ends[1]) continue;
      const [from = "", to = ""] = ends.map((address) => names[address] ?? address).toSorted();
      const sum = sums.get(`${from} ${to}`) ?? { from, to, client: [0, 0], server: [0, 0] };
      sums.set(`${from} ${to}`, sum);
      sum[side][0] += Number(row[FORWARD] ?? 0) + Number(row[REVERSE] ?? 0);
      sum[side][1] += Number(row[SESSIONS] ?? 0);
    }
  }
  return [...sums].map(([key, { from, to, client, server }]) => ({
    key: `tunnel ${key}`, from, to, bytes: Math.max(client[0], server[0]), sessions: Math.round(Math.max(client[1], server[1])),
  }));
}

/** Cables that switches tell of (`PRouterLinkEntry`); those that both ends tell of are one. */
export function cablesOf(switches: readonly Uve[]): Cable[] {
  const found = new Map<string, Cable>();
  for (const { name, value } of switches) {
    const table = at(value, "PRouterLinkEntry.link_table");
    for (const entry of isList(table) ? table.filter(isDocument) : []) {
      const told = (member: string) => String(entry[member] ?? "");
      const [to, near, far] = [told("remote_system_name"), told("local_interface_name"), told("remote_interface_name")];
      if (to === "" || found.has(`${to} ${far} ${name} ${near}`)) continue;
      const key = `${name} ${near} ${to} ${far}`;
      found.set(key, { key: `cable ${key}`, from: name, to, fromInterface: near, toInterface: far, index: told("local_interface_index") });
    }
  }
  return [...found.values()];
}

/** Names by address, of hosts by what they tell of themselves, of others as the configuration has them. */
export function namesOf(hosts: readonly Uve[], others: Named): Named {
  const own = hosts.flatMap(({ name, value }) => addressesOf(value).map((address) => [address, name] as const));
  return { ...others, ...Object.fromEntries(own) };
}

function addressesOf(value: Json | undefined): string[] {
  const told = at(value, "VrouterAgent.self_ip_list");
  return isList(told) ? told.map(String) : [];
}

/** Values of `ContrailConfig` are JSON in texts. */
function configured(value: Json | undefined, member: string): string {
  const told = at(value, `ContrailConfig.elements.${member}`);
  return typeof told === "string" ? told.replaceAll('"', "") : "";
}

export function underlayOf(hosts: readonly Uve[], switches: readonly Uve[], tunnels: readonly Tunnel[]): Underlay {
  const shown = hosts.toSorted((one, other) => (one.name < other.name ? -1 : 1)).slice(0, HOSTS_COUNT);
  const names = new Set(shown.map((each) => each.name));
  const all = new Set(hosts.map((each) => each.name));
  const cables = cablesOf(switches);
  const known = [...new Set([...switches.map((each) => each.name), ...cables.flatMap(({ from, to }) => [from, to])])].filter((name) => !all.has(name)).toSorted();
  const elsewhere = [...new Set(tunnels.flatMap(({ from, to }) => [from, to]))].filter((name) => !all.has(name) && !known.includes(name)).toSorted();
  const levels = levelsOf(known, names, cables);
  const top = Math.max(0, ...levels.values());
  const rows = [...Array(top + 1).keys()].map((level) => (level === 0 ? [...names, ...elsewhere] : known.filter((name) => levels.get(name) === level)));
  const widest = Math.max(...rows.map((row) => row.length), 1);
  const width = 2 * MARGIN_PX + widest * (BOX.width + GAP_PX) - GAP_PX;
  const uves = new Map(shown.map((each) => [each.name, each.value]));
  const nodes = rows.flatMap((row, level) =>
    row.map((id, place): UnderlayNode => {
      const own = row.length * (BOX.width + GAP_PX) - GAP_PX;
      const value = uves.get(id);
      const ports = at(value, "VrouterAgent.total_interface_count");
      const processes = at(value, "NodeStatus.process_status");
      return {
        id,
        kind: names.has(id) ? "host" : level > 0 ? "switch" : "elsewhere",
        addresses: addressesOf(value),
        uuid: configured(value, "uuid"),
        ports: Number(ports ?? 0),
        isWell: !isList(processes) || processes.filter(isDocument).every((each) => each["state"] === "Functional"),
        x: (width - own) / 2 + place * (BOX.width + GAP_PX),
        y: MARGIN_PX + (top - level) * ROW_PX,
      };
    }),
  );
  const drawn = new Set(nodes.map((each) => each.id));
  const isDrawn = ({ from, to }: { readonly from: string; readonly to: string }) => drawn.has(from) && drawn.has(to);
  return {
    nodes,
    cables: cables.filter(isDrawn),
    tunnels: tunnels.filter(isDrawn),
    leftOut: hosts.length - shown.length,
    width,
    height: 2 * MARGIN_PX + top * ROW_PX + BOX.height + (tunnels.length > 0 ? TUNNELS_PX : 0),
  };
}

/** Boxes apart from each other as far as fills a room of this shape; they are no larger for that. */
export function spread(underlay: Underlay, room: { readonly width: number; readonly height: number }): Underlay {
  const { nodes, width, height } = underlay;
  const shape = room.width / Math.max(1, room.height);
  const [x, y] = [Math.max(1, Math.min(WIDER_MOST, (shape * height) / Math.max(1, width))), Math.max(1, Math.min(HIGHER_MOST, width / shape / Math.max(1, height)))];
  return {
    ...underlay,
    nodes: nodes.map((node) => ({ ...node, x: (node.x + BOX.width / 2) * x - BOX.width / 2, y: MARGIN_PX + (node.y - MARGIN_PX) * y })),
    width: width * x,
    height: height * y,
  };
}

/** How far each switch is from hosts; those that lead to none stand at the top. */
function levelsOf(switches: readonly string[], hosts: ReadonlySet<string>, cables: readonly Cable[]): ReadonlyMap<string, number> {
  const levels = new Map<string, number>();
  let reached: ReadonlySet<string> = hosts;
  for (let level = 1; reached.size > 0; level += 1) {
    const next = new Set<string>();
    for (const { from, to } of cables) {
      for (const [near, far] of [[from, to], [to, from]] as const) {
        if (reached.has(near) && !hosts.has(far) && !levels.has(far)) next.add(far);
      }
    }
    for (const name of next) levels.set(name, level);
    reached = next;
  }
  const top = Math.max(1, ...levels.values());
  for (const name of switches) if (!levels.has(name)) levels.set(name, top);
  return levels;
}

/** The way of a flow as the analytics node answers it. */
export interface Way {
  readonly found_by: string;
  readonly path: readonly string[];
  readonly is_ordered: boolean;
  readonly tunnel: { readonly source: string; readonly destination: string };
  readonly nodes: readonly { readonly id: string; readonly kind: string; readonly seen: { readonly packets: number } | null }[];
}

export const FOUND_BY: Readonly<Record<string, string>> = {
  flow: "Switches sampled the flow itself.",
  tunnel: "Switches told of the tunnel between its hosts, not of the flow.",
  topology: "No switch told of it: the shortest way of the known links.",
  nothing: "No host or switch told of such a flow, or no link between its hosts is known.",
};

/** Whether two neighbours of a way are the ends of a line. */
export function isOnWay(way: Way | undefined, from: string, to: string): boolean {
  const path = way?.path ?? [];
  return path.some((name, index) => {
    const next = path[index + 1];
    return (name === from && next === to) || (name === to && next === from);
  });
}
