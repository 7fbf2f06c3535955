/** What is written on a line of a drawing, cut to some width, and the room that it takes. */

import { fitted, widthOf } from "../app/fit";
import type { Size } from "./viewport";

export const LABEL = { most: 170, line: 15, pad: 8, size: 12 } as const;

export interface Label extends Size {
  readonly lines: readonly string[];
}

export function labelled(lines: readonly string[], more = 0): Label {
  const cut = lines.filter((line) => line !== "").map((line) => fitted(line, { width: LABEL.most, size: LABEL.size }));
  const width = Math.max(0, more, ...cut.map((line) => widthOf(line, { size: LABEL.size }))) + 2 * LABEL.pad;
  return { lines: cut, width, height: cut.length * LABEL.line + 8 };
}
