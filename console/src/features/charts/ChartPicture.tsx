/** One chart: its lines, the changes beside them, and the values of the time that is pointed at. */

import { type KeyboardEvent, type PointerEvent, useRef } from "react";

import { moment } from "../../api/moment";
import { useRoom } from "../../graph/useRoom";
import { bytesText } from "../../model/units";
import { type Chart, latestOf, type Marker, nearest, pathOf, type Scale, scaleOf, SIZE } from "./series";

interface Props {
  readonly chart: Chart;
  readonly markers: readonly Marker[];
  /** Whether the changes are told below it: once for all charts of a page. */
  readonly tells: boolean;
  /** Milliseconds; shared by all charts of a page. */
  readonly pointed: number | null;
  readonly onPoint: (time: number | null) => void;
}

export function valueText(value: number, unit: Chart["unit"]): string {
  if (unit === "B/s" || unit === "B") return `${bytesText(value)}${unit === "B/s" ? "/s" : ""}`;
  const number = value >= 10 || Number.isInteger(value) ? Math.round(value).toLocaleString("en") : value >= 1 ? value.toFixed(1) : String(Number(value.toPrecision(2)));
  return unit === "%" ? `${number} %` : `${number}${unit}`;
}

function timeText(time: number, isLong: boolean): string {
  const text = new Date(time).toISOString();
  return isLong ? text.slice(5, 16).replace("T", " ") : text.slice(11, 16);
}

const WIDTH_PX = 860;
const LABEL_PX = 150;

export function ChartPicture({ chart, markers, tells, pointed, onPoint }: Props) {
  const frame = useRef<HTMLDivElement>(null);
  const width = useRoom(frame).width || WIDTH_PX;
  const scale = scaleOf(chart, width);
  const told = chart.lines.map((line) => `${line.title} ${valueText(latestOf(line), chart.unit)}`).join(", ");
  const latest = moment.get() === null ? "now" : "last";
  const at = pointed === null ? null : nearest(chart.times, pointed);
  return (
    <figure className="chart" aria-label={chart.title}>
      <figcaption>
        <strong>{chart.title}</strong>
        {chart.lines.map((line, index) => (
          <span key={line.title} className={`chart-legend chart-${index}`}>{line.title} {valueText(latestOf(line), chart.unit)} {latest}</span>
        ))}
        {chart.lines.length === 0 && <span className="form-note">nothing was told in this time</span>}
        {markers.length > 0 && <span className="chart-legend chart-change">{markers.length === 1 ? "1 change" : `${markers.length} changes`}</span>}
      </figcaption>
      <div ref={frame} className="chart-frame" tabIndex={0} role="group" aria-label={`${chart.title}: arrows show values`} {...pointing(chart, width, at, onPoint)}>
        <svg width={width} height={SIZE.height} role="img" aria-label={`${chart.title}, ${latest}: ${told}`}>
          <Axes chart={chart} scale={scale} width={width} />
          {markers.map((marker) => <MarkerLine key={marker.change} marker={marker} x={Math.min(width - SIZE.right, scale.x(marker.time))} />)}
          {chart.lines.map((line, index) => <path key={line.title} d={pathOf(line, chart.times, scale)} className={`chart-line chart-${index}`} />)}
          {at !== null && <Crosshair chart={chart} scale={scale} at={at} />}
        </svg>
        {at !== null && <Values chart={chart} at={at} x={scale.x(chart.times[at] ?? 0)} width={width} />}
      </div>
      {tells && markers.length > 0 && (
        <ul className="chart-changes">
          {markers.map(({ change, time, by, what }) => <li key={change}><span className="mono">{whenText(time)}</span> {what} by {by}</li>)}
        </ul>
      )}
    </figure>
  );
}

function whenText(time: number): string {
  return new Date(time).toISOString().slice(5, 19).replace("T", " ");
}

function pointing(chart: Chart, width: number, at: number | null, onPoint: (time: number | null) => void) {
  const { times } = chart;
  const [first = 0, last = 0] = [times[0], times.at(-1)];
  const go = (index: number) => onPoint(times[Math.max(0, Math.min(times.length - 1, index))] ?? null);
  return {
    onPointerMove: (event: PointerEvent<HTMLDivElement>) => {
      const x = event.clientX - event.currentTarget.getBoundingClientRect().left;
      const share = (x - SIZE.left) / (width - SIZE.left - SIZE.right);
      onPoint(first + Math.max(0, Math.min(1, share)) * (last - first));
    },
    onPointerLeave: () => onPoint(null),
    onBlur: () => onPoint(null),
    onKeyDown: (event: KeyboardEvent<HTMLDivElement>) => {
      if (event.key === "ArrowLeft") go((at ?? times.length) - 1);
      else if (event.key === "ArrowRight") go((at ?? -1) + 1);
      else if (event.key === "Escape") onPoint(null);
      else return;
      event.preventDefault();
    },
  };
}

function Axes({ chart: { times, unit }, scale, width }: { readonly chart: Chart; readonly scale: Scale; readonly width: number }) {
  const [first = 0, last = 0] = [times[0], times.at(-1)];
  const isLong = last - first > 86_400_000 / 2;
  const count = Math.max(2, Math.min(7, Math.floor(width / LABEL_PX) + 1));
  const labels = Array.from({ length: count }, (_, index) => first + ((last - first) * index) / (count - 1));
  return (
    <>
      {scale.ticks.map((tick) => (
        <g key={tick}>
          <line x1={SIZE.left} x2={width - SIZE.right} y1={scale.y(tick)} y2={scale.y(tick)} className="chart-grid" />
          <text x={SIZE.left - 8} y={scale.y(tick) + 4} textAnchor="end" className="map-small">{valueText(tick, unit).replace(/\.0(?= )/, "")}</text>
        </g>
      ))}
      {labels.map((time, index) => (
        <text key={time} x={scale.x(time)} y={SIZE.height - 8} textAnchor={index === 0 ? "start" : index === count - 1 ? "end" : "middle"} className="map-small">
          {timeText(time, isLong)}
        </text>
      ))}
    </>
  );
}

function MarkerLine({ marker: { time, what, by }, x }: { readonly marker: Marker; readonly x: number }) {
  return (
    <g className="chart-marker">
      <line x1={x} x2={x} y1={SIZE.top} y2={SIZE.height - SIZE.bottom} />
      <path d={`M${x} ${SIZE.top + 6} l-5 -9 h10 Z`}><title>{`${whenText(time)} UTC: ${what} by ${by}`}</title></path>
    </g>
  );
}

function Crosshair({ chart, scale, at }: { readonly chart: Chart; readonly scale: Scale; readonly at: number }) {
  const x = scale.x(chart.times[at] ?? 0);
  return (
    <g className="chart-cross">
      <line x1={x} x2={x} y1={SIZE.top} y2={SIZE.height - SIZE.bottom} />
      {chart.lines.map(({ title, points }, index) => {
        const value = points[at];
        return value !== undefined && <circle key={title} cx={x} cy={scale.y(value)} r={3.5} className={`chart-dot chart-${index}`} />;
      })}
    </g>
  );
}

/** Beside the time that is pointed at, on the side that has room. */
function Values({ chart, at, x, width }: { readonly chart: Chart; readonly at: number; readonly x: number; readonly width: number }) {
  const side = x > width / 2 ? { right: width - x + 12 } : { left: x + 12 };
  return (
    <div className="chart-values" style={side}>
      <div className="mono">{whenText(chart.times[at] ?? 0)} UTC</div>
      {chart.lines.map(({ title, points }, index) => {
        const value = points[at];
        return <div key={title} className={`chart-legend chart-${index}`}>{title} <strong>{value === undefined ? "–" : valueText(value, chart.unit)}</strong></div>;
      })}
    </div>
  );
}
