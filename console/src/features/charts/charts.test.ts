/** Charts, without a browser. */

import { expect, test } from "vitest";

import { bodyOf, chartOf, keyOf, markersOf, niceStep, pathOf, scaleOf, SIZE, SOURCES, SPANS, spanOf } from "./series";

const SOURCE = SOURCES["virtual-network"]![0]!;
const SPAN = { value: "now-1h", label: "", seconds: 240, bin: 60 };

test("growth is drawn per second, and none is told where nothing grew", () => {
  const rows = [{ "T=": 120_000_000, "SUM(vn_stats.in_bytes)": 600, "SUM(vn_stats.out_bytes)": 60 }];
  const chart = chartOf(SOURCE, rows, SPAN, 250_000);
  expect(chart.times).toEqual([60_000, 120_000, 180_000, 240_000]);
  expect(chart.lines.map(({ title, points }) => [title, points])).toEqual([["in", [0, 10, 0, 0]], ["out", [0, 1, 0, 0]]]);
});

test("a level that nobody told of is a gap in its line", () => {
  const level = { ...SOURCE, function: "MAX" as const, columns: [{ name: "m", title: "m" }] };
  const rows = [60, 180, 240].map((second) => ({ "T=": second * 1_000_000, "MAX(m)": second }));
  const chart = chartOf(level, rows, SPAN, 250_000);
  expect(chart.lines[0]?.points).toEqual([60, undefined, 180, 240]);
  expect(pathOf(chart.lines[0]!, chart.times, scaleOf(chart)).match(/[ML]/g)).toEqual(["M", "M", "L"]);
});

test("questions are of one object, and end at the moment that is shown", () => {
  const body = bodyOf(SOURCE, "d:red:front", SPAN, { time: "1970-01-01T02:00:00Z", revision: 1 });
  expect(body).toMatchObject({ start_time: 3_600_000_000, end_time: 7_200_000_000, where: [[{ name: "name", op: 1, value: "d:red:front" }]] });
  expect(body["select_fields"]).toEqual(["T=60", "SUM(vn_stats.in_bytes)", "SUM(vn_stats.out_bytes)"]);
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
  const chart = chartOf(SOURCE, [{ "T=": 120_000_000, "SUM(vn_stats.in_bytes)": 4200 }], SPAN, 250_000);
  const scale = scaleOf(chart);
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
  expect(markersOf(entries, 60_000, 240_000)).toEqual([{ change: "7.0", time: 120_000, by: "ann", what: "update mtu" }]);
});
