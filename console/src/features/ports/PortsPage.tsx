/** Ports of a project: network, addresses, groups; made, changed and taken away with their addresses. */

import { PlusOutlined } from "@ant-design/icons";
import { Alert, Button, Empty, Input, Spin, Table } from "antd";
import { useDeferredValue, useState } from "react";
import { Link, useSearchParams } from "react-router";

import { useRight } from "../../api/session";
import { useConsole } from "../../app/context";
import { ObjectPicker } from "../../forms/ObjectPicker";
import { type ConfigObject, lastName } from "../../model/document";
import { PortEditor } from "./PortEditor";
import { mirrorOf, NO_MIRROR, type Port, portOf } from "./ports";
import { type Ports, usePorts } from "./usePorts";

const shortName = (name: string) => lastName(name.split(":"));

export function PortsPage() {
  const [search, setSearch] = useSearchParams();
  const project = (search.get("project") ?? "").split(":").filter(Boolean);
  const words = search.get("q") ?? "";
  const found = usePorts(project, useDeferredValue(words.trim()));
  const set = (part: Record<string, string>) => setSearch({ project: project.join(":"), q: words, ...part }, { replace: true });
  return (
    <div className="page">
      <div className="page-head">
        <h1>Ports</h1>
        <span className="form-note">Where workloads are plugged in: network, addresses, what may pass</span>
      </div>
      <div className="strip">
        <div style={{ width: 300 }}><ObjectPicker id="project" type="project" label="Project" value={project} onChange={(name) => set({ project: name.join(":"), q: "" })} /></div>
        {project.length > 0 && <Input allowClear aria-label="Ports by a part of their name" placeholder="Part of a port's name" style={{ width: 240 }} value={words} onChange={(event) => set({ q: event.target.value })} />}
      </div>
      {found.isError && <Alert type="error" showIcon title={found.error.message} />}
      {project.length === 0 && <Empty image={Empty.PRESENTED_IMAGE_SIMPLE} description="Choose a project: its ports are shown with their addresses." />}
      {found.isLoading && <Spin />}
      {found.data !== undefined && <Listed key={project.join(":")} found={found.data} project={project} words={words} />}
    </div>
  );
}

interface ListedProps {
  readonly found: Ports;
  readonly project: readonly string[];
  readonly words: string;
}

const NO_ADDRESSES: readonly ConfigObject[] = [];

function Listed({ found, project, words }: ListedProps) {
  const { identity } = useConsole();
  const right = useRight(identity, "virtual-machine-interface", "create");
  const [chosen, setChosen] = useState<ConfigObject | "new" | null>(null);
  const { ports, count, addresses } = found;
  const held = (port: ConfigObject) => addresses.get(port.uuid) ?? NO_ADDRESSES;
  const rows = ports.map((object) => ({ object, port: portOf(object, held(object)) }));
  return (
    <>
      {rows.length > 0 && (
        <Table
          size="small"
          aria-label="Ports"
          rowKey={({ port }) => port.uuid}
          pagination={rows.length > 10 ? { pageSize: 10, showSizeChanger: false } : false}
          dataSource={rows}
          columns={[
            { title: "Port", key: "name", render: (_, { port }) => <Link to={`/o/virtual-machine-interface/${port.uuid}`}>{port.name}</Link> },
            { title: "Network", key: "network", render: (_, { port }) => shortName(port.network) },
            { title: "Addresses", key: "addresses", render: (_, { port }) => <span className="mono">{port.addresses.map((each) => each.text).join(", ") || "none"}</span> },
            { title: "Security groups", key: "groups", render: (_, { port }) => port.groups.map(shortName).join(", ") || "no filter" },
            { title: "Beside", key: "beside", render: (_, { port }) => besideText(port) },
            { title: "", key: "open", align: "right", render: (_, { object, port }) => <Button size="small" aria-label={`Open port ${port.name}`} onClick={() => setChosen(object)}>Open</Button> },
          ]}
        />
      )}
      {count > ports.length && <p className="form-note">The first {ports.length} of {count.toLocaleString("en")}: look for others by name, or in the <Link to="/o/virtual-machine-interface">list of all ports</Link>.</p>}
      {chosen === null ? (
        <div>
          {count === 0 && <p className="form-note">{words === "" ? "There is no port in this project yet. A workload gets one in each network that it is in." : "No port of the project has this in its name."}</p>}
          <Button type="primary" icon={<PlusOutlined />} disabled={!right.allowed} title={right.why} onClick={() => setChosen("new")}>New port</Button>
        </div>
      ) : (
        <PortEditor key={chosen === "new" ? "" : chosen.uuid} object={chosen === "new" ? null : chosen} held={chosen === "new" ? NO_ADDRESSES : held(chosen)} project={project} onClose={() => setChosen(null)} />
      )}
    </>
  );
}

/** What is said of a port that most do not have. */
function besideText(port: Port): string {
  return [
    ...(port.isUnpoliced ? ["packet mode"] : []), ...(port.isSecured ? [] : ["senders not checked"]), ...(port.pairs === undefined ? [] : ["further addresses"]),
    ...(port.fatFlows === undefined ? [] : ["merged flows"]), ...(mirrorOf(port).direction === NO_MIRROR ? [] : ["mirrored"]), ...(port.qos === "" ? [] : [`QoS ${shortName(port.qos)}`]),
    ...(port.tables.length === 0 ? [] : [`routes of ${port.tables.map(shortName).join(", ")}`]),
  ].join(", ");
}
