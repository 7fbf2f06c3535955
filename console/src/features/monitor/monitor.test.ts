/** What is said of processes, and tables that they hold. */

import { expect, test } from "vitest";

import { askedOf, columnsOf, factsOf, queryOf, searchOf, tablesWith, textOf } from "./liveTables";
import { AGENT, CONTROL, durationText, type Gathered, placeOf, processesOf } from "./processes";
import type { Uve } from "./uves";

const PLACE = ["compute1", AGENT] as const;

function answer(cpu: number, uptime: number): Gathered {
  const row = { node: "c1", process: AGENT, healthy: true, unmet: [], version: "1.0", uptime_s: uptime, cpu_seconds: cpu, resident_bytes: 1e6, open_fds: 9 };
  return { rows: [row], total: 1, failures: [{ node: "c2", process: AGENT, reason: "no answer within 3 s" }] };
}

test("a process's share of a processor is of the time between two readings of its own", () => {
  const first = processesOf(answer(10, 100), []);
  expect(first[0]?.cpuPercent).toBe(null);
  const second = processesOf(answer(11, 104), [], first);
  expect(second[0]?.cpuPercent).toBe(25);
  expect(processesOf(answer(11, 104.2), [], second)[0]?.cpuPercent).toBe(25);
  expect(processesOf(answer(1, 2), [], second)[0]?.cpuPercent).toBe(null);
});

test("who does not answer, is not connected or never told of itself is in the table too", () => {
  const gone: Uve = { name: "c3", value: { NodeStatus: { process_status: [{ module_id: CONTROL }] } } };
  const known: Uve = { name: "c1", value: { NodeStatus: { process_status: [{ module_id: AGENT }] } } };
  const configured: Uve = { name: "c4", value: { ContrailConfig: {} } };
  const found = processesOf(answer(1, 1), [["vRouter", [known, gone, configured]]]);
  expect(found.map(({ node, health, kind }) => [node, health, kind])).toEqual([
    ["c1", "Functional", "vRouter"],
    ["c2", "No answer", "vRouter"],
    ["c3", "Not connected", "Control node"],
    ["c4", "Not connected", "vRouter"],
  ]);
});

test("what is asked of a table stands in the address, whatever is in it", () => {
  const asked = { table: "routes", where: { vrf: "default-domain:red:front:front", hops: '["a:b"]' }, match: "10.0.0.0/8 & x", page: 3 };
  expect(askedOf(new URLSearchParams(searchOf(asked).toString()), "x")).toEqual(asked);
  expect(askedOf(new URLSearchParams("page=-1&where=:x"), "first")).toEqual({ table: "first", where: {}, match: "", page: 1 });
  expect(queryOf(asked, PLACE).get("offset")).toBe("200");
  expect(queryOf(asked, PLACE).get("node")).toBe("compute1");
});

test("described tables come first, those of the process only, and every other one is there", () => {
  const tables = tablesWith(AGENT, ["explain", "vrfs", "interfaces", "uplinks"]).map(({ name }) => name);
  expect(tables).toEqual(["interfaces", "vrfs", "uplinks"]);
  const [uplinks] = tablesWith("other", ["uplinks"]);
  expect(columnsOf(uplinks!, [{ node: "a", ifname: "eth0", size_bytes: 2000 }]).map((column) => [column.title, textOf(column, { ifname: "eth0", size_bytes: 2000 })])).toEqual([
    ["Ifname", "eth0"],
    ["Size bytes", "2.0 kB"],
  ]);
});

const column = (table: string, name: string) => tablesWith(AGENT, [table])[0]!.columns.find((each) => each.name === name)!;

test("a route leads to its next hop, that to its interface, that to its port", () => {
  const at = placeOf(...PLACE);
  expect(column("routes", "nexthop").to?.({ nexthop: "receive", nexthop_id: 7 }, PLACE)).toBe(`${at}?table=nexthops&where=nexthop_id%3A7`);
  expect(column("nexthops", "vif_id").to?.({ vif_id: 3 }, PLACE)).toBe(`${at}?table=interfaces&where=vif_id%3A3`);
  expect(column("nexthops", "vif_id").to?.({ vif_id: 0 }, PLACE)).toBe(undefined);
  expect(column("interfaces", "vmi_uuid").to?.({ vmi_uuid: "u" }, PLACE)).toBe("/o/virtual-machine-interface/u");
});

test("a path says why it is used, or why not", () => {
  const why = tablesWith(CONTROL, ["routes"])[0]!.columns.find((each) => each.name === "why_best")!;
  expect(textOf(why, { best: true, why_best: "the only path", why_not_best: "" })).toBe("the only path");
  expect(textOf(why, { best: false, why_best: "", why_not_best: "stale" })).toBe("stale");
  expect(factsOf({ node: "a", next_hops: [{ label: 3 }] })).toEqual([["Next hops", '[{"label":3}]']]);
});

test("durations are told in two units", () => {
  expect([0.4, 61, 3600, 90_061].map((each) => durationText(each))).toEqual(["0 s", "1 min 1 s", "1 h", "1 d 1 h"]);
});
