/** Every process that tells of itself, and whether it is well. */

import { Alert, Table, Tag } from "antd";

import { absence, type Process, processesOf, useUves } from "./uves";

const MIB = 1024 * 1024;

export function useProcesses(): { processes: Process[]; error: Error | null; isLoading: boolean } {
  const config = useUves("config-node");
  const control = useUves("control-node");
  const vrouter = useUves("vrouter");
  const analytics = useUves("analytics-node");
  const all = [
    ...processesOf("controller", config.data ?? []),
    ...processesOf("control node", control.data ?? []),
    ...processesOf("analytics", analytics.data ?? []),
    ...processesOf("host", vrouter.data ?? []),
  ];
  return { processes: all, error: config.error, isLoading: config.isLoading };
}

export function ProcessTable() {
  const { processes, error, isLoading } = useProcesses();
  if (error !== null) return <Alert type="info" showIcon title={absence(error)} />;
  return (
    <Table
      size="small"
      loading={isLoading}
      rowKey="key"
      dataSource={processes}
      pagination={processes.length > 50 ? { pageSize: 50 } : false}
      locale={{ emptyText: "No process has told of itself yet" }}
      columns={[
        { title: "Node", dataIndex: "node", sorter: (one, other) => one.node.localeCompare(other.node) },
        { title: "Kind", dataIndex: "kind" },
        { title: "Process", dataIndex: "module" },
        { title: "State", dataIndex: "state", render: (state: string) => <Tag color={state === "Functional" ? "green" : "red"}>{state}</Tag> },
        { title: "Why", dataIndex: "why" },
        { title: "Memory", dataIndex: "residentBytes", align: "right", render: (bytes: number | null) => (bytes === null ? "" : `${Math.round(bytes / MIB)} MiB`) },
        { title: "CPU time", dataIndex: "cpuSeconds", align: "right", render: (seconds: number | null) => (seconds === null ? "" : `${seconds} s`) },
      ]}
    />
  );
}
