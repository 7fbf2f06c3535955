/** The stream of UVEs: what a sequence of events comes to. */

import { expect, test } from "vitest";

import { eventsOf, UveTables } from "./uveTables";

const update = (key: string, type: string | null, value: unknown) => ({ event: "update", data: JSON.stringify({ key, type, value }) });

test("events are read as far as they have come, comments are passed over", () => {
  const whole = 'event: init\ndata: null\n\n:\n\nevent: update\ndata: {"key":"T:a"}\n\nevent: upd';
  for (let cut = 0; cut <= whole.length; cut += 1) {
    const first = eventsOf(whole.slice(0, cut));
    const second = eventsOf(first.rest + whole.slice(cut));
    expect([...first.events, ...second.events]).toEqual([{ event: "init", data: "null" }, { event: "update", data: '{"key":"T:a"}' }]);
    expect(second.rest).toBe("event: upd");
  }
});

test("entities are what was told of them last, and gone when it is said", () => {
  const tables = new UveTables();
  for (const event of [
    { event: "init", data: "null" },
    update("ObjectVRouter:c:1", "A", { n: 1 }), update("ObjectVRouter:c:1", "B", { n: 2 }), update("ObjectVRouter:c2", "A", { n: 3 }),
    update("ObjectVRouter:c:1", "A", { n: 9 }), update("ObjectVRouter:c:1", "B", null), update("ObjectVRouter:c2", null, null),
  ]) tables.take(event);
  expect(tables.isWhole).toBe(false);
  tables.take({ event: "synced", data: "null" });
  expect(tables.isWhole).toBe(true);
  expect(tables.uves("vrouter")).toEqual([{ name: "c:1", value: { A: { n: 9 } } }]);
  expect([...tables.takeChanged()]).toEqual([["ObjectVRouter", new Set(["c:1", "c2"])]]);
  expect([...tables.takeChanged()]).toEqual([]);
  expect([tables.uve("ObjectVRouter", "c:1"), tables.uve("ObjectVRouter", "c2")]).toEqual([{ A: { n: 9 } }, null]);
});

test("who is told everything again forgets what is not told again", () => {
  const tables = new UveTables();
  for (const event of [{ event: "init", data: "" }, update("ObjectVNTable:a", "A", {}), { event: "synced", data: "" }, { event: "init", data: "" }]) tables.take(event);
  expect(tables.isWhole).toBe(false);
  tables.take({ event: "synced", data: "" });
  expect(tables.uves("virtual-network")).toEqual([]);
  expect(tables.takeChanged().get("ObjectVNTable")).toEqual(new Set(["a"]));
});

test("alarms of all types are found, by the word of the type where it has one", () => {
  const tables = new UveTables();
  for (const event of [update("ObjectVRouter:c1", "UVEAlarms", { alarms: [] }), update("ObjectOther:leaf", "UVEAlarms", { alarms: [1] }), update("ObjectVNTable:a", "A", {})]) tables.take(event);
  expect(tables.alarms()).toEqual({
    vrouter: [{ name: "c1", value: { UVEAlarms: { alarms: [] } } }],
    ObjectOther: [{ name: "leaf", value: { UVEAlarms: { alarms: [1] } } }],
  });
});

test("alarms are new when one of them changed or went, and not for what else changed", () => {
  const tables = new UveTables();
  const areNew = (...events: Parameters<UveTables["take"]>[0][]) => {
    for (const event of events) tables.take(event);
    return tables.takeAlarmsNew();
  };
  expect(areNew({ event: "init", data: "" })).toBe(true);
  expect(areNew(update("ObjectVRouter:c1", "A", {}))).toBe(false);
  expect(areNew(update("ObjectVRouter:c1", "UVEAlarms", { alarms: [] }))).toBe(true);
  expect(areNew(update("ObjectVRouter:c1", "A", { n: 1 }))).toBe(false);
  expect(areNew(update("ObjectVRouter:c1", null, null))).toBe(true);
  expect(areNew(update("ObjectVRouter:c1", "A", {}))).toBe(false);
});
