/** Of one alarm: why it was raised, what follows from it, what was kept of nodes when it was raised. */

import { useQuery } from "@tanstack/react-query";
import { Alert, Table } from "antd";

import { call } from "../../api/client";
import { moment } from "../../api/moment";
import { seesAll } from "../../api/session";
import { useConsole } from "../../app/context";
import { OnlyNow } from "../../app/OnlyNow";
import type { Document } from "../../model/document";
import { type Alarm, followingOf, keptOf, type KeptPage, timeText } from "./alarms";
import { Severity } from "./Severity";
import { absence, useAlarms } from "./uves";

interface Props {
  readonly alarm: Alarm;
}

export function AlarmDetail({ alarm }: Props) {
  const { identity } = useConsole();
  const mayReadPages = seesAll(identity);
  return (
    <div className="page" style={{ padding: 0 }}>
      {alarm.reasons.length > 0 && (
        <section aria-label="Why">
          <h2 style={{ fontSize: 15 }}>Why</h2>
          <ul>{alarm.reasons.map((reason) => <li key={reason} className="mono">{reason}</li>)}</ul>
        </section>
      )}
      {alarm.following > 0 && <Following alarm={alarm} />}
      {mayReadPages && (moment.get() === null ? <Kept alarm={alarm} /> : <OnlyNow what="What was kept of nodes when alarms were raised is there for those of now." />)}
    </div>
  );
}

function Following({ alarm }: Props) {
  const alarms = followingOf(useAlarms().data ?? [], alarm);
  return (
    <section aria-label="What follows from it">
      <h2 style={{ fontSize: 15 }}>What follows from it</h2>
      <Table
        size="small"
        rowKey="key"
        dataSource={alarms}
        pagination={alarms.length > 20 ? { pageSize: 20 } : false}
        columns={[
          { title: "Severity", dataIndex: "severity", width: 110, render: (severity: number) => <Severity severity={severity} /> },
          { title: "What", dataIndex: "type" },
          { title: "Of", key: "of", render: (each: Alarm) => <>{each.name} <span className="form-note">{each.table}</span></> },
          { title: "Since", dataIndex: "since", render: timeText },
        ]}
      />
      {alarms.length < alarm.following && <p className="form-note">{alarm.following} follow from it.</p>}
    </section>
  );
}

function Kept({ alarm }: Props) {
  const found = useQuery({
    queryKey: ["kept", alarm.key, alarm.since],
    queryFn: async () => keptOf(await call<Document>("GET", `/api/v1/analytics/alarms/${encodeURIComponent(alarm.table)}/${encodeURIComponent(alarm.name)}/collected`), alarm),
    retry: false,
  });
  if (found.isError) return <Alert type="info" showIcon title={absence(found.error)} />;
  return (found.data ?? []).map((page) => <KeptTable key={page.title} page={page} />);
}

function KeptTable({ page }: { readonly page: KeptPage }) {
  return (
    <section aria-label={`Kept: ${page.title}`}>
      <h2 style={{ fontSize: 15 }}>{page.title}, as it was when the alarm was raised</h2>
      {page.failures.map((failure) => <Alert key={failure} type="warning" showIcon title={failure} />)}
      {page.rows.length > 0 && (
        // What scrolls has to be reached by keyboard.
        <div tabIndex={0} role="group" aria-label={`Rows of ${page.title}`} style={{ overflowX: "auto" }}>
          <Table<Document>
            size="small"
            rowKey={(_, index) => String(index)}
            dataSource={[...page.rows]}
            style={{ minWidth: "max-content" }}
            pagination={page.rows.length > 10 ? { pageSize: 10, showSizeChanger: false } : false}
            columns={page.columns.map((name) => ({ title: name.replaceAll("_", " "), key: name, render: (_: unknown, row: Document) => <span className="live-cell">{textOf(row[name])}</span> }))}
          />
        </div>
      )}
      {page.rows.length < page.total && <p className="form-note">{page.rows.length} of {page.total} rows were kept.</p>}
    </section>
  );
}

function textOf(value: Document[string]): string {
  if (value === undefined || value === null) return "";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
