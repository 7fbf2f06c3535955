/** What is wrong now. */

import { useQueryClient } from "@tanstack/react-query";
import { Alert, App, Button, Empty, Table, Tag } from "antd";

import { call } from "../../api/client";
import { isAdministrator } from "../../api/session";
import { useConsole } from "../../app/context";
import { absence, type Alarm, useAlarms } from "./uves";

const SEVERITIES: Readonly<Record<number, readonly [string, string]>> = {
  0: ["red", "critical"],
  1: ["orange", "major"],
  2: ["gold", "minor"],
};

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
      dataSource={(alarms.data ?? []).toSorted((one, other) => one.severity - other.severity)}
      pagination={false}
      locale={{ emptyText: <Empty image={Empty.PRESENTED_IMAGE_SIMPLE} description="No alarm is raised" /> }}
      columns={[
        {
          title: "Severity",
          dataIndex: "severity",
          width: 110,
          render: (severity: number) => {
            const [colour, word] = SEVERITIES[severity] ?? ["default", String(severity)];
            return <Tag color={colour}>{word}</Tag>;
          },
        },
        { title: "What", dataIndex: "type" },
        { title: "Of", key: "of", render: (alarm: Alarm) => <>{alarm.name} <span className="form-note">{alarm.table}</span></> },
        { title: "Means", dataIndex: "description" },
        { title: "Since", dataIndex: "since", render: (since: number) => (since > 0 ? new Date(since).toISOString().slice(0, 19).replace("T", " ") : "") },
        {
          title: "",
          key: "acknowledge",
          render: (alarm: Alarm) =>
            alarm.acknowledged ? (
              <Tag>seen</Tag>
            ) : (
              isAdministrator(identity) && <Button size="small" onClick={() => void acknowledge(alarm)}>Acknowledge</Button>
            ),
        },
      ]}
    />
  );
}
