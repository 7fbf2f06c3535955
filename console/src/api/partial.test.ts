/** Parts of history that are missing, as answers tell. */

import { expect, test } from "vitest";

import { partial } from "./partial";

const missing = (nodes: string) => new Headers({ "x-skytrail-missing-nodes": nodes });
const QUERY = "/api/v1/analytics/query";

test("what is missing stands until a whole answer of history comes", () => {
  const seen: string[] = [];
  const stop = partial.subscribe(() => seen.push(partial.get()));
  partial.note(QUERY, missing("https://a2:8081"));
  partial.note(QUERY, missing("https://a2:8081"));
  partial.note("/api/v1/analytics/uves/vrouters", new Headers());
  expect(partial.get()).toBe("https://a2:8081");
  partial.note(QUERY, new Headers());
  stop();
  partial.note("/api/v1/analytics/uves/vrouters?at=2026-11-28", missing("https://a3:8081"));
  expect(seen).toEqual(["https://a2:8081", ""]);
  expect(partial.get()).toBe("https://a3:8081");
});
