/** What part of a drawing is seen, and how large. Pure. */

export interface Size {
  readonly width: number;
  readonly height: number;
}

/** A point of the drawing is seen at `scale` times it, moved by `x` and `y`. */
export interface View {
  readonly scale: number;
  readonly x: number;
  readonly y: number;
}

const MARGIN_PX = 20;
const LEAST = 0.15;
const MOST = 4;
/** A drawing of two boxes is not blown up to fill a wall. */
const FIT_MOST = 1.25;
/** Of a drawing, at least so much stays in sight. */
const KEPT_PX = 60;

export function fitOf(drawing: Size, room: Size): View {
  const wide = (room.width - 2 * MARGIN_PX) / Math.max(1, drawing.width);
  const high = (room.height - 2 * MARGIN_PX) / Math.max(1, drawing.height);
  const scale = Math.max(LEAST, Math.min(wide, high, FIT_MOST));
  return { scale, x: (room.width - drawing.width * scale) / 2, y: (room.height - drawing.height * scale) / 2 };
}

/** Zooms so that what is at a point of the room stays there. */
export function zoomed(view: View, factor: number, at: { readonly x: number; readonly y: number }): View {
  const scale = Math.max(LEAST, Math.min(MOST, view.scale * factor));
  const grown = scale / view.scale;
  return { scale, x: at.x - (at.x - view.x) * grown, y: at.y - (at.y - view.y) * grown };
}

/** Moved, but never out of sight. */
export function moved(view: View, by: { readonly x: number; readonly y: number }, drawing: Size, room: Size): View {
  const within = (at: number, size: number, seen: number) => Math.max(KEPT_PX - size * view.scale, Math.min(seen - KEPT_PX, at));
  return { scale: view.scale, x: within(view.x + by.x, drawing.width, room.width), y: within(view.y + by.y, drawing.height, room.height) };
}

function along(low: number, high: number, end: number): number {
  if (low < 0) return MARGIN_PX - low;
  return high > end ? Math.max(MARGIN_PX - low, end - MARGIN_PX - high) : 0;
}

/** How far a part must be moved to be seen whole; of a part that is larger than the room, its beginning. */
export function shiftTo(part: { readonly left: number; readonly right: number; readonly top: number; readonly bottom: number }, room: Size): { x: number; y: number } {
  return { x: along(part.left, part.right, room.width), y: along(part.top, part.bottom, room.height) };
}
