/** A drawing that fits its room until somebody zooms or moves it: by wheel, by dragging, by keys, by buttons. */

import { CompressOutlined, MinusOutlined, PlusOutlined } from "@ant-design/icons";
import { Button, Tooltip } from "antd";
import { type FocusEvent, type KeyboardEvent, type PointerEvent, type ReactNode, useEffect, useMemo, useRef, useState } from "react";

import { useRoom } from "./useRoom";
import { fitOf, moved, shiftTo, type Size, type View, zoomed } from "./viewport";

interface Props {
  /** Of the region, and of the drawing in it. */
  readonly label: string;
  readonly name: string;
  /** The drawing for a room: parts of an SVG, and how much they take. */
  readonly draw: (room: Size) => Size & { readonly parts: ReactNode };
  readonly legend?: ReactNode;
}

const STEP = 1.25;
/** What the legend takes of the room below a drawing. */
const LEGEND_PX = 34;
const ARROW_PX = 60;
const ARROWS: Readonly<Record<string, readonly [number, number]>> = {
  ArrowLeft: [ARROW_PX, 0], ArrowRight: [-ARROW_PX, 0], ArrowUp: [0, ARROW_PX], ArrowDown: [0, -ARROW_PX],
};
/** A press that moves less is a click on what is there. */
const CLICK_PX = 4;

export function Canvas({ label, name, draw, legend }: Props) {
  const frame = useRef<HTMLDivElement>(null);
  const room = useRoom(frame);
  const free = { width: room.width, height: room.height - (legend === undefined ? 0 : LEGEND_PX) };
  /** Null: fitted. */
  const [chosen, setChosen] = useState<View | null>(null);
  const { parts, ...size } = useMemo(() => draw(room), [draw, room]);
  const fitted = fitOf(size, free);
  const view = chosen ?? fitted;
  const zoom = (factor: number, at = { x: room.width / 2, y: room.height / 2 }) => setChosen((now) => zoomed(now ?? fitted, factor, at));
  const move = (x: number, y: number) => setChosen((now) => moved(now ?? fitted, { x, y }, size, room));
  useWheel(frame, zoom);
  const dragging = useDragging(move);
  const onKey = (event: KeyboardEvent<HTMLDivElement>) => {
    const arrow = ARROWS[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "+" || event.key === "=") zoom(STEP);
    else if (event.key === "-") zoom(1 / STEP);
    else if (event.key === "0") setChosen(null);
    else if (arrow !== undefined) move(...arrow);
    else return;
    event.preventDefault();
  };
  /** Whoever goes by Tab sees where he is. */
  const onFocus = (event: FocusEvent<HTMLDivElement>) => {
    const outer = frame.current?.getBoundingClientRect();
    if (outer === undefined || !(event.target instanceof SVGElement)) return;
    const { left, right, top, bottom } = event.target.getBoundingClientRect();
    const { x, y } = shiftTo({ left: left - outer.left, right: right - outer.left, top: top - outer.top, bottom: bottom - outer.top }, room);
    if (x !== 0 || y !== 0) move(x, y);
  };
  return (
    <div className="canvas">
      <div ref={frame} className="canvas-frame" tabIndex={0} role="region" aria-label={label} aria-keyshortcuts="+ - 0" onKeyDown={onKey} onFocus={onFocus} {...dragging}>
        {room.width > 0 && (
          <svg width={room.width} height={room.height} role="group" aria-label={name}>
            <g transform={`translate(${view.x} ${view.y}) scale(${view.scale})`}>{parts}</g>
          </svg>
        )}
      </div>
      {legend !== undefined && <div className="canvas-legend">{legend}</div>}
      <div className="canvas-tools" role="toolbar" aria-label="Zoom">
        <Tooltip title="Larger (+)" placement="left"><Button size="small" icon={<PlusOutlined />} aria-label="Zoom in" onClick={() => zoom(STEP)} /></Tooltip>
        <Tooltip title="Smaller (-)" placement="left"><Button size="small" icon={<MinusOutlined />} aria-label="Zoom out" onClick={() => zoom(1 / STEP)} /></Tooltip>
        <Tooltip title="All of it (0)" placement="left"><Button size="small" icon={<CompressOutlined />} aria-label="Fit" disabled={chosen === null} onClick={() => setChosen(null)} /></Tooltip>
      </div>
    </div>
  );
}

/** The browser lets nobody keep a page from scrolling who listens the usual way. */
function useWheel(frame: { readonly current: HTMLDivElement | null }, zoom: (factor: number, at: { x: number; y: number }) => void) {
  const latest = useRef(zoom);
  useEffect(() => {
    latest.current = zoom;
  });
  useEffect(() => {
    const box = frame.current;
    const onWheel = (event: WheelEvent) => {
      event.preventDefault();
      const { left, top } = (event.currentTarget as HTMLElement).getBoundingClientRect();
      latest.current(Math.exp(-event.deltaY / 500), { x: event.clientX - left, y: event.clientY - top });
    };
    box?.addEventListener("wheel", onWheel, { passive: false });
    return () => box?.removeEventListener("wheel", onWheel);
  }, [frame]);
}

function useDragging(move: (x: number, y: number) => void) {
  const held = useRef<{ x: number; y: number; isMoving: boolean } | null>(null);
  return {
    onPointerDown: (event: PointerEvent<HTMLDivElement>) => {
      if (event.button === 0) held.current = { x: event.clientX, y: event.clientY, isMoving: false };
    },
    onPointerMove: (event: PointerEvent<HTMLDivElement>) => {
      const from = held.current;
      if (from === null || event.buttons === 0) return;
      const [x, y] = [event.clientX - from.x, event.clientY - from.y];
      if (!from.isMoving && Math.hypot(x, y) < CLICK_PX) return;
      if (!from.isMoving) event.currentTarget.setPointerCapture(event.pointerId);
      held.current = { x: event.clientX, y: event.clientY, isMoving: true };
      move(x, y);
    },
    onPointerUp: () => {
      held.current = null;
    },
  };
}
