/** Times of alarm rules: written as the server reads them, other annotations stay. */

import { expect, test } from "vitest";

import type { Json } from "../model/document";
import { othersCount, SETTINGS, settingFault, settingOf, withSetting } from "./alarmTimes";

const TIMES = SETTINGS[2]!;
const SECONDS = SETTINGS[3]!;
const OTHER: Json = { key_value_pair: [{ key: "owner", value: "noc" }] };

test("a setting is an annotation beside the others, and leaves nothing when it is taken away", () => {
  const set = withSetting(OTHER, "active-timer-seconds", " 30 ");
  expect(set).toEqual({ key_value_pair: [{ key: "owner", value: "noc" }, { key: "active-timer-seconds", value: "30" }] });
  expect(settingOf(set, "active-timer-seconds")).toBe("30");
  expect(othersCount(set)).toBe(1);
  expect(withSetting(withSetting(set, "active-timer-seconds", "5"), "active-timer-seconds", "")).toEqual(OTHER);
  expect(withSetting(withSetting(undefined, "collect", "agent/drops"), "collect", "")).toBeUndefined();
});

test("of one that was noted twice, one is left", () => {
  const twice: Json = { key_value_pair: [{ key: "idle-timer-seconds", value: "1" }, { key: "idle-timer-seconds", value: "2" }] };
  expect(withSetting(twice, "idle-timer-seconds", "3")).toEqual({ key_value_pair: [{ key: "idle-timer-seconds", value: "3" }] });
});

test("what the server refuses is said as one types", () => {
  for (const [text, isRight] of [["1", true], ["100", true], ["0", false], ["101", false], ["1.5", false], ["-1", false], ["soon", false]] as const) {
    const both = withSetting(withSetting(undefined, SECONDS.key, "60"), TIMES.key, text);
    expect(settingFault(TIMES, both) === "").toBe(isRight);
  }
  const alone = withSetting(undefined, TIMES.key, "3");
  expect([settingFault(TIMES, alone), settingFault(SECONDS, alone)]).toEqual(["", "both are needed, or neither"]);
});
