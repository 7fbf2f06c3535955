/** Every process of every node: whether it is well, its version, what it uses. */

import { Alert, Input, Table, Tag } from "antd";
import { useState } from "react";
import { Link } from "react-router";

import { moment } from "../../api/moment";
import { OnlyNow } from "../../app/OnlyNow";
import { bytesText } from "../../model/units";
import { durationText, type Health, placeOf, type Process, useProcesses } from "./processes";
import { absence, NOT_KEPT } from "./uves";

const COLOURS: Readonly<Record<Health, string>> = { Functional: "green", "Non-Functional": "red", "No answer": "red", "Not connected": "orange" };

export function HealthTag({ health }: { readonly health: Health }) {
  return <Tag color={COLOURS[health]}>{health}</Tag>;
}

const cpuText = ({ cpuPercent, cpuSeconds }: Process) => (cpuSeconds === null ? "" : `${cpuPercent === null ? "–" : `${cpuPercent.toFixed(1)} %`}`);
const few = (one: number | null, other: number | null) => (one ?? -1) - (other ?? -1);
const MANY = 20;

export function ProcessTable() {
  return moment.get() === null ? <Processes /> : <OnlyNow what={NOT_KEPT} />;
}

function Processes() {
  const { processes, error, isLoading } = useProcesses();
  const [wanted, setWanted] = useState("");
  if (error !== null) return <Alert type="info" showIcon title={absence(error)} />;
  const versions = new Set(processes.map(({ version }) => version).filter((version) => version !== ""));
  const shown = processes.filter(({ node, process, kind, health }) => `${node} ${process} ${kind} ${health}`.toLowerCase().includes(wanted.toLowerCase()));
  return (
    <>
      {versions.size > 1 && <Alert type="warning" showIcon title={`${versions.size} versions run: ${[...versions].toSorted().join(", ")}`} />}
      {processes.length > MANY && (
        <Input.Search allowClear aria-label="Processes that hold" placeholder="node, process, kind or state" style={{ maxWidth: 360 }} onChange={(event) => setWanted(event.target.value)} />
      )}
      <Table
        size="small"
        loading={isLoading}
        rowKey="key"
        dataSource={shown}
        pagination={shown.length > 50 ? { pageSize: 50, showSizeChanger: false } : false}
        locale={{ emptyText: isLoading ? "Asking…" : "No process has told of itself yet" }}
        scroll={{ x: "max-content" }}
        columns={[
          { title: "Node", dataIndex: "node", sorter: (one, other) => one.node.localeCompare(other.node), render: (node: string, { process }) => (process === "" ? node : <Link to={placeOf(node, process)}>{node}</Link>) },
          { title: "Kind", dataIndex: "kind", sorter: (one, other) => one.kind.localeCompare(other.kind) },
          { title: "Process", dataIndex: "process" },
          { title: "State", dataIndex: "health", sorter: (one, other) => one.health.localeCompare(other.health), render: (health: Health) => <HealthTag health={health} /> },
          ...(shown.some(({ why }) => why !== "") ? [{ title: "Why", dataIndex: "why" }] : []),
          { title: "Version", dataIndex: "version" },
          { title: "Runs for", dataIndex: "uptimeS", align: "right", sorter: (one, other) => few(one.uptimeS, other.uptimeS), render: durationText },
          { title: "Memory", dataIndex: "residentBytes", align: "right", sorter: (one, other) => few(one.residentBytes, other.residentBytes), render: (bytes: number | null) => (bytes === null ? "" : bytesText(bytes)) },
          { title: "Processor", key: "cpu", align: "right", sorter: (one, other) => few(one.cpuPercent, other.cpuPercent), render: (_, row) => cpuText(row) },
          { title: "Processor time", dataIndex: "cpuSeconds", align: "right", sorter: (one, other) => few(one.cpuSeconds, other.cpuSeconds), render: (seconds: number | null) => (seconds === null ? "" : `${Math.round(seconds)} s`) },
        ]}
      />
    </>
  );
}
