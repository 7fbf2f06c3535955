/** Charts, without a browser. */

import { expect, test } from "vitest";

import { beginningOf, bodiesOf, chartOf, keyOf, LINES_MAX, markersOf, nearest, niceStep, pathOf, type Row, scaleOf, since, SIZE, type Source, SOURCES, sourcesOf, SPANS, spanOf, withColumns } from "./series";

const SOURCE = SOURCES["virtual-network"]![0]!;
const SPAN = { value: "now-1h", label: "", seconds: 240, bin: 60 };

const drawn = (source: Source, rows: readonly Row[]) => chartOf(source, [{ columns: source.columns, rows }], SPAN, 250_000);

test("growth is drawn per second, and none is told where nothing grew", () => {
  const rows = [
    { "T=": 120_000_000, "SUM(vn_stats.in_bytes)": 600, "SUM(vn_stats.out_bytes)": 60 },
    { "T=": 240_000_000, "SUM(vn_stats.in_bytes)": 50 },
  ];
  const chart = drawn(SOURCE, rows);
  expect(chart.times).toEqual([60_000, 120_000, 180_000, 240_000]);
  expect(chart.lines.map(({ title, points }) => [title, points])).toEqual([["in", [0, 10, 0, 5]], ["out", [0, 1, 0, undefined]]]);
});

test("a level that nobody told of is a gap in its line", () => {
  const level = { ...SOURCE, function: "MAX" as const, columns: [{ name: "m", title: "m" }] };
  const rows = [60, 180, 240].map((second) => ({ "T=": second * 1_000_000, "MAX(m)": second }));
  const chart = drawn(level, rows);
  expect(chart.lines[0]?.points).toEqual([60, undefined, 180, 240]);
  expect(pathOf(chart.lines[0]!, chart.times, scaleOf(chart, 800)).match(/[ML]/g)).toEqual(["M", "M", "L"]);
});

test("questions are of one object, and end at the moment that is shown", () => {
  const { body } = bodiesOf(SOURCE, "d:red:front", SPAN, { time: "1970-01-01T02:00:00Z", revision: 1 })[0]!;
  expect(body).toMatchObject({ start_time: 3_600_000_000, end_time: 7_200_000_000, where: [[{ name: "name", op: 1, value: "d:red:front" }]] });
  expect(body["select_fields"]).toEqual(["T=60", "SUM(vn_stats.in_bytes)", "SUM(vn_stats.out_bytes)"]);
  expect(bodiesOf(SOURCE, "", SPAN, null)[0]!.body).not.toHaveProperty("where");
  expect(keyOf("virtual-router", ["default-global-system-config", "compute1"])).toBe("compute1");
});

test("spans that rollups answer have bins of whole minutes", () => {
  for (const { seconds, bin } of SPANS) {
    if (seconds >= 7200) expect(bin % 60).toBe(0);
    expect(seconds % bin).toBe(0);
  }
  expect(spanOf("nonsense").value).toBe("now-1h");
});

test("the scale begins at nothing and holds every point", () => {
  const chart = drawn(SOURCE, [{ "T=": 120_000_000, "SUM(vn_stats.in_bytes)": 4200 }]);
  const scale = scaleOf(chart, 800);
  expect(scale.ticks).toEqual([0, 20, 40, 60, 80]);
  expect(scale.y(0)).toBe(SIZE.height - SIZE.bottom);
  expect(scale.y(70)).toBeGreaterThan(SIZE.top);
  expect([niceStep(4), niceStep(7), niceStep(0.9)]).toEqual([1, 2, 0.5]);
});

function entry(at: string, change: string) {
  return { at, change, by: "ann", operations: [{ op: "update", fields: [{ path: "/mtu" }] }] };
}

test("changes within the chart's time are marked, with what they changed", () => {
  const entries = [entry("1970-01-01T00:02:00", "7.0"), entry("1970-01-01T01:00:00", "8.0")];
  expect(markersOf(entries, 60_000, 240_000)).toEqual([{ change: "7.0", time: 120_000, by: "ann", what: "changed mtu" }]);
});

const level = (second: number, value: number) => ({ "T=": second * 1_000_000, "MAX(process_mem_cpu_usage.cpu_seconds)": value });

test("a counter's course is its growth, over gaps and not over a new beginning", () => {
  const processor = sourcesOf("contrail-control")[0]!;
  const points = (...rows: readonly Row[]) => drawn(processor, rows).lines[0]?.points;
  expect(points(level(60, 10), level(120, 16), level(240, 28))).toEqual([undefined, 10, undefined, 10]);
  expect(points(level(60, 10), level(120, 1), level(180, 4))).toEqual([undefined, undefined, 5, undefined]);
});

test("of drops the greatest reasons are drawn, of those that the table has", () => {
  const source = sourcesOf("contrail-vrouter-agent").find((each) => each.every !== undefined)!;
  const names = Array.from({ length: 9 }, (_, index) => `drop_stats.R${index}`);
  const whole = withColumns(source, ["T", "name", ...names]);
  expect(whole.columns.length).toBe(9);
  const row = Object.fromEntries(names.map((name, index) => [`SUM(${name})`, index * 60]));
  const { lines } = drawn(whole, [{ "T=": 60_000_000, ...row }]);
  expect(lines.map(({ title }) => title)).toEqual(["R8", "R7", "R6", "R5", "R4", "R3"].slice(0, LINES_MAX));
  expect(drawn(whole, []).lines).toEqual([]);
});

test("sessions are asked by who told of them, denied ones apart", () => {
  const source = SOURCES["virtual-machine-interface"]!.find(({ title }) => title === "Sessions")!;
  const bodies = bodiesOf(source, "d:red:web1", SPAN, null);
  expect(bodies.map(({ body }) => body["session_type"])).toEqual(["client", "server", "client"]);
  expect(bodies[2]?.body["where"]).toEqual([[{ name: "vmi", op: 1, value: "d:red:web1" }, { name: "forward_action", op: 2, value: "pass" }]]);
});

const chart = (...points: readonly (number | undefined)[]) => ({ title: "", unit: "" as const, times: points.map((_, index) => index * 60), lines: [{ title: "in", points }] });

test("charts of what is young begin together, when the first of them has something", () => {
  const [young, younger] = [chart(0, 0, 0, 0, 0, 0, 0, 0, 5, 6, 7, 8), chart(0, 0, 0, 0, 0, 0, 0, 0, 0, undefined, 1, 2)];
  const first = beginningOf([young, younger]);
  expect(first).toBe(6);
  expect(since(young, first)).toMatchObject({ times: [360, 420, 480, 540, 600, 660], lines: [{ title: "in", points: [0, 0, 5, 6, 7, 8] }] });
  expect(beginningOf([young, younger], [{ change: "1.0", time: 130, by: "ann", what: "created" }])).toBe(2);
  expect(beginningOf([young, chart(0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)])).toBe(0);
  expect([beginningOf([chart(0, 0, 0)]), beginningOf([])]).toEqual([0, 0]);
});

test("what is pointed at is the nearest bin", () => {
  expect([nearest([0, 60, 120], 85), nearest([0, 60, 120], 95), nearest([0, 60, 120], 900), nearest([], 5)]).toEqual([1, 2, 2, 0]);
});
