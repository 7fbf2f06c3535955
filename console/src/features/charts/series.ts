/** Numbers over time as lines of a chart, and the changes that stand beside them. Pure. */

import { type Moment, timeAsOf } from "../../api/moment";
import type { Json } from "../../model/document";

export type Row = Readonly<Record<string, Json>>;

export interface Line {
  readonly title: string;
  /** Per second where `isRate`, else as they are; undefined where nothing was told. */
  readonly points: readonly (number | undefined)[];
}

export interface Chart {
  readonly title: string;
  readonly unit: "B/s" | "/s" | "B" | "%" | "";
  /** Milliseconds; of each point. */
  readonly times: readonly number[];
  readonly lines: readonly Line[];
}

export interface Match {
  readonly name: string;
  readonly op: number;
  readonly value: string;
}

export interface Column {
  readonly name: string;
  readonly title: string;
  /** What is asked beside the object's name: columns that differ in it are of two questions. */
  readonly of?: { readonly side?: string; readonly matches?: readonly Match[] };
}

/** A table of numbers and what is drawn of it. */
export interface Source {
  readonly title: string;
  readonly unit: Chart["unit"];
  readonly table: string;
  readonly columns: readonly Column[];
  /** `SUM` of growth becomes a rate; `MAX` of a level stays one, unless it is of a counter. */
  readonly function: "SUM" | "MAX";
  /** The counter's growth per second is drawn, this many times. */
  readonly growth?: number;
  /** Columns are those of the table whose names begin so; the greatest are drawn. */
  readonly every?: string;
  /** The column that has the object's name. */
  readonly key?: string;
}

/** More lines than can be told apart are not drawn. */
export const LINES_MAX = 6;

export interface Span {
  readonly value: string;
  readonly label: string;
  readonly seconds: number;
  readonly bin: number;
}

/** Hosts tell every ten seconds: bins are a multiple of that. Those of long spans are whole minutes and hours: those are added up as they come. */
export const SPANS: readonly Span[] = [
  { value: "now-15m", label: "15 minutes", seconds: 900, bin: 30 },
  { value: "now-1h", label: "1 hour", seconds: 3600, bin: 60 },
  { value: "now-6h", label: "6 hours", seconds: 21_600, bin: 300 },
  { value: "now-1d", label: "1 day", seconds: 86_400, bin: 1200 },
  { value: "now-7d", label: "7 days", seconds: 604_800, bin: 7200 },
];

export function spanOf(value: string): Span {
  return SPANS.find((each) => each.value === value) ?? SPANS[1]!;
}

const traffic = (table: string, list: string): readonly Source[] => [
  { title: "Traffic", unit: "B/s", table, function: "SUM", columns: [{ name: `${list}.in_bytes`, title: "in" }, { name: `${list}.out_bytes`, title: "out" }] },
  { title: "Packets", unit: "/s", table, function: "SUM", columns: [{ name: `${list}.in_tpkts`, title: "in" }, { name: `${list}.out_tpkts`, title: "out" }] },
];

/** Sessions that ended, by the side that told; a sampled one counts for those it stands for. */
const sessions = (key: string): Source => ({
  title: "Sessions",
  unit: "/s",
  table: "SessionSeriesTable",
  function: "SUM",
  key,
  columns: [
    { name: "sample_count", title: "begun here", of: { side: "client" } },
    { name: "sample_count", title: "answered here", of: { side: "server" } },
    { name: "sample_count", title: "denied", of: { side: "client", matches: [{ name: "forward_action", op: 2, value: "pass" }] } },
  ],
});

const USAGE = "process_mem_cpu_usage";

/** What a process uses; the columns hold those of all processes of its node. */
function usage(process: string): readonly Source[] {
  const of = { matches: [{ name: `${USAGE}.__key`, op: 1, value: process }] };
  const table = `StatTable.NodeStatus.${USAGE}`;
  return [
    { title: "Processor", unit: "%", table, function: "MAX", growth: 100, columns: [{ name: `${USAGE}.cpu_seconds`, title: "of one processor", of }] },
    { title: "Memory", unit: "B", table, function: "MAX", columns: [{ name: `${USAGE}.resident_bytes`, title: "resident", of }] },
  ];
}

const AGENT = "contrail-vrouter-agent";

/** What is drawn of objects of a type. */
export const SOURCES: Readonly<Record<string, readonly Source[]>> = {
  "virtual-network": traffic("StatTable.UveVirtualNetworkAgent.vn_stats", "vn_stats"),
  "virtual-machine-interface": [...traffic("StatTable.UveVMInterfaceAgent.if_stats", "if_stats"), sessions("vmi")],
  "virtual-router": [
    ...traffic("StatTable.VrouterStatsAgent.if_stats", "if_stats"),
    { title: "Drops by reason", unit: "/s", table: "StatTable.VrouterStatsAgent.drop_stats", function: "SUM", every: "drop_stats.", columns: [] },
    sessions("vrouter"),
    ...usage(AGENT),
  ],
};

/** What is drawn of a process of a node. */
export function sourcesOf(process: string): readonly Source[] {
  return process === AGENT ? (SOURCES["virtual-router"] ?? []) : usage(process);
}

/** A source whose columns are those that its table has. */
export function withColumns(source: Source, names: readonly string[]): Source {
  const { every } = source;
  if (every === undefined) return source;
  return { ...source, columns: names.filter((name) => name.startsWith(every)).map((name) => ({ name, title: name.slice(every.length) })) };
}

/** The name that generators tell of an object by. */
export function keyOf(type: string, name: readonly string[]): string {
  return type === "virtual-router" ? (name.at(-1) ?? "") : name.join(":");
}

/** The questions of a source, each with the columns that it answers; without a key they are of all objects together. */
export function bodiesOf(source: Source, key: string, span: Span, at: Moment | null): { readonly columns: readonly Column[]; readonly body: Record<string, Json> }[] {
  const groups = new Map<string, Column[]>();
  for (const column of source.columns) {
    const asked = JSON.stringify(column.of ?? {});
    groups.set(asked, [...(groups.get(asked) ?? []), column]);
  }
  return [...groups.values()].map((columns) => {
    const { side, matches = [] } = columns[0]?.of ?? {};
    const own = key === "" ? [] : [{ name: source.key ?? "name", op: 1, value: key }];
    const where = [...own, ...matches.map((match) => ({ ...match }))];
    return {
      columns,
      body: {
        table: source.table,
        start_time: timeAsOf(span.value, at),
        end_time: timeAsOf("now", at),
        select_fields: [`T=${span.bin}`, ...columns.map(({ name }) => `${source.function}(${name})`)],
        ...(where.length === 0 ? {} : { where: [where] }),
        limit: 10_000,
        ...(side === undefined ? {} : { session_type: side }),
      },
    };
  });
}

/** What a question told, for the columns that it was asked for. */
export interface Answer {
  readonly columns: readonly Column[];
  readonly rows: readonly Row[];
}

const TOLD_EVERY_S = 10;

/** Of what has passed of a bin, how much was told of: whole rounds. */
function toldSeconds(passed: number): number {
  return Math.floor(passed / TOLD_EVERY_S) * TOLD_EVERY_S;
}

/** The bins from `start` to `end`: growth that nobody told of is none, a level that nobody told of is a gap. */
export function chartOf(source: Source, answers: readonly Answer[], span: Span, endMs: number): Chart {
  const binMs = span.bin * 1000;
  const last = Math.floor(endMs / binMs) * binMs;
  const count = Math.floor(span.seconds / span.bin);
  const times = Array.from({ length: count }, (_, index) => last - (count - 1 - index) * binMs);
  const isRate = source.function === "SUM";
  const lines = answers.flatMap(({ columns, rows }) => {
    const byTime = new Map(rows.map((row) => [Math.floor(Number(row["T="]) / 1000 / binMs) * binMs, row]));
    return columns.map(({ name, title }): Line => {
      const levels = times.map((time) => {
        const told = byTime.get(time)?.[`${source.function}(${name})`];
        // The last bin is not over: what was told of it so far is of the time that passed.
        if (typeof told !== "number") return isRate && time !== last ? 0 : undefined;
        if (!isRate) return told;
        return told / (time === last ? Math.max(TOLD_EVERY_S, toldSeconds((endMs - last) / 1000)) : span.bin);
      });
      return { title, points: source.growth === undefined ? levels : growthOf(levels, source.growth / span.bin) };
    });
  });
  const shown = source.every === undefined ? lines : greatest(lines);
  return { title: source.title, unit: source.unit, times, lines: shown };
}

/** Between two levels that were told, however many bins apart; a counter that is less began again. */
function growthOf(levels: readonly (number | undefined)[], scale: number): (number | undefined)[] {
  let former: { readonly at: number; readonly level: number } | undefined;
  return levels.map((level, at) => {
    if (level === undefined) return undefined;
    const grown = former === undefined || level < former.level ? undefined : ((level - former.level) * scale) / (at - former.at);
    former = { at, level };
    return grown;
  });
}

function greatest(lines: readonly Line[]): Line[] {
  const sum = ({ points }: Line) => points.reduce((all: number, point) => all + (point ?? 0), 0);
  return lines.filter((line) => sum(line) > 0).toSorted((one, other) => sum(other) - sum(one)).slice(0, LINES_MAX);
}

export interface Marker {
  readonly change: string;
  readonly time: number;
  readonly by: string;
  readonly what: string;
}

interface Entry {
  readonly change: string;
  readonly at: string;
  readonly by: string;
  readonly operations: readonly { readonly op: string; readonly fields?: readonly { readonly path: string }[] }[];
}

/** Changes of the configuration within the times of a chart. */
export function markersOf(entries: readonly Entry[], from: number, to: number): Marker[] {
  return entries
    .map(({ change, at, by, operations }) => ({ change, by, time: Date.parse(`${at}Z`), what: wordsOf(operations) }))
    .filter(({ time }) => time >= from && time <= to);
}

const DONE: Readonly<Record<string, string>> = { create: "created", update: "changed", delete: "deleted" };
const FIELDS_SHOWN = 3;

/** `changed mtu`; where several operations are of one kind, once. */
function wordsOf(operations: Entry["operations"]): string {
  const words = operations.map(({ op, fields = [] }) => {
    const names = [...new Set(fields.map(({ path }) => (path.split("/")[1] ?? "").replace(/_refs$/, "").replaceAll("_", " ")))].filter(Boolean);
    const more = names.length > FIELDS_SHOWN ? ` and ${names.length - FIELDS_SHOWN} more` : "";
    const done = DONE[op] ?? op;
    return op === "update" && names.length > 0 ? `${done} ${names.slice(0, FIELDS_SHOWN).join(", ")}${more}` : done;
  });
  return [...new Set(words)].join(", ");
}

export const SIZE = { height: 190, left: 72, right: 14, top: 12, bottom: 26 } as const;

/** Fewer bins are no course. */
const BINS_LEAST = 6;

/** The first bin to draw: where nothing had been told of any of the charts before, they begin when it was, or with the first of these changes. */
export function beginningOf(charts: readonly Chart[], changes: readonly Marker[] = []): number {
  const count = Math.max(0, ...charts.map(({ times }) => times.length));
  const first = Math.min(count, ...charts.flatMap(({ lines }) => lines.map(({ points }) => points.findIndex((point) => point !== undefined && point !== 0))).filter((at) => at >= 0));
  // One bin of nothing shows that it began then. Where little is missing, the whole span is shown.
  if (first < count / 3 || first === count) return 0;
  const times = charts[0]?.times ?? [];
  const changed = changes.map(({ time }) => times.findLastIndex((each) => each <= time)).filter((at) => at >= 0);
  return Math.max(0, Math.min(first - 1, count - BINS_LEAST, ...changed));
}

/** A chart without its first bins. */
export function since({ times, lines, ...chart }: Chart, first: number): Chart {
  return { ...chart, times: times.slice(first), lines: lines.map(({ title, points }) => ({ title, points: points.slice(first) })) };
}

/** The bin nearest to a time. */
export function nearest(times: readonly number[], time: number): number {
  return times.reduce((best, each, index) => (Math.abs(each - time) < Math.abs((times[best] ?? 0) - time) ? index : best), 0);
}

export interface Scale {
  readonly x: (time: number) => number;
  readonly y: (value: number) => number;
  /** Values of the horizontal lines, from 0. */
  readonly ticks: readonly number[];
}

/** Steps of 1, 2 or 5 times a power of ten. */
export function niceStep(most: number, count = 4): number {
  const rough = Math.max(most, 1e-9) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].map((each) => each * power).find((each) => each >= rough) ?? 10 * power;
}

/** `width`: of the whole chart, in pixels of the screen. */
export function scaleOf({ times, lines }: Chart, width: number): Scale {
  const most = Math.max(0, ...lines.flatMap((line) => line.points.map((point) => point ?? 0)));
  const step = niceStep(most > 0 ? most : 1);
  const top = Math.max(step, Math.ceil(most / step) * step);
  const [first = 0, last = 1] = [times[0], times.at(-1)];
  const [wide, high] = [width - SIZE.left - SIZE.right, SIZE.height - SIZE.top - SIZE.bottom];
  return {
    x: (time) => SIZE.left + (wide * (time - first)) / Math.max(1, last - first),
    y: (value) => SIZE.top + high * (1 - value / top),
    ticks: Array.from({ length: Math.round(top / step) + 1 }, (_, index) => index * step),
  };
}

/** A path that is interrupted where nothing was told. */
export function pathOf(line: Line, times: readonly number[], { x, y }: Scale): string {
  let isDown = false;
  return line.points
    .map((point, index) => {
      if (point === undefined) {
        isDown = false;
        return "";
      }
      const step = `${isDown ? "L" : "M"}${x(times[index] ?? 0).toFixed(1)} ${y(point).toFixed(1)}`;
      isDown = true;
      return step;
    })
    .join("");
}

export function latestOf(line: Line): number {
  return line.points.findLast((point) => point !== undefined) ?? 0;
}
