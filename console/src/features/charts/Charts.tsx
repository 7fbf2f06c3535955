/** Numbers of an object over time, with the changes of its configuration; lazily loaded. */

import { useQuery } from "@tanstack/react-query";
import { Alert, Segmented, Spin } from "antd";
import { useSearchParams } from "react-router";

import { asOf, call } from "../../api/client";
import { moment } from "../../api/moment";
import { isAdministrator } from "../../api/session";
import { useConsole } from "../../app/context";
import { bytesText } from "../../model/units";
import { absence } from "../monitor/uves";
import { bodiesOf, type Chart, chartOf, keyOf, latestOf, type Marker, markersOf, pathOf, type Row, scaleOf, SIZE, type Source, SOURCES, SPANS, type Span, spanOf, withColumns } from "./series";

const AGAIN_MS = 10_000;

interface Props {
  readonly sources: readonly Source[];
  /** The name that generators tell of it by. */
  readonly of: string;
  /** Of the object whose changes are marked; empty: there is none. */
  readonly uuid: string;
}

/** Numbers of an object of the configuration. */
export function ObjectCharts({ type, uuid, name }: { readonly type: string; readonly uuid: string; readonly name: readonly string[] }) {
  return <Charts sources={SOURCES[type] ?? []} of={keyOf(type, name)} uuid={uuid} />;
}

export function Charts({ sources, of, uuid }: Props) {
  const [search, setSearch] = useSearchParams();
  const span = spanOf(search.get("span") ?? "now-1h");
  const say = (value: string) =>
    setSearch((now) => {
      const next = new URLSearchParams(now);
      next.set("span", value);
      return next;
    }, { replace: true });
  return (
    <>
      <Segmented aria-label="Time" value={span.value} options={SPANS.map(({ value, label }) => ({ value, label }))} onChange={say} />
      {sources.map((source) => <ChartOf key={source.title} source={source} uuid={uuid} of={of} span={span} />)}
    </>
  );
}

/** Which columns a table has is asked of the table, where the source does not say. */
async function completed(source: Source, signal: AbortSignal): Promise<Source> {
  if (source.every === undefined) return source;
  const { columns } = await call<{ columns: { name: string }[] }>("GET", `/api/v1/analytics/table/${source.table}/schema`, { signal });
  return withColumns(source, columns.map(({ name }) => name));
}

interface OneProps {
  readonly source: Source;
  readonly uuid: string;
  readonly of: string;
  readonly span: Span;
}

function ChartOf({ source, uuid, of, span }: OneProps) {
  const { identity } = useConsole();
  const past = moment.get();
  const found = useQuery({
    queryKey: ["chart", source.table, source.title, of, span.value],
    queryFn: async ({ signal }) => {
      const whole = await completed(source, signal);
      const answers = await Promise.all(
        bodiesOf(whole, of, span, past).map(async ({ columns, body }) => ({ columns, rows: (await call<{ value: Row[] }>("POST", "/api/v1/analytics/query", { body, signal })).value })),
      );
      return chartOf(whole, answers, span, past === null ? Date.now() : Date.parse(past.time));
    },
    refetchInterval: past === null ? AGAIN_MS : false,
    retry: false,
  });
  const changes = useQuery({
    queryKey: ["history", uuid, "markers"],
    queryFn: async () => (await call<{ entries: Parameters<typeof markersOf>[0] }>("GET", `/api/v1/history?limit=200&object=${uuid}${asOf("&")}`)).entries,
    enabled: isAdministrator(identity) && uuid !== "",
    retry: false,
  });
  if (found.isError) return <Alert type="info" showIcon title={absence(found.error)} />;
  if (found.data === undefined) return <Spin />;
  const { times } = found.data;
  const markers = markersOf(changes.data ?? [], times[0] ?? 0, (times.at(-1) ?? 0) + span.bin * 1000);
  return <ChartPicture chart={found.data} markers={markers} />;
}

function valueText(value: number, unit: Chart["unit"]): string {
  if (unit === "B/s" || unit === "B") return `${bytesText(value)}${unit === "B/s" ? "/s" : ""}`;
  const number = value >= 10 || Number.isInteger(value) ? Math.round(value).toLocaleString("en") : value >= 1 ? value.toFixed(1) : String(Number(value.toPrecision(2)));
  return `${number}${unit}`;
}

function timeText(time: number, isLong: boolean): string {
  const text = new Date(time).toISOString();
  return isLong ? text.slice(5, 16).replace("T", " ") : text.slice(11, 16);
}

const TIMES_COUNT = 6;

export function ChartPicture({ chart, markers }: { readonly chart: Chart; readonly markers: readonly Marker[] }) {
  const scale = scaleOf(chart);
  const [first = 0, last = 0] = [chart.times[0], chart.times.at(-1)];
  const isLong = last - first > 86_400_000 / 2;
  const labels = Array.from({ length: TIMES_COUNT }, (_, index) => first + ((last - first) * index) / (TIMES_COUNT - 1));
  const told = chart.lines.map((line) => `${line.title} ${valueText(latestOf(line), chart.unit)}`).join(", ");
  const right = SIZE.width - SIZE.right;
  return (
    <figure className="chart" aria-label={chart.title}>
      <figcaption>
        <strong>{chart.title}</strong>
        {chart.lines.map((line, index) => (
          <span key={line.title} className={`chart-legend chart-${index}`}>{line.title} {valueText(latestOf(line), chart.unit)}</span>
        ))}
        {chart.lines.length === 0 && <span className="form-note">nothing was told in this time</span>}
        {markers.length > 0 && <span className="chart-legend chart-change">{markers.length === 1 ? "1 change" : `${markers.length} changes`}</span>}
      </figcaption>
      <svg viewBox={`0 0 ${SIZE.width} ${SIZE.height}`} role="img" aria-label={`${chart.title}, last: ${told}`}>
        {scale.ticks.map((tick) => (
          <g key={tick}>
            <line x1={SIZE.left} x2={right} y1={scale.y(tick)} y2={scale.y(tick)} className="chart-grid" />
            <text x={SIZE.left - 6} y={scale.y(tick) + 4} textAnchor="end" className="map-small">{valueText(tick, chart.unit)}</text>
          </g>
        ))}
        {labels.map((time, index) => (
          <text key={time} x={scale.x(time)} y={SIZE.height - 8} textAnchor={index === 0 ? "start" : index === TIMES_COUNT - 1 ? "end" : "middle"} className="map-small">
            {timeText(time, isLong)}
          </text>
        ))}
        {markers.map(({ change, time, by, what }) => (
          <g key={change} className="chart-marker">
            <line x1={Math.min(right, scale.x(time))} x2={Math.min(right, scale.x(time))} y1={SIZE.top} y2={SIZE.height - SIZE.bottom} />
            <circle cx={Math.min(right, scale.x(time))} cy={SIZE.top} r={5}><title>{`${new Date(time).toISOString().slice(0, 19)}Z: ${what} by ${by}`}</title></circle>
          </g>
        ))}
        {chart.lines.map((line, index) => <path key={line.title} d={pathOf(line, chart.times, scale)} className={`chart-line chart-${index}`} />)}
      </svg>
      {markers.length > 0 && (
        <ul className="chart-changes">
          {markers.map(({ change, time, by, what }) => <li key={change}><span className="mono">{new Date(time).toISOString().slice(5, 19).replace("T", " ")}</span> {what} by {by}</li>)}
        </ul>
      )}
    </figure>
  );
}
