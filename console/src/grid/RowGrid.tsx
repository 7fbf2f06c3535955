/** A table of rows that are here already, any number of them: only those in sight are drawn. */

import { type KeyboardEvent, type ReactNode, type UIEvent, useRef, useState } from "react";

const ROW_PX = 30;
const BEYOND_ROWS = 10;

export interface GridColumn<Row> {
  readonly name: string;
  readonly title: string;
  /** In pixels; columns share what is over by it. */
  readonly width: number;
  readonly render: (row: Row) => ReactNode;
  readonly text?: (row: Row) => string;
}

interface Props<Row> {
  readonly label: string;
  readonly columns: readonly GridColumn<Row>[];
  readonly rows: readonly Row[];
}

export function RowGrid<Row>({ label, columns, rows }: Props<Row>) {
  const [top, setTop] = useState(0);
  const [height, setHeight] = useState(800);
  const scroller = useRef<HTMLDivElement>(null);
  const first = Math.max(0, Math.floor(top / ROW_PX) - BEYOND_ROWS);
  const last = Math.min(rows.length, Math.ceil((top + height) / ROW_PX) + BEYOND_ROWS);
  const template = columns.map(({ width }) => `minmax(${width}px, ${width}fr)`).join(" ");
  const whole = columns.reduce((sum, { width }) => sum + width, 0);
  const onScroll = (event: UIEvent<HTMLDivElement>) => {
    setTop(event.currentTarget.scrollTop);
    setHeight(event.currentTarget.clientHeight);
  };
  const onKey = (event: KeyboardEvent<HTMLDivElement>) => {
    const box = scroller.current;
    if (box === null || event.target !== event.currentTarget) return;
    const steps: Record<string, number> = {
      ArrowDown: box.scrollTop + ROW_PX, ArrowUp: box.scrollTop - ROW_PX, Home: 0, End: rows.length * ROW_PX,
      PageDown: box.scrollTop + box.clientHeight - ROW_PX, PageUp: box.scrollTop - box.clientHeight + ROW_PX,
    };
    const to = steps[event.key];
    if (to === undefined) return;
    box.scrollTop = to;
    event.preventDefault();
  };
  return (
    <div
      ref={scroller}
      className="grid"
      role="grid"
      tabIndex={0}
      aria-label={label}
      aria-rowcount={rows.length + 1}
      aria-colcount={columns.length}
      onScroll={onScroll}
      onKeyDown={onKey}
    >
      <div role="rowgroup" style={{ position: "sticky", top: 0, zIndex: 1, minWidth: whole }}>
        <div role="row" aria-rowindex={1} className="grid-head" style={{ gridTemplateColumns: template }}>
          {columns.map(({ name, title }) => (
            <div key={name} role="columnheader" className="grid-cell" title={name}>{title}</div>
          ))}
        </div>
      </div>
      <div role="rowgroup" style={{ height: rows.length * ROW_PX, position: "relative", minWidth: whole }}>
        {rows.slice(first, last).map((row, offset) => {
          const index = first + offset;
          return (
            <div
              key={index}
              role="row"
              aria-rowindex={index + 2}
              className="grid-row"
              style={{ top: index * ROW_PX, height: ROW_PX, gridTemplateColumns: template }}
            >
              {columns.map(({ name, render, text }) => (
                <div key={name} role="gridcell" className="grid-cell" style={{ lineHeight: `${ROW_PX}px` }} title={text?.(row)}>
                  {render(row)}
                </div>
              ))}
            </div>
          );
        })}
      </div>
    </div>
  );
}
