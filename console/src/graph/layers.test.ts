/** Drawings in layers, without a browser. */

import { expect, test } from "vitest";

import { type Box, type Drawing, layered, type Link } from "./layers";
import { fitOf, moved, shiftTo, zoomed } from "./viewport";

const GAPS = { x: 30, y: 20, lane: 60 };
const boxes = (names: string, lane = ""): Box[] => [...names].map((id) => ({ id, width: 100, height: 40, lane }));
const links = (...pairs: readonly string[]): Link[] => pairs.map((pair) => ({ key: pair, from: pair[0]!, to: pair[1]!, width: 50, height: 20 }));

/** Every number of a path, as points. */
function pointsOf(path: string): { x: number; y: number }[] {
  const numbers = [...path.matchAll(/-?[\d.]+/g)].map(Number);
  return Array.from({ length: numbers.length / 2 }, (_, index) => ({ x: numbers[2 * index]!, y: numbers[2 * index + 1]! }));
}

function overlaps(drawing: Drawing): string[] {
  const rects = [
    ...[...drawing.places].map(([name, { x, y }]) => ({ name, left: x, right: x + 100, top: y, bottom: y + 40 })),
    ...[...drawing.routes].map(([name, { label: { x, y } }]) => ({ name, left: x - 25, right: x + 25, top: y - 10, bottom: y + 10 })),
  ];
  return rects.flatMap((one, index) =>
    rects.slice(index + 1).filter((other) => one.left < other.right && other.left < one.right && one.top < other.bottom && other.top < one.bottom).map((other) => `${one.name} ${other.name}`),
  );
}

test("who begins stands left of whom it reaches, also where some answer back", () => {
  const { places, routes } = layered(boxes("abc"), links("ab", "bc", "cb"), GAPS);
  const x = (name: string) => places.get(name)!.x;
  expect(x("a")).toBeLessThan(x("b"));
  expect(x("b")).toBeLessThan(x("c"));
  expect([routes.get("bc")!.arrives, routes.get("cb")!.arrives]).toEqual(["right", "left"]);
  expect(pointsOf(routes.get("cb")!.path)[0]!.x).toBe(x("c"));
});

test("neither boxes nor labels lie on each other", () => {
  const tangle = ["ab", "ba", "ac", "ad", "bd", "cd", "da", "ae", "ee", "bc", "fg", "aa", "gf"];
  const drawing = layered(boxes("abcdefghij"), links(...tangle), GAPS);
  expect(overlaps(drawing)).toEqual([]);
  expect(drawing.routes.size).toBe(tangle.length);
  for (const { path } of drawing.routes.values()) for (const { x, y } of pointsOf(path)) expect(x >= -1 && x <= drawing.width + 1 && y >= -1 && y <= drawing.height + 1).toBe(true);
});

test("a line over several layers passes no box of them", () => {
  const { places, routes } = layered(boxes("abc"), links("ab", "bc", "ac"), GAPS);
  const middle = places.get("b")!;
  const passing = pointsOf(routes.get("ac")!.path).filter(({ x }) => x >= middle.x && x <= middle.x + 100);
  expect(passing.length).toBeGreaterThan(0);
  for (const { y } of passing) expect(y < middle.y || y > middle.y + 40).toBe(true);
});

test("lanes are below each other, in each its own boxes alone", () => {
  const { places, lanes } = layered([...boxes("ab", "red"), ...boxes("cd", "blue")], links("ab", "ac"), GAPS);
  expect(lanes.map(({ name }) => name)).toEqual(["blue", "red"]);
  const [blue, red] = lanes as [Drawing["lanes"][number], Drawing["lanes"][number]];
  expect(red.y).toBeGreaterThanOrEqual(blue.y + blue.height + GAPS.lane);
  for (const name of "cd") expect(places.get(name)!.y + 40).toBeLessThanOrEqual(blue.y + blue.height);
  for (const name of "ab") expect(places.get(name)!.y).toBeGreaterThanOrEqual(red.y);
});

test("boxes that nothing joins stand in a block, and nothing is drawn of nothing", () => {
  const { width, height } = layered(boxes("abcdefgh"), [], GAPS);
  expect(width).toBe(2 * 100 + 30);
  expect(height).toBe(4 * 40 + 3 * 20);
  expect(layered([], [], GAPS)).toMatchObject({ width: 0, height: 0 });
});

const ROOM = { width: 1000, height: 600 };

test("a drawing is fitted whole, in the middle; a small one is not blown up", () => {
  const view = fitOf({ width: 4000, height: 1000 }, ROOM);
  expect(view.scale).toBeCloseTo(0.24);
  expect(view.x).toBeCloseTo(20);
  expect(fitOf({ width: 100, height: 50 }, ROOM)).toEqual({ scale: 1.25, x: 437.5, y: 268.75 });
});

test("what is under the pointer stays there, and a drawing never leaves the room", () => {
  const view = zoomed({ scale: 1, x: 0, y: 0 }, 2, { x: 100, y: 50 });
  expect(view).toEqual({ scale: 2, x: -100, y: -50 });
  expect(moved(view, { x: 9000, y: -9000 }, { width: 300, height: 300 }, ROOM)).toEqual({ scale: 2, x: 940, y: -540 });
});

test("what gets the focus comes into sight", () => {
  expect(shiftTo({ left: -50, right: 20, top: 580, bottom: 640 }, ROOM)).toEqual({ x: 70, y: -60 });
  expect(shiftTo({ left: 10, right: 20, top: 10, bottom: 20 }, ROOM)).toEqual({ x: 0, y: 0 });
});
