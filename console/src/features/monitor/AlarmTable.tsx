/** What is wrong now, or was at the moment that is shown. */

import { useQueryClient } from "@tanstack/react-query";
import { Alert, App, Button, Empty, Table, Tag } from "antd";

import { call } from "../../api/client";
import { moment } from "../../api/moment";
import { isAdministrator } from "../../api/session";
import { useConsole } from "../../app/context";
import { AlarmDetail } from "./AlarmDetail";
import { type Alarm, timeText, topOf } from "./alarms";
import { Severity } from "./Severity";
import { absence, useAlarms } from "./uves";

export function AlarmTable() {
  const { identity } = useConsole();
  const { message } = App.useApp();
  const queries = useQueryClient();
  const alarms = useAlarms();
  if (alarms.isError) return <Alert type="info" showIcon title={absence(alarms.error)} />;
  const acknowledge = async ({ table, name, type, token }: Alarm) => {
    try {
      await call("POST", "/api/v1/analytics/alarms/acknowledge", { body: { table, name, type, token } });
      await queries.invalidateQueries({ queryKey: ["alarms"] });
    } catch (error) {
      message.error(error instanceof Error ? error.message : String(error));
    }
  };
  return (
    <Table
      size="small"
      loading={alarms.isLoading}
      rowKey="key"
      dataSource={topOf(alarms.data ?? [])}
      tableLayout="fixed"
      expandable={WHOLE}
      pagination={false}
      locale={{ emptyText: <Empty image={Empty.PRESENTED_IMAGE_SIMPLE} description={alarms.isLoading ? "Asking…" : "No alarm is raised"} /> }}
      columns={[
        {
          title: "Severity",
          dataIndex: "severity",
          width: 110,
          render: (severity: number) => <Severity severity={severity} />,
        },
        {
          title: "What",
          key: "what",
          render: (alarm: Alarm) => <><span title={alarm.type}>{ruleName(alarm.type)}</span> {alarm.following > 0 && <Tag>{alarm.following} more follow from it</Tag>}</>,
        },
        { title: "Of", key: "of", render: (alarm: Alarm) => <>{alarm.name} <span className="form-note">{alarm.table}</span></> },
        { title: "Means", dataIndex: "description" },
        { title: "Since (UTC)", dataIndex: "since", width: 170, render: timeText },
        {
          title: "",
          key: "acknowledge",
          width: 140,
          render: (alarm: Alarm) =>
            alarm.acknowledged ? (
              <Tag>seen{alarm.seenBy === "" ? "" : ` by ${alarm.seenBy}`}</Tag>
            ) : (
              (isAdministrator(identity) || identity.analytics_acknowledges === true) && moment.get() === null && <Button size="small" onClick={() => void acknowledge(alarm)}>Acknowledge</Button>
            ),
        },
      ]}
    />
  );
}

/** Names of rules are long, and begin alike. */
function ruleName(type: string): string {
  return (type.split(":").at(-1) ?? "").replace(/^system-defined-/, "");
}

const WHOLE = { expandedRowRender: detailOf };

function detailOf(alarm: Alarm) {
  return <AlarmDetail alarm={alarm} />;
}
