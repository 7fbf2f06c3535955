/** Alarms as they are told, in the order they are shown, and what of them is kept. */

import { expect, test } from "vitest";

import type { Document } from "../../model/document";
import { alarmsOf, followingOf, keptOf, raisingsOf, reasonsOf, topOf, type Tried } from "./alarms";

const DEAD = { type: "s:node-status", severity: 0, timestamp: 5_000_000, children_count: 3, children: [] };
const LOST = { type: "s:close", severity: 1, timestamp: 6_000_000, parent: { type: "vrouter", name: "h1", rule: "s:node-status" } };
const FULL = { type: "s:full", severity: 1, timestamp: 7_000_000 };
const TOLD: Document = {
  vrouter: [
    { name: "h2", value: { UVEAlarms: { alarms: [FULL] } } },
    { name: "h1", value: { UVEAlarms: { alarms: [DEAD] } } },
  ],
  "xmpp-peer": [{ name: "c1:h1", value: { UVEAlarms: { alarms: [LOST] } } }],
};

test("what follows from an alarm is below it, and the others are by how bad they are", () => {
  const alarms = alarmsOf(TOLD);
  const [first, second, ...rest] = topOf(alarms);
  expect([first?.name, first?.following, second?.name, rest]).toEqual(["h1", 3, "h2", []]);
  expect(first === undefined ? [] : followingOf(alarms, first).map(({ name }) => name)).toEqual(["c1:h1"]);
});

test("what follows from an alarm that is not told is shown by itself", () => {
  const { "xmpp-peer": peers = [] } = TOLD;
  expect(topOf(alarmsOf({ "xmpp-peer": peers })).map(({ name }) => name)).toEqual(["c1:h1"]);
});

const MATCHED = { or_list: [{ and_list: [{ condition: { operand1: "A.b", operation: ">", operand2: "5" }, match: [7, 8, 9, 10].map((value) => ({ json_operand1_value: String(value) })) }] }] };

test("a reason names the condition and the values that met it", () => {
  expect(reasonsOf(MATCHED)).toEqual(["A.b > 5: it is 7, 8, 9 and 1 more"]);
  expect(reasonsOf(undefined)).toEqual([]);
});

test("pages are those of this raising, not of an earlier one", () => {
  const [alarm] = alarmsOf({ vrouter: [{ name: "h2", value: { UVEAlarms: { alarms: [FULL] } } }] });
  if (alarm === undefined) throw new Error("no alarm");
  const page = { process: "agent", table: "drops", rows: [{ node: "h2", process: "agent", reason: "x" }], total: 9, failures: [{ node: "h3", reason: "no answer" }] };
  const one = { rule: "s:full", raised_us: 7_000_000, pages: [page] };
  expect(keptOf({ collected: [{ ...one, raised_us: 1, pages: [] }, one] }, alarm)).toEqual([
    { title: "agent drops", rows: page.rows, columns: ["node", "reason"], total: 9, failures: ["h3: no answer"] },
  ]);
  expect(keptOf({ collected: [{ ...one, raised_us: 1 }] }, alarm)).toEqual([]);
});

test("raisings say whether they began before, stand, or ended with the node", () => {
  const span = { type: "vrouter", name: "h1", raised_us: 60_000_000, matched: MATCHED };
  const tried: Tried = {
    alarms: [{ ...span, is_from_before: true }, { ...span, cleared_us: 90_000_000, is_restart: true }, { ...span, cleared_us: 90_000_000 }],
    alarms_count: 3, entities_count: 1, steps_count: 4, cut_count: 0, every_s: 60,
  };
  expect(raisingsOf(tried).map(({ raised, cleared }) => [raised, cleared])).toEqual([
    ["before 1970-01-01 00:01:00", "it stands"],
    ["1970-01-01 00:01:00", "1970-01-01 00:01:30, the analytics node began anew"],
    ["1970-01-01 00:01:00", "1970-01-01 00:01:30"],
  ]);
});
