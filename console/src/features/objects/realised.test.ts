/** How far an object has come, in one word. */

import { expect, test } from "vitest";

import { type Condition, realisedOf } from "./realised";

const all = (...statuses: readonly Condition["status"][]): Condition[] =>
  ["accepted", "derived", "distributed", "programmed"].map((type, index) => ({ type, status: statuses[index] ?? "true", reason: index === 1 ? "pending" : "refused", detail: `of ${type}` }));

test("the last stage that was reached stands for an object, and why there is no more", () => {
  expect(realisedOf(all())).toEqual({ stage: "programmed", next: "none", why: "of programmed" });
  expect(realisedOf(all("true", "true", "true", "false"))).toEqual({ stage: "distributed", next: "false", why: "programmed: of programmed" });
  expect(realisedOf(all("true", "false"))).toEqual({ stage: "accepted", next: "pending", why: "derived: of derived" });
  expect(realisedOf(all("true", "true", "unknown", "true"))).toEqual({ stage: "derived", next: "unknown", why: "distributed: of distributed" });
  expect(realisedOf([])).toEqual({ stage: "", next: "none", why: "" });
});
