/** The dashboard's sentence and sums, without a browser. */

import { expect, test } from "vitest";

import type { Alarm } from "../monitor/alarms";
import type { Process } from "../monitor/processes";
import { counted, healthOf, most, upOf } from "./health";

const alarm = (severity: number, acknowledged = false) => ({ severity, acknowledged, name: `n${severity}`, description: "Not up" }) as Alarm;
const process = (node: string, kind: string, health: Process["health"] = "Functional") => ({ node, kind, health }) as Process;
const RUNNING = [process("a", "vRouter"), process("b", "vRouter"), process("b", "Control node")];

test("all is well when nothing is raised and everything runs", () => {
  expect(healthOf([], RUNNING)).toEqual({ state: "well", title: "All is well", detail: "3 processes on 2 nodes, all functional. No alarm is raised." });
});

test("nothing that is told is not well", () => {
  expect(healthOf([], [])).toMatchObject({ state: "warned", title: "Nothing is known yet" });
  expect(healthOf([alarm(0)], [])).toMatchObject({ state: "ill", title: "1 alarm" });
});

test("severe alarms and processes that do not run are worse than what is minor or seen", () => {
  expect(healthOf([alarm(2)], RUNNING)).toMatchObject({ state: "warned", title: "1 alarm" });
  expect(healthOf([alarm(0, true)], RUNNING)).toMatchObject({ state: "warned", detail: "3 processes on 2 nodes. 1 alarm acknowledged." });
  expect(healthOf([alarm(0), alarm(2)], RUNNING)).toMatchObject({ state: "ill", title: "2 alarms", detail: "Not up (n0). 3 processes on 2 nodes." });
  expect(healthOf([], [...RUNNING, process("c", "vRouter", "No answer")])).toMatchObject({ state: "ill", title: "1 process not functional" });
});

test("hosts are counted with those that are well", () => {
  expect(upOf([...RUNNING, process("c", "vRouter", "Not connected")], "vRouter")).toEqual({ up: 2, all: 3 });
  expect([counted(1, "host"), counted(1200, "host")]).toEqual(["1 host", "1,200 hosts"]);
});

test("the greatest come first, and what has nothing is left out", () => {
  expect(most(new Map([["a", 5], ["b", 0], ["c", 20], ["d", 10]]), 2)).toEqual([{ key: "c", value: 20, part: 1 }, { key: "d", value: 10, part: 0.5 }]);
  expect(most(new Map(), 5)).toEqual([]);
});
