/** Logs, sessions and flows: any question to history, kept in the page's address. */

import { DownloadOutlined } from "@ant-design/icons";
import { useQuery } from "@tanstack/react-query";
import { Alert, Button, Empty, Segmented, Spin } from "antd";
import { useMemo } from "react";
import { Link, useNavigate, useSearchParams } from "react-router";

import { call, Refused } from "../../api/client";
import { moment } from "../../api/moment";
import { type GridColumn, RowGrid } from "../../grid/RowGrid";
import type { Json } from "../../model/document";
import { NamedDecider } from "../flows/NamedDecider";
import { absence } from "../monitor/uves";
import { download } from "../objects/transfer";
import { QuestionForm } from "./QuestionForm";
import { bodyOf, type ColumnInfo, csvOf, isTime, missing, PRESETS, type Preset, type Question, questionOf, readable, searchOf, showsWays, STATISTICS, valueOf, wayOf } from "./question";

type Row = Readonly<Record<string, Json>>;

export function QueryPage() {
  const [search, setSearch] = useSearchParams();
  const question = questionOf(search);
  const tables = useQuery({
    queryKey: ["history-tables"],
    queryFn: () => call<{ name: string }[]>("GET", "/api/v1/analytics/tables"),
    staleTime: Infinity,
    retry: false,
  });
  const schema = useQuery({
    queryKey: ["history-schema", question.table],
    queryFn: () => call<{ columns: ColumnInfo[] }>("GET", `/api/v1/analytics/table/${encodeURIComponent(question.table)}/schema`),
    enabled: tables.isSuccess,
    staleTime: Infinity,
    retry: false,
  });
  const infos = schema.data?.columns ?? [];
  const found = useQuery({
    queryKey: ["history-rows", search.toString()],
    queryFn: async ({ signal }) =>
      (await call<{ value: Row[] }>("POST", "/api/v1/analytics/query", { body: bodyOf(question, infos, moment.get()), signal })).value,
    enabled: schema.isSuccess && missing(question) === "",
    retry: false,
    staleTime: 0,
  });
  const ask = (next: Question) => {
    const wanted = searchOf(next);
    if (wanted.toString() === search.toString()) void found.refetch();
    else setSearch(wanted);
  };
  const absent = withoutHistory(tables.error);
  return (
    <div className="page">
      <div className="page-head">
        <h1>Logs and flows</h1>
        <span className="form-note" aria-live="polite">{found.data === undefined ? "" : counted(found.data.length, question.limit)}</span>
        <span className="spread" />
        <Exports question={question} rows={found.data ?? []} />
      </div>
      {absent !== "" && <Alert type="info" showIcon title={absent} />}
      {absent === "" && (
        <>
          <Beginnings label="Questions to begin with" presets={PRESETS} question={question} />
          <Beginnings label="Statistics to begin with" presets={STATISTICS} question={question} />
          <QuestionForm
            key={search.toString()}
            question={question}
            tables={(tables.data ?? []).map((each) => each.name)}
            isBusy={found.isFetching}
            onAsk={ask}
          />
          {schema.isError && <Alert type="error" showIcon title={schema.error.message} />}
          {found.isError && <Alert type="error" showIcon role="alert" title={found.error.message} />}
          {found.isLoading && <Spin />}
          {found.data !== undefined && <Rows columns={question.columns} rows={found.data} />}
        </>
      )}
    </div>
  );
}

/** An analytics node that keeps nothing has no tables: it does not know the question. */
interface BeginningsProps {
  readonly label: string;
  readonly presets: readonly Preset[];
  readonly question: Question;
}

function Beginnings({ label, presets, question }: BeginningsProps) {
  const navigate = useNavigate();
  const chosen = presets.find((each) => searchOf(each).toString() === searchOf(question).toString());
  const begin = (title: string) => {
    const preset = presets.find((each) => each.title === title);
    if (preset !== undefined) void navigate(`/query?${searchOf(preset).toString()}`);
  };
  return <Segmented aria-label={label} style={{ alignSelf: "flex-start" }} options={presets.map(({ title }) => title)} value={chosen?.title ?? ""} onChange={begin} />;
}

function withoutHistory(error: Error | null): string {
  const isUnknown = error instanceof Refused && error.status === 404;
  return isUnknown ? "No history is kept: there is no analytics node, or it runs without a store of logs." : absence(error);
}

function counted(count: number, limit: number): string {
  if (count >= limit) return `the first ${limit.toLocaleString("en")}; ask for less or raise the limit`;
  return `${count.toLocaleString("en")} found`;
}

function Rows({ columns, rows }: { readonly columns: readonly string[]; readonly rows: readonly Row[] }) {
  const shown = useMemo(
    () => [
      ...(showsWays(columns) ? [WAY] : []),
      ...columns.map((name): GridColumn<Row> => ({
        name,
        title: TITLES[name] ?? name.replace(/^T=(\d+)$/, "Time, by $1 s"),
        width: widthOf(name),
        render: (row) => (name === RULE ? <NamedDecider rule={String(row[name] ?? "")} /> : <span className={isTime(name) ? "mono" : ""}>{readable(name, valueOf(row, name))}</span>),
        text: (row) => readable(name, valueOf(row, name)),
      })),
    ],
    [columns],
  );
  if (rows.length === 0) return <Empty image={Empty.PRESENTED_IMAGE_SIMPLE} description="Nothing in this time is so. A longer time, or fewer conditions?" />;
  return <RowGrid label="What was found" columns={shown} rows={rows} />;
}

/** Told by its uuid, or in words where none decided. */
const RULE = "security_policy_rule";

/** From what happened to what would happen now, and why. */
const WAY: GridColumn<Row> = {
  name: "way",
  title: "Why",
  width: 70,
  render: (row) => {
    const to = wayOf(row);
    return to === "" ? "" : <Link to={to}>trace</Link>;
  },
};

const TITLES: Readonly<Record<string, string>> = { T: "Time", MessageTS: "Time" };

function widthOf(name: string): number {
  if (isTime(name)) return 205;
  if (name === "Level" || name === "protocol") return 90;
  if (/Xmlmessage|ObjectLog|SystemLog/.test(name)) return 560;
  if (/vn$|vmi$|rule|^SUM/.test(name)) return 210;
  return Math.max(130, name.length * 9);
}

function Exports({ question, rows }: { readonly question: Question; readonly rows: readonly Row[] }) {
  const isOff = rows.length === 0;
  return (
    <>
      <Button icon={<DownloadOutlined />} disabled={isOff} onClick={() => download(`${question.table}.csv`, csvOf(question.columns, rows), "text/csv")}>
        CSV
      </Button>
      <Button icon={<DownloadOutlined />} disabled={isOff} onClick={() => download(`${question.table}.json`, `${JSON.stringify(rows, null, 2)}\n`)}>
        JSON
      </Button>
    </>
  );
}
