/** A graph drawn in layers from left to right, so that no line runs behind a box and no label lies on a line. Pure.
 *
 * Sugiyama's scheme in small: edges are turned so that none leads back, nodes stand as far right as their longest way, what an edge
 * passes on its way (its label first of all) takes room like a node, and neighbours are brought near each other by sweeps.
 */

export interface Box {
  readonly id: string;
  readonly width: number;
  readonly height: number;
  /** Boxes of one lane stay together, lanes below each other in the order of their names. */
  readonly lane?: string;
}

export interface Link {
  readonly key: string;
  readonly from: string;
  readonly to: string;
  /** Of its label. */
  readonly width: number;
  readonly height: number;
}

export interface Point {
  readonly x: number;
  readonly y: number;
}

export interface Route {
  /** An SVG path from `from` to `to`. */
  readonly path: string;
  /** The middle of its label. */
  readonly label: Point;
  /** Where it arrives, and where to it goes there. */
  readonly end: Point;
  readonly arrives: "right" | "left" | "down";
}

export interface Drawing {
  /** The upper left corner of each box. */
  readonly places: ReadonlyMap<string, Point>;
  readonly routes: ReadonlyMap<string, Route>;
  readonly lanes: readonly { readonly name: string; readonly y: number; readonly height: number }[];
  readonly width: number;
  readonly height: number;
}

export interface Gaps {
  readonly x: number;
  readonly y: number;
  /** Between lanes, and above the boxes of each: for its title. */
  readonly lane: number;
}

/** A box, or what an edge takes of a layer that it passes. */
interface Cell {
  readonly id: string;
  readonly width: number;
  readonly height: number;
  /** Of its height, what its loops take on its top. */
  readonly above: number;
  readonly lane: string;
  readonly layer: number;
  y: number;
}

interface Way {
  readonly link: Link;
  /** From left to right; the ends are boxes. */
  readonly cells: readonly Cell[];
  readonly isTurned: boolean;
}

const SWEEPS = 12;
/** An edge that passes a layer without its label. */
const STRAND_PX = 14;
/** How far the label of a loop is above its box. */
const LOOP_PX = 10;

export function layered(boxes: readonly Box[], links: readonly Link[], gaps: Gaps): Drawing {
  const known = new Set(boxes.map(({ id }) => id));
  const between = links.filter(({ from, to }) => from !== to && known.has(from) && known.has(to));
  const order = orderOf(boxes, between);
  const layers = layersOf(boxes, between, order);
  const loops = links.filter(({ from, to }) => from === to && known.has(from));
  const cells = new Map(boxes.map((box): [string, Cell] => {
    const above = Math.max(0, ...loops.filter(({ from }) => from === box.id).map(({ height }) => height + LOOP_PX));
    return [box.id, { ...box, height: box.height + above, above, lane: box.lane ?? "", layer: layers.get(box.id) ?? 0, y: 0 }];
  }));
  const ways = between.map((link) => wayOf(link, cells, order));
  const columns = columnsOf([...cells.values(), ...ways.flatMap((way) => way.cells.slice(1, -1))]);
  const near = neighboursOf(ways);
  const lanes = [...new Set([...cells.values()].map(({ lane }) => lane))].toSorted();
  arrange(columns, near, lanes, gaps);
  const bands = bandsOf(columns, lanes, gaps);
  settle(columns, near, bands, gaps);
  const lefts = leftsOf(columns, gaps);
  const end = columns.length === 0 ? 0 : (lefts.at(-1) ?? 0) + widthOf(columns.at(-1) ?? []);
  return {
    places: new Map([...cells].map(([id, cell]) => [id, { x: placeX(cell, columns, lefts), y: cell.y + cell.above }])),
    routes: new Map([
      ...routesOf(ways, columns, lefts),
      ...loops.map((link): [string, Route] => {
        const cell = cells.get(link.from)!;
        return [link.key, loopOf(cell, placeX(cell, columns, lefts), link)];
      }),
    ]),
    lanes: bands,
    width: end,
    height: Math.max(0, ...bands.map(({ y, height }) => y + height)),
  };
}

/** Breadth first from whoever begins most: an edge leads from the earlier to the later. */
function orderOf(boxes: readonly Box[], links: readonly Link[]): ReadonlyMap<string, number> {
  const far = new Map<string, string[]>(boxes.map(({ id }) => [id, []]));
  const begins = new Map<string, number>();
  for (const { from, to } of links) {
    far.get(from)?.push(to);
    far.get(to)?.push(from);
    begins.set(from, (begins.get(from) ?? 0) + 1);
    begins.set(to, (begins.get(to) ?? 0) - 1);
  }
  const order = new Map<string, number>();
  const roots = boxes.toSorted((one, other) => (begins.get(other.id) ?? 0) - (begins.get(one.id) ?? 0));
  for (const { id: root } of roots) {
    const waiting = [root];
    for (let id = waiting.shift(); id !== undefined; id = waiting.shift()) {
      if (order.has(id)) continue;
      order.set(id, order.size);
      waiting.push(...(far.get(id) ?? []).filter((each) => !order.has(each)));
    }
  }
  return order;
}

/** Boxes stand in even layers; labels in the odd ones between. Boxes without lines fill up what is low. */
function layersOf(boxes: readonly Box[], links: readonly Link[], order: ReadonlyMap<string, number>): ReadonlyMap<string, number> {
  const layers = new Map<string, number>();
  const at = (id: string) => order.get(id) ?? 0;
  const before = new Map<string, string[]>();
  for (const { from, to } of links) {
    const [left, right] = at(from) < at(to) ? [from, to] : [to, from];
    before.set(right, [...(before.get(right) ?? []), left]);
  }
  const ends = new Set(links.flatMap(({ from, to }) => [from, to]));
  for (const { id } of boxes.filter((box) => ends.has(box.id)).toSorted((one, other) => at(one.id) - at(other.id))) {
    layers.set(id, Math.max(0, ...(before.get(id) ?? []).map((each) => (layers.get(each) ?? 0) + 2)));
  }
  const last = Math.max(0, ...layers.values());
  for (const lane of new Set(boxes.map((box) => box.lane ?? ""))) fillUp(boxes.filter((box) => (box.lane ?? "") === lane), layers, last);
  return layers;
}

/** Each box of a lane that has no place yet goes where the fewest are. */
function fillUp(boxes: readonly Box[], layers: Map<string, number>, last: number): void {
  const columns = Math.max(last / 2 + 1, Math.ceil(Math.sqrt(boxes.length / 2)));
  const counts = Array.from({ length: columns }, () => 0);
  const count = (layer: number) => {
    counts[layer / 2] = (counts[layer / 2] ?? 0) + 1;
  };
  for (const { id } of boxes) if (layers.has(id)) count(layers.get(id) ?? 0);
  for (const { id } of boxes) {
    if (layers.has(id)) continue;
    const layer = 2 * counts.indexOf(Math.min(...counts));
    layers.set(id, layer);
    count(layer);
  }
}

function wayOf(link: Link, cells: ReadonlyMap<string, Cell>, order: ReadonlyMap<string, number>): Way {
  const isTurned = (order.get(link.from) ?? 0) > (order.get(link.to) ?? 0);
  const [left, right] = [cells.get(isTurned ? link.to : link.from)!, cells.get(isTurned ? link.from : link.to)!];
  const middle = Math.floor((left.layer + right.layer) / 2);
  const labelled = middle % 2 === 1 ? middle : middle - 1;
  const passed = Array.from({ length: right.layer - left.layer - 1 }, (_, index): Cell => {
    const layer = left.layer + 1 + index;
    const size = layer === labelled ? { width: link.width, height: Math.max(STRAND_PX, link.height) } : { width: 0, height: STRAND_PX };
    return { id: `${link.key} ${layer}`, lane: left.lane, layer, above: 0, y: 0, ...size };
  });
  return { link, cells: [left, ...passed, right], isTurned };
}

function columnsOf(cells: readonly Cell[]): Cell[][] {
  const columns: Cell[][] = [];
  for (const cell of cells) (columns[cell.layer] ??= []).push(cell);
  return Array.from(columns, (column) => column ?? []);
}

function neighboursOf(ways: readonly Way[]): ReadonlyMap<Cell, Cell[]> {
  const near = new Map<Cell, Cell[]>();
  for (const { cells } of ways) {
    cells.forEach((cell, index) => {
      const next = cells[index + 1];
      if (next === undefined) return;
      near.set(cell, [...(near.get(cell) ?? []), next]);
      near.set(next, [...(near.get(next) ?? []), cell]);
    });
  }
  return near;
}

/** From a cell's top to the middle of its box. */
const halfOf = ({ above, height }: Cell) => above + (height - above) / 2;
const middleOf = (cell: Cell) => cell.y + halfOf(cell);

/** Where it would stand if only its neighbours of these layers counted. */
function wanted(cell: Cell, near: ReadonlyMap<Cell, Cell[]>, isOf: (layer: number) => boolean): number {
  const some = (near.get(cell) ?? []).filter(({ layer }) => isOf(layer));
  return some.length === 0 ? middleOf(cell) : some.reduce((sum, each) => sum + middleOf(each), 0) / some.length;
}

/** Orders each column, lane by lane, by where its neighbours stand: to the right, then back. */
function arrange(columns: Cell[][], near: ReadonlyMap<Cell, Cell[]>, lanes: readonly string[], gaps: Gaps): void {
  const laneAt = new Map(lanes.map((lane, index) => [lane, index]));
  const stack = (column: readonly Cell[]) => {
    let y = 0;
    for (const cell of column) {
      cell.y = y;
      y += cell.height + gaps.y;
    }
  };
  const sort = (column: Cell[], isOf: (layer: number) => boolean) => {
    const places = new Map(column.map((cell) => [cell, wanted(cell, near, isOf)]));
    column.sort((one, other) => (laneAt.get(one.lane) ?? 0) - (laneAt.get(other.lane) ?? 0) || (places.get(one) ?? 0) - (places.get(other) ?? 0));
    stack(column);
  };
  for (const column of columns) sort(column, () => false);
  for (let sweep = 0; sweep < SWEEPS; sweep += 1) {
    for (const [index, column] of columns.entries()) sort(column, (layer) => layer < index);
    for (const [index, column] of [...columns.entries()].toReversed()) sort(column, (layer) => layer > index);
  }
}

interface Band {
  readonly name: string;
  readonly y: number;
  readonly height: number;
}

function heightOf(cells: readonly Cell[], gaps: Gaps): number {
  return cells.reduce((sum, { height }) => sum + height + gaps.y, -gaps.y);
}

/** Each lane is as high as its fullest column. */
function bandsOf(columns: readonly Cell[][], lanes: readonly string[], gaps: Gaps): Band[] {
  let y = 0;
  return lanes.map((name) => {
    const height = Math.max(0, ...columns.map((column) => heightOf(column.filter(({ lane }) => lane === name), gaps)));
    const band = { name, y, height };
    y += height + gaps.lane;
    return band;
  });
}

/** Brings every cell as near to its neighbours as those above and below it in its lane let it. */
function settle(columns: readonly Cell[][], near: ReadonlyMap<Cell, Cell[]>, bands: readonly Band[], gaps: Gaps): void {
  for (const band of bands) {
    for (const column of columns) {
      const cells = column.filter(({ lane }) => lane === band.name);
      let y = band.y + (band.height - heightOf(cells, gaps)) / 2;
      for (const cell of cells) {
        cell.y = y;
        y += cell.height + gaps.y;
      }
    }
  }
  const sides: readonly ((layer: number, index: number) => boolean)[] = [(layer, index) => layer < index, (layer, index) => layer > index, () => true];
  for (let sweep = 0; sweep < SWEEPS; sweep += 1) {
    const isOf = sides[sweep % sides.length]!;
    const walk = [...columns.entries()];
    for (const [index, column] of sweep % 3 === 1 ? walk.toReversed() : walk) {
      for (const band of bands) squeeze(column.filter(({ lane }) => lane === band.name), (cell) => wanted(cell, near, (layer) => isOf(layer, index)), band, gaps);
    }
  }
}

function squeeze(cells: readonly Cell[], wish: (cell: Cell) => number, band: Band, gaps: Gaps): void {
  const tops = cells.map((cell) => wish(cell) - halfOf(cell));
  const push = (from: number) => {
    let least = from;
    cells.forEach((cell, index) => {
      tops[index] = Math.max(tops[index] ?? 0, least);
      least = (tops[index] ?? 0) + cell.height + gaps.y;
    });
  };
  push(band.y);
  let most = band.y + band.height;
  for (let index = cells.length - 1; index >= 0; index -= 1) {
    const { height } = cells[index]!;
    tops[index] = Math.min(tops[index] ?? 0, most - height);
    most = (tops[index] ?? 0) - gaps.y;
  }
  push(band.y);
  cells.forEach((cell, index) => {
    cell.y = tops[index] ?? cell.y;
  });
}

function widthOf(column: readonly Cell[]): number {
  return Math.max(0, ...column.map(({ width }) => width));
}

function leftsOf(columns: readonly Cell[][], gaps: Gaps): number[] {
  let x = 0;
  return columns.map((column) => {
    const left = x;
    x += widthOf(column) + (column.length === 0 ? 0 : gaps.x);
    return left;
  });
}

/** In the middle of its column. */
function placeX(cell: Cell, columns: readonly Cell[][], lefts: readonly number[]): number {
  return (lefts[cell.layer] ?? 0) + (widthOf(columns[cell.layer] ?? []) - cell.width) / 2;
}

/** Lines leave a box side by side, in the order in which they go on. */
function portsOf(ways: readonly Way[]): ReadonlyMap<string, number> {
  const ports = new Map<string, number>();
  for (const side of ["left", "right"] as const) {
    const at = new Map<Cell, { key: string; next: number }[]>();
    for (const { link, cells } of ways) {
      const [box, next] = side === "right" ? [cells[0]!, cells[1]!] : [cells.at(-1)!, cells.at(-2)!];
      at.set(box, [...(at.get(box) ?? []), { key: link.key, next: middleOf(next) }]);
    }
    for (const [box, all] of at) {
      const step = Math.min(18, (box.height - box.above - 16) / Math.max(1, all.length));
      all.toSorted((one, other) => one.next - other.next).forEach(({ key }, index) => {
        ports.set(`${side} ${key}`, middleOf(box) + (index - (all.length - 1) / 2) * step);
      });
    }
  }
  return ports;
}

function routesOf(ways: readonly Way[], columns: readonly Cell[][], lefts: readonly number[]): Map<string, Route> {
  const ports = portsOf(ways);
  return new Map(ways.map(({ link, cells, isTurned }): [string, Route] => {
    const points = cells.flatMap((cell, index): Point[] => {
      const x = placeX(cell, columns, lefts);
      if (index === 0) return [{ x: x + cell.width, y: ports.get(`right ${link.key}`) ?? middleOf(cell) }];
      if (index === cells.length - 1) return [{ x, y: ports.get(`left ${link.key}`) ?? middleOf(cell) }];
      // Straight through what it takes of its layer, the whole width of that.
      const left = lefts[cell.layer] ?? 0;
      return [{ x: left, y: middleOf(cell) }, { x: left + widthOf(columns[cell.layer] ?? []), y: middleOf(cell) }];
    });
    const label = cells.find((cell, index) => index > 0 && index < cells.length - 1 && cell.width > 0) ?? cells[1]!;
    const on = isTurned ? points.toReversed() : points;
    return [link.key, {
      path: smooth(on),
      label: { x: placeX(label, columns, lefts) + label.width / 2, y: middleOf(label) },
      end: on.at(-1)!,
      arrives: isTurned ? "left" : "right",
    }];
  }));
}

function smooth(points: readonly Point[]): string {
  return points.map(({ x, y }, index) => {
    const former = points[index - 1];
    if (former === undefined) return `M${x.toFixed(1)} ${y.toFixed(1)}`;
    if (former.y === y) return `L${x.toFixed(1)} ${y.toFixed(1)}`;
    const middle = ((former.x + x) / 2).toFixed(1);
    return `C${middle} ${former.y.toFixed(1)} ${middle} ${y.toFixed(1)} ${x.toFixed(1)} ${y.toFixed(1)}`;
  }).join(" ");
}

/** From a box to itself: above its right half, the label on its top. */
function loopOf(cell: Cell, left: number, { width, height }: Link): Route {
  const box = cell.y + cell.above;
  const right = left + cell.width - 12;
  const [x0, x1] = [Math.max(left + 12, right - width - 24), right];
  const top = box - LOOP_PX - height / 2;
  const path = `M${x0.toFixed(1)} ${box.toFixed(1)} C${x0.toFixed(1)} ${top.toFixed(1)} ${x0.toFixed(1)} ${top.toFixed(1)} ${(x0 + 12).toFixed(1)} ${top.toFixed(1)} L${(x1 - 12).toFixed(1)} ${top.toFixed(1)} C${x1.toFixed(1)} ${top.toFixed(1)} ${x1.toFixed(1)} ${top.toFixed(1)} ${x1.toFixed(1)} ${box.toFixed(1)}`;
  return { path, label: { x: (x0 + x1) / 2, y: top }, end: { x: x1, y: box }, arrives: "down" };
}
