import { expect, test } from "vitest";

import { nameFault } from "./check";
import { bodyText, misleadingIn, readJson, sentPath } from "./plain";

const NAMES = ["fdp\u202Eexe", "\u2066a\u2069", "\u009B31m", "\u007F", "a\u2028b", "\u0001\b\f", "⟨U+202E⟩", "⟨U+27E8⟩", "⟨", "back\\u202eslash", "C:\\new\\b", "\u05D0\u05D1"];

test.each(NAMES)("%j is shown without what misleads, and sent as it was", (name) => {
  for (const text of [JSON.stringify({ name }), JSON.stringify({ name }).replaceAll(/[^\u0020-\u007E]/g, (each) => `\\u${(each.codePointAt(0) ?? 0).toString(16).padStart(4, "0")}`)]) {
    const shown = readJson(text) as { name: string };
    expect(/⟨|^[ -~\u05D0\u05D1]*$/u.test(shown.name)).toBe(true);
    expect(JSON.parse(bodyText(shown))).toEqual({ name });
    expect(decodeURIComponent(sentPath(`/${encodeURIComponent(shown.name)}`))).toBe(`/${name}`);
    const query = new URLSearchParams({ q: shown.name });
    expect(new URLSearchParams(sentPath(query.toString())).get("q")).toBe(name);
  }
});

test("what misleads is shown by its number, and lines and tabs stay", () => {
  expect(readJson('"a\u202Eb"')).toBe("a⟨U+202E⟩b");
  expect(readJson(String.raw`"one\n\ttwo\r"`)).toBe("one\n\ttwo\r");
  expect(readJson(String.raw`"one\u000atwo"`)).toBe("one\ntwo");
});

test("no new name has what misleads", () => {
  expect(misleadingIn("web")).toBe("");
  expect(nameFault("fdp\u202Eexe")).toContain("⟨U+202E⟩");
  expect(nameFault("fdp⟨U+202E⟩exe")).toContain("⟨U+202E⟩");
});
