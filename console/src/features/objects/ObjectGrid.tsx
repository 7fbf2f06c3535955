/** A table of any number of rows: only those in sight exist. Arrows move, Enter opens, Space selects. */

import { CaretDownOutlined, CaretUpOutlined } from "@ant-design/icons";
import { Checkbox, Tag } from "antd";
import { type KeyboardEvent, type UIEvent, useRef, useState } from "react";
import { Link, useNavigate } from "react-router";

import { type ConfigObject, lastName } from "../../model/document";
import { cell, changedAt, type Column } from "./columns";
import type { Realised } from "./realised";

const ROW_PX = 36;
const BEYOND_ROWS = 12;
/** To the minute; the whole time stands in the tooltip. */
const CHANGED_PX = 145;
const MINUTE_LETTERS = 16;

export interface Props {
  readonly type: string;
  readonly label: string;
  /** Whether objects of the type lie below others. */
  readonly hasParents: boolean;
  readonly columns: readonly Column[];
  readonly count: number;
  readonly row: (index: number) => ConfigObject | undefined;
  /** How far each has come; undefined where that is not told, as of the past. */
  readonly realised: ((uuid: string) => Realised | undefined) | undefined;
  readonly sort: string;
  readonly onSort: (sort: string) => void;
  readonly onWindow: (first: number, last: number) => void;
  readonly selected: ReadonlySet<string>;
  readonly onSelect: (uuid: string, isSelected: boolean) => void;
}

export function ObjectGrid(props: Props) {
  const { label, columns, count, row, onWindow, hasParents } = props;
  const [top, setTop] = useState(0);
  const [height, setHeight] = useState(800);
  const [at, setAt] = useState(0);
  const scroller = useRef<HTMLDivElement>(null);
  const navigate = useNavigate();
  const first = Math.max(0, Math.floor(top / ROW_PX) - BEYOND_ROWS);
  const last = Math.min(count - 1, Math.ceil((top + height) / ROW_PX) + BEYOND_ROWS);
  // In shares of one width, so that heading and rows agree whatever is in them.
  const template = `40px 1.5fr ${hasParents ? "1.2fr " : ""}${columns.map(({ share }) => `${share}fr`).join(" ")} ${props.realised === undefined ? "" : "130px "}${CHANGED_PX}px`;
  const width = (props.realised === undefined ? 340 : 470) + CHANGED_PX + columns.length * 90;
  const onScroll = (event: UIEvent<HTMLDivElement>) => {
    const { scrollTop, clientHeight } = event.currentTarget;
    setTop(scrollTop);
    setHeight(clientHeight);
    const from = Math.floor(scrollTop / ROW_PX);
    onWindow(Math.max(0, from - BEYOND_ROWS), from + Math.ceil(clientHeight / ROW_PX) + BEYOND_ROWS);
  };
  const moveTo = (index: number) => {
    const next = Math.max(0, Math.min(count - 1, index));
    setAt(next);
    const box = scroller.current;
    if (box === null) return;
    if (next * ROW_PX < box.scrollTop) box.scrollTop = next * ROW_PX;
    const seen = box.clientHeight - 2 * ROW_PX;
    if (next * ROW_PX > box.scrollTop + seen) box.scrollTop = next * ROW_PX - seen;
  };
  const onKey = (event: KeyboardEvent<HTMLDivElement>) => {
    if (event.target !== event.currentTarget) return;
    const page = Math.floor(height / ROW_PX) - 2;
    const steps: Record<string, number> = {
      ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + page, PageUp: at - page, Home: 0, End: count - 1,
    };
    const object = row(at);
    const to = steps[event.key];
    if (to !== undefined) moveTo(to);
    else if (event.key === "Enter" && object !== undefined) void navigate(`/o/${props.type}/${object.uuid}`);
    else if (event.key === " " && object !== undefined) props.onSelect(object.uuid, !props.selected.has(object.uuid));
    else return;
    event.preventDefault();
  };
  const indices = Array.from({ length: Math.max(0, last - first + 1) }, (_, offset) => first + offset);
  return (
    <div
      ref={scroller}
      className="grid"
      role="grid"
      tabIndex={0}
      aria-label={label}
      aria-rowcount={count + 1}
      aria-colcount={columns.length + 3 + Number(hasParents) + Number(props.realised !== undefined)}
      aria-activedescendant={row(at) === undefined ? undefined : `row-${at}`}
      onScroll={onScroll}
      onKeyDown={onKey}
    >
      <GridHead {...props} template={template} width={width} />
      <div role="rowgroup" style={{ height: count * ROW_PX, position: "relative", minWidth: width }}>
        {indices.map((index) => (
          <GridRow key={index} {...props} index={index} object={row(index)} template={template} isAt={index === at} onAt={setAt} />
        ))}
      </div>
    </div>
  );
}

function GridHead({ columns, hasParents, realised, sort, onSort, template, width }: Props & { readonly template: string; readonly width: number }) {
  const heading = (name: string, title: string, sorts: boolean) => {
    const down = sort === `-${name}`;
    const up = sort === name;
    return (
      <div key={name} role="columnheader" className="grid-cell" title={title} aria-sort={up ? "ascending" : down ? "descending" : "none"}>
        {sorts ? (
          <button type="button" onClick={() => onSort(up ? `-${name}` : name)}>
            {title} {up && <CaretUpOutlined />}
            {down && <CaretDownOutlined />}
          </button>
        ) : (
          title
        )}
      </div>
    );
  };
  return (
    <div role="rowgroup" style={{ position: "sticky", top: 0, zIndex: 1, minWidth: width }}>
      <div role="row" aria-rowindex={1} className="grid-head" style={{ gridTemplateColumns: template }}>
        <div role="columnheader" className="grid-cell" aria-label="Selected" />
        {hasParents ? heading("name", "Name", true) : heading("fq_name", "Name", true)}
        {hasParents && heading("fq_name", "Parent", true)}
        {columns.map((column) => heading(column.name, column.title, column.sorts))}
        {realised !== undefined && heading("realised", "Realised", true)}
        {heading("changed", "Changed", false)}
      </div>
    </div>
  );
}

interface RowProps extends Props {
  readonly index: number;
  readonly object: ConfigObject | undefined;
  readonly template: string;
  readonly isAt: boolean;
  readonly onAt: (index: number) => void;
}

function Badge({ realised }: { readonly realised: Realised | undefined }) {
  if (realised === undefined) return null;
  const { stage, next, why } = realised;
  const [colour, mark] = BADGES[next];
  return <Tag {...(colour === "" ? {} : { color: colour })} title={why}>{mark} {stage}</Tag>;
}

const BADGES = { none: ["green", "✓"], false: ["red", "✗"], pending: ["gold", "…"], unknown: ["", "?"] } as const;

function GridRow({ type, columns, hasParents, realised, index, object, template, selected, onSelect, isAt, onAt }: RowProps) {
  const style = { top: index * ROW_PX, gridTemplateColumns: template, boxShadow: isAt ? "inset 3px 0 #3c8ee0" : "none" };
  if (object === undefined) {
    return (
      <div role="row" aria-rowindex={index + 2} className="grid-row grid-pending" style={style}>
        <div role="gridcell" className="grid-cell" style={{ gridColumn: "1 / -1" }}>…</div>
      </div>
    );
  }
  const name = lastName(object.fq_name);
  const isSelected = selected.has(object.uuid);
  return (
    <div
      role="row"
      id={`row-${index}`}
      aria-rowindex={index + 2}
      aria-selected={isSelected}
      className="grid-row"
      style={style}
      onClick={() => onAt(index)}
    >
      <div role="gridcell" className="grid-cell">
        <Checkbox
          checked={isSelected}
          tabIndex={-1}
          aria-label={`Select ${name}`}
          onChange={(event) => onSelect(object.uuid, event.target.checked)}
        />
      </div>
      <div role="gridcell" className="grid-cell">
        <Link to={`/o/${type}/${object.uuid}`} title={object.fq_name.join(":")} tabIndex={-1}>
          {name}
        </Link>
      </div>
      {hasParents && (
        <div role="gridcell" className="grid-cell" title={object.fq_name.slice(0, -1).join(":")}>
          {lastName(object.fq_name.slice(0, -1))}
        </div>
      )}
      {columns.map((column) => (
        <div key={column.name} role="gridcell" className="grid-cell">
          {cell(object[column.name])}
        </div>
      ))}
      {realised !== undefined && <div role="gridcell" className="grid-cell"><Badge realised={realised(object.uuid)} /></div>}
      <div role="gridcell" className="grid-cell mono" title={`${changedAt(object)} UTC`}>{changedAt(object).slice(0, MINUTE_LETTERS)}</div>
    </div>
  );
}
