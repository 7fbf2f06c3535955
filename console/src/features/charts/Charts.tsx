/** Numbers of an object over time, with the changes of its configuration; lazily loaded. */

import { useQueries, useQuery } from "@tanstack/react-query";
import { Alert, Segmented, Spin } from "antd";
import { useState } from "react";
import { useSearchParams } from "react-router";

import { asOf, call } from "../../api/client";
import { moment } from "../../api/moment";
import { isAdministrator } from "../../api/session";
import { useConsole } from "../../app/context";
import { absence } from "../monitor/uves";
import { ChartPicture } from "./ChartPicture";
import { beginningOf, bodiesOf, type Chart, chartOf, keyOf, markersOf, type Row, since, type Source, SOURCES, SPANS, type Span, spanOf, withColumns } from "./series";

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
      <Segmented aria-label="Time" value={span.value} options={SPANS.map(({ value, label }) => ({ value, label }))} onChange={say} style={{ alignSelf: "flex-start" }} />
      <ChartsOf sources={sources} of={of} uuid={uuid} span={span} />
    </>
  );
}

/** Which columns a table has is asked of the table, where the source does not say. */
async function completed(source: Source, signal: AbortSignal): Promise<Source> {
  if (source.every === undefined) return source;
  const { columns } = await call<{ columns: { name: string }[] }>("GET", `/api/v1/analytics/table/${source.table}/schema`, { signal });
  return withColumns(source, columns.map(({ name }) => name));
}

function useCharts(sources: readonly Source[], of: string, span: Span) {
  const past = moment.get();
  return useQueries({
    queries: sources.map((source) => ({
      queryKey: ["chart", source.table, source.title, of, span.value],
      queryFn: async ({ signal }: { readonly signal: AbortSignal }) => {
        const whole = await completed(source, signal);
        const answers = await Promise.all(
          bodiesOf(whole, of, span, past).map(async ({ columns, body }) => ({ columns, rows: (await call<{ value: Row[] }>("POST", "/api/v1/analytics/query", { body, signal })).value })),
        );
        return chartOf(whole, answers, span, past === null ? Date.now() : Date.parse(past.time));
      },
      refetchInterval: past === null ? AGAIN_MS : (false as const),
      retry: false,
    })),
  });
}

/** All charts of a page have one axis of time, and what is pointed at in one is shown in all. */
export function ChartsOf({ sources, of, uuid, span }: Props & { readonly span: Span }) {
  const { identity } = useConsole();
  const [pointed, setPointed] = useState<number | null>(null);
  const charts = useCharts(sources, of, span);
  const changes = useQuery({
    queryKey: ["history", uuid, "markers"],
    queryFn: async () => (await call<{ entries: Parameters<typeof markersOf>[0] }>("GET", `/api/v1/history?limit=200&object=${uuid}${asOf("&")}`)).entries,
    enabled: isAdministrator(identity) && uuid !== "",
    retry: false,
  });
  const drawn = charts.flatMap(({ data }) => (data === undefined ? [] : [data]));
  const markersFor = ({ times }: Chart) => markersOf(changes.data ?? [], times[0] ?? 0, (times.at(-1) ?? 0) + span.bin * 1000);
  const first = beginningOf(drawn, drawn.slice(0, 1).flatMap(markersFor));
  return charts.map(({ data, error }, index) => {
    const title = sources[index]?.title ?? "";
    if (error !== null) return <Alert key={title} type="info" showIcon title={absence(error)} />;
    if (data === undefined) return <Spin key={title} />;
    const chart = since(data, first);
    return <ChartPicture key={title} chart={chart} markers={markersFor(chart)} tells={index === 0} pointed={pointed} onPoint={setPointed} />;
  });
}
