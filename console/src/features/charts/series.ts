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
  readonly unit: "B/s" | "/s" | "B" | "";
  /** Milliseconds; of each point. */
  readonly times: readonly number[];
  readonly lines: readonly Line[];
}

export interface Column {
  readonly name: string;
  readonly title: string;
}

/** A table of numbers and what is drawn of it. */
export interface Source {
  readonly title: string;
  readonly unit: Chart["unit"];
  readonly table: string;
  readonly columns: readonly Column[];
  /** `SUM` of growth becomes a rate; `MAX` of a level stays one. */
  readonly function: "SUM" | "MAX";
}

export interface Span {
  readonly value: string;
  readonly label: string;
  readonly seconds: number;
  readonly bin: number;
}

/** Bins of long spans are whole minutes and hours: those are added up as they come. */
export const SPANS: readonly Span[] = [
  { value: "now-15m", label: "15 minutes", seconds: 900, bin: 15 },
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

/** What is drawn of objects of a type. */
export const SOURCES: Readonly<Record<string, readonly Source[]>> = {
  "virtual-network": traffic("StatTable.UveVirtualNetworkAgent.vn_stats", "vn_stats"),
  "virtual-machine-interface": traffic("StatTable.UveVMInterfaceAgent.if_stats", "if_stats"),
  "virtual-router": traffic("StatTable.VrouterStatsAgent.if_stats", "if_stats"),
};

/** The name that generators tell of an object by. */
export function keyOf(type: string, name: readonly string[]): string {
  return type === "virtual-router" ? (name.at(-1) ?? "") : name.join(":");
}

export function bodyOf(source: Source, key: string, span: Span, at: Moment | null): Record<string, Json> {
  return {
    table: source.table,
    start_time: timeAsOf(span.value, at),
    end_time: timeAsOf("now", at),
    select_fields: [`T=${span.bin}`, ...source.columns.map(({ name }) => `${source.function}(${name})`)],
    where: [[{ name: "name", op: 1, value: key }]],
    limit: 10_000,
  };
}

/** The bins from `start` to `end`: growth that nobody told of is none, a level that nobody told of is a gap. */
export function chartOf(source: Source, rows: readonly Row[], span: Span, endMs: number): Chart {
  const binMs = span.bin * 1000;
  const last = Math.floor(endMs / binMs) * binMs;
  const count = Math.floor(span.seconds / span.bin);
  const times = Array.from({ length: count }, (_, index) => last - (count - 1 - index) * binMs);
  const byTime = new Map(rows.map((row) => [Math.floor(Number(row["T="]) / 1000 / binMs) * binMs, row]));
  const isRate = source.function === "SUM";
  const lines = source.columns.map(({ name, title }): Line => ({
    title,
    points: times.map((time) => {
      const told = byTime.get(time)?.[`${source.function}(${name})`];
      if (typeof told !== "number") return isRate ? 0 : undefined;
      return isRate ? told / span.bin : told;
    }),
  }));
  return { title: source.title, unit: source.unit, times, lines };
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
    .map(({ change, at, by, operations }) => ({ change, by, time: Date.parse(`${at}Z`), what: operations.map(wordsOf).join(", ") }))
    .filter(({ time }) => time >= from && time <= to);
}

function wordsOf({ op, fields = [] }: Entry["operations"][number]): string {
  const paths = fields.slice(0, 3).map(({ path }) => path.replace(/^\//, "")).join(", ");
  return paths === "" ? op : `${op} ${paths}`;
}

export const SIZE = { width: 860, height: 200, left: 74, right: 12, top: 12, bottom: 26 } as const;

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

export function scaleOf({ times, lines }: Chart): Scale {
  const most = Math.max(0, ...lines.flatMap((line) => line.points.map((point) => point ?? 0)));
  const step = niceStep(most > 0 ? most : 1);
  const top = Math.max(step, Math.ceil(most / step) * step);
  const [first = 0, last = 1] = [times[0], times.at(-1)];
  const [wide, high] = [SIZE.width - SIZE.left - SIZE.right, SIZE.height - SIZE.top - SIZE.bottom];
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
