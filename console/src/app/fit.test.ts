/** What is cut of texts that have too little room. */

import { expect, test } from "vitest";

import { cut } from "./fit";

const letters = (count: number) => (text: string) => [...text].length <= count;

test("a text that has room stays as it is", () => {
  expect(cut("front", letters(5))).toBe("front");
});

test("a text is cut at its end, or at its begin where ends tell apart", () => {
  expect(cut("front-network", letters(6))).toBe("front…");
  expect(cut("rack1-host12", letters(5), true)).toBe("…st12");
});

test("no letter is cut in two, and without any room nothing but the mark is left", () => {
  expect(cut("a😀b😀c", letters(3))).toBe("a😀…");
  expect(cut("front", () => false)).toBe("…");
});
