/** The table, columns, conditions and time of a question. */

import { DeleteOutlined, PlayCircleOutlined, PlusOutlined } from "@ant-design/icons";
import { useQuery } from "@tanstack/react-query";
import { AutoComplete, Button, Input, Select } from "antd";
import { type FormEvent, useState } from "react";

import { call } from "../../api/client";
import { RANGES } from "../../api/moment";
import { choicesOf, type ColumnInfo, type Match, missing, OPERATIONS, type Question } from "./question";

interface Props {
  readonly question: Question;
  readonly tables: readonly string[];
  readonly isBusy: boolean;
  readonly onAsk: (question: Question) => void;
}

const SIDES = [{ value: "client", label: "of clients" }, { value: "server", label: "of servers" }];
const LIMITS = [100, 1000, 10_000, 100_000];

export function QuestionForm({ question, tables, isBusy, onAsk }: Props) {
  const [now, setNow] = useState(question);
  const set = (part: Partial<Question>) => setNow((before) => ({ ...before, ...part }));
  const schema = useQuery({
    queryKey: ["history-schema", now.table],
    queryFn: () => call<{ columns: ColumnInfo[] }>("GET", `/api/v1/analytics/table/${encodeURIComponent(now.table)}/schema`),
    staleTime: Infinity,
    retry: false,
  });
  const columns = schema.data?.columns ?? [];
  const choices = choicesOf(now.table, columns);
  const lack = missing(now);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (lack === "") onAsk(now);
  };
  const put = (index: number, part: Partial<Match>) =>
    set({ matches: now.matches.map((each, at) => (at === index ? { ...each, ...part } : each)) });
  return (
    <form className="query" aria-label="Question" onSubmit={submit}>
      <div className="strip">
        <Select
          aria-label="Table"
          showSearch
          value={now.table}
          style={{ width: 230 }}
          options={tables.map((value) => ({ value, label: value }))}
          onChange={(table: string) => set({ table, columns: [], matches: [], sort: "", side: table.startsWith("SessionSeries") ? "client" : "" })}
        />
        <Select
          aria-label="Columns"
          mode="multiple"
          maxTagCount="responsive"
          value={[...now.columns]}
          placeholder="Columns"
          style={{ flex: 1, minWidth: 260 }}
          options={choices.map((value) => ({ value, label: value }))}
          onChange={(next: string[]) => set({ columns: next })}
        />
      </div>
      {now.matches.map((match, index) => (
        // oxlint-disable-next-line react/no-array-index-key -- conditions have no names of their own
        <div className="strip" key={index} role="group" aria-label={`Condition ${index + 1}`}>
          <Select
            aria-label={`Column of condition ${index + 1}`}
            showSearch
            value={match.name || null}
            placeholder="Column"
            style={{ width: 230 }}
            options={columns.map(({ name }) => ({ value: name, label: name }))}
            onChange={(name: string) => put(index, { name })}
          />
          <Select
            aria-label={`Comparison of condition ${index + 1}`}
            value={match.op}
            style={{ width: 120 }}
            options={OPERATIONS.map((each) => ({ ...each }))}
            onChange={(op: number) => put(index, { op })}
          />
          <Input aria-label={`Value of condition ${index + 1}`} value={match.value} style={{ width: 280 }} onChange={(event) => put(index, { value: event.target.value })} />
          <Button
            icon={<DeleteOutlined />}
            aria-label={`Remove condition ${index + 1}`}
            onClick={() => set({ matches: now.matches.filter((_, at) => at !== index) })}
          />
        </div>
      ))}
      <div className="strip">
        <Button icon={<PlusOutlined />} onClick={() => set({ matches: [...now.matches, { name: "", op: 1, value: "" }] })}>Condition</Button>
        <label className="form-note" htmlFor="from">since</label>
        <AutoComplete id="from" value={now.from} style={{ width: 90 }} options={RANGES.map((each) => ({ ...each }))} onChange={(from: string) => set({ from })} />
        <label className="form-note" htmlFor="to">until</label>
        <AutoComplete id="to" value={now.to} style={{ width: 70 }} options={[{ value: "now" }]} onChange={(to: string) => set({ to })} />
        <label className="form-note" htmlFor="sort">by</label>
        <Select
          id="sort"
          allowClear
          value={now.sort || null}
          style={{ width: 150 }}
          options={now.columns.map((value) => ({ value, label: value }))}
          onChange={(sort: string | null | undefined) => set({ sort: sort ?? "" })}
        />
        <Select
          aria-label="Order"
          value={now.isAscending}
          style={{ width: 122 }}
          options={[{ value: false, label: "largest first" }, { value: true, label: "smallest first" }]}
          onChange={(isAscending: boolean) => set({ isAscending })}
        />
        <Select
          aria-label="At most"
          value={now.limit}
          style={{ width: 125 }}
          options={LIMITS.map((value) => ({ value, label: `at most ${value.toLocaleString("en")}` }))}
          popupMatchSelectWidth={false}
          onChange={(limit: number) => set({ limit })}
        />
        {now.table.startsWith("Session") && (
          <Select
            aria-label="Side"
            allowClear={now.table !== "SessionSeriesTable"}
            placeholder="of both sides"
            value={now.side || null}
            style={{ width: 120 }}
            options={SIDES}
            onChange={(side: string | null | undefined) => set({ side: side ?? "" })}
          />
        )}
        <Button type="primary" htmlType="submit" icon={<PlayCircleOutlined />} disabled={lack !== ""} loading={isBusy}>Ask</Button>
        {lack !== "" && <span className="form-note" role="status">{lack}</span>}
      </div>
    </form>
  );
}
