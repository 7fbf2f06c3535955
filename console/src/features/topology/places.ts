/** Where the parts of the overlay stand: projects that nothing joins beside each other, joined ones as lanes of one block. Pure. */

import { type Drawing, layered, type Route } from "../../graph/layers";
import { fitOf, type Size } from "../../graph/viewport";
import { lastName } from "../../model/document";
import type { Join, Overlay } from "./overlay";

export interface Area {
  readonly name: string;
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export interface Places extends Size {
  readonly projects: readonly Area[];
  /** Of networks and routers, by uuid. */
  readonly cards: ReadonlyMap<string, { readonly x: number; readonly y: number }>;
  /** Of policies and routers' legs, by key. Paths are moved by `at`. */
  readonly routes: ReadonlyMap<string, Route & { readonly at: { readonly x: number; readonly y: number } }>;
}

export const CARD = { width: 200, height: 66 } as const;
const GAPS = { x: 34, y: 20, lane: 76 } as const;
const HEAD_PX = 38;
const PAD_PX = 16;
const APART_PX = 22;

/** What is written on a policy's line; its verdict is not told by colour alone. */
export function labelOf(join: Join): string {
  const via = join.services.length > 0 ? ` via ${join.services.map((each) => lastName(each.split(":"))).join(", ")}` : "";
  const mark = join.missingAt !== "" ? "⚠ " : join.passes ? "" : "✗ ";
  return `${mark}${lastName(join.policy.split(":"))}${via}`;
}

/** `sizeOf`: what the label of a policy's line takes. */
export function placesOf(overlay: Overlay, room: Size, sizeOf: (join: Join) => Size): Places {
  const blocks = groupsOf(overlay).map((projects) => blockOf(overlay, projects, sizeOf));
  const { spots, width, height } = packed(blocks, room);
  const projects: Area[] = [];
  const cards = new Map<string, { x: number; y: number }>();
  const routes = new Map<string, Route & { at: { x: number; y: number } }>();
  blocks.forEach(({ drawing, inner }, index) => {
    const spot = spots[index] ?? { x: 0, y: 0 };
    const at = { x: spot.x + PAD_PX + (inner - drawing.width) / 2, y: spot.y + HEAD_PX };
    for (const lane of drawing.lanes) {
      projects.push({ name: lane.name, x: spot.x, y: spot.y + lane.y, width: inner + 2 * PAD_PX, height: HEAD_PX + lane.height + PAD_PX });
    }
    for (const [id, { x, y }] of drawing.places) cards.set(id, { x: at.x + x, y: at.y + y });
    for (const [key, route] of drawing.routes) routes.set(key, { ...route, at });
  });
  return { projects, cards, routes, width, height };
}

/** Projects that policies or routers join, together. */
function groupsOf({ projects, joins, legs }: Overlay): string[][] {
  const root = new Map(projects.map((name) => [name, name]));
  const find = (name: string): string => {
    const up = root.get(name) ?? name;
    return up === name ? name : find(up);
  };
  for (const { from, to } of joins) root.set(find(from.project), find(to.project));
  for (const { router, network } of legs) root.set(find(router.project), find(network.project));
  return [...new Set(projects.map(find))].map((top) => projects.filter((name) => find(name) === top));
}

interface Block extends Size {
  readonly drawing: Drawing;
  readonly inner: number;
}

function blockOf(overlay: Overlay, projects: readonly string[], sizeOf: (join: Join) => Size): Block {
  const isIn = ({ project }: { readonly project: string }) => projects.includes(project);
  const boxes = [...overlay.networks, ...overlay.routers].filter(isIn).map(({ uuid, project }) => ({ id: uuid, lane: project, ...CARD }));
  const joins = overlay.joins.filter(({ from }) => isIn(from)).map((join) => {
    const { width, height } = sizeOf(join);
    return { key: join.key, from: join.from.uuid, to: join.to.uuid, width, height };
  });
  // What is outside stands on one side of its router, what is inside on the other.
  const legs = overlay.legs.filter(({ router }) => isIn(router)).map(({ key, router, network, isOutside }) => ({
    key, from: isOutside ? network.uuid : router.uuid, to: isOutside ? router.uuid : network.uuid, width: 0, height: 0,
  }));
  const drawing = layered(boxes, [...joins, ...legs], GAPS);
  const inner = Math.max(drawing.width, CARD.width);
  return { drawing, inner, width: inner + 2 * PAD_PX, height: drawing.height + HEAD_PX + PAD_PX };
}

/** In rows, as many blocks in each as make the whole be seen largest. */
export function packed(blocks: readonly Size[], room: Size): Size & { readonly spots: readonly { readonly x: number; readonly y: number }[] } {
  const whole = blocks.reduce((sum, { width }) => sum + width + APART_PX, 0);
  const widest = Math.max(0, ...blocks.map(({ width }) => width));
  const tries = Array.from({ length: 24 }, (_, index) => rowsOf(blocks, widest + ((whole - widest) * index) / 23));
  const best = tries.toSorted((one, other) => fitOf(other, room).scale - fitOf(one, room).scale)[0];
  return best ?? { spots: [], width: 0, height: 0 };
}

function rowsOf(blocks: readonly Size[], most: number): Size & { readonly spots: readonly { readonly x: number; readonly y: number }[] } {
  let [x, y, high, wide] = [0, 0, 0, 0];
  const spots = blocks.map(({ width, height }) => {
    if (x > 0 && x + width > most + 1) [x, y, high] = [0, y + high + APART_PX, 0];
    const spot = { x, y };
    [x, high, wide] = [x + width + APART_PX, Math.max(high, height), Math.max(wide, x + width)];
    return spot;
  });
  return { spots, width: wide, height: y + high };
}
