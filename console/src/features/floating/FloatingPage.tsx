/** Floating addresses of a project: pool, address, port; taken, led to a port, given back. */

import { PlusOutlined } from "@ant-design/icons";
import { Alert, Button, Empty, Spin, Table } from "antd";
import { useState } from "react";
import { Link, useSearchParams } from "react-router";

import { useRight } from "../../api/session";
import { useConsole } from "../../app/context";
import { ObjectPicker } from "../../forms/ObjectPicker";
import { type ConfigObject, lastName, namesOf } from "../../model/document";
import { floatingOf, mappingsText } from "./floating";
import { FloatingEditor } from "./FloatingEditor";
import { type Objects, useFloating } from "./useFloating";

const MEANS: Readonly<Record<string, string>> = { both: "both ways", ingress: "in only", egress: "out only" };

export function FloatingPage() {
  const [search, setSearch] = useSearchParams();
  const project = (search.get("project") ?? "").split(":").filter(Boolean);
  const found = useFloating(project);
  return (
    <div className="page">
      <div className="page-head">
        <h1>Floating IPs</h1>
        <span className="form-note">Addresses of a network outside that stand for ports of private ones</span>
      </div>
      <div style={{ width: 300 }}>
        <ObjectPicker id="project" type="project" label="Project" value={project} onChange={(name) => setSearch({ project: name.join(":") }, { replace: true })} />
      </div>
      {found.isError && <Alert type="error" showIcon title={found.error.message} />}
      {project.length === 0 && <Empty image={Empty.PRESENTED_IMAGE_SIMPLE} description="Choose a project: the addresses that are its to use are shown." />}
      {found.isLoading && <Spin />}
      {found.data !== undefined && <Addresses key={project.join(":")} objects={found.data} project={project} />}
    </div>
  );
}

function Addresses({ objects, project }: { readonly objects: Objects; readonly project: readonly string[] }) {
  const { identity } = useConsole();
  const right = useRight(identity, "floating-ip", "create");
  const [chosen, setChosen] = useState<ConfigObject | "new" | null>(null);
  const { items, count } = objects.addresses;
  return (
    <>
      {items.length > 0 && <Table
        size="small"
        aria-label="Floating IPs"
        rowKey="uuid"
        pagination={items.length > 10 ? { pageSize: 10, showSizeChanger: false } : false}
        dataSource={[...items]}
        columns={[
          { title: "Address", key: "address", render: (_, each) => <Link className="mono" to={`/o/floating-ip/${each.uuid}`}>{floatingOf(each).address}</Link> },
          { title: "Of", key: "pool", render: (_, each) => each.fq_name.slice(-3, -1).join(" › ") },
          { title: "Leads to", key: "port", render: (_, each) => [namesOf(each["virtual_machine_interface_refs"]).map((name) => lastName(name.split(":"))).join(", ") || "none", floatingOf(each).fixed].filter(Boolean).join(" at ") },
          { title: "Ports that pass", key: "mapped", render: (_, each) => mappingsText(floatingOf(each)) },
          { title: "Translated", key: "direction", render: (_, each) => MEANS[floatingOf(each).direction] ?? floatingOf(each).direction },
          { title: "", key: "open", align: "right", render: (_, each) => <Button size="small" aria-label={`Open ${floatingOf(each).address}`} onClick={() => setChosen(each)}>Open</Button> },
        ]}
      />}
      {count > items.length && <p className="form-note">The first {items.length} of {count}; <Link to={`/o/floating-ip?q=project_refs:eq:${project.join(":")}`}>all of them</Link></p>}
      {chosen === null ? (
        <div>
          {items.length === 0 && <p className="form-note">The project has no floating address yet. It takes one from a pool of a network outside.</p>}
          <Button type="primary" icon={<PlusOutlined />} disabled={!right.allowed} title={right.why} onClick={() => setChosen("new")}>Take an address</Button>
        </div>
      ) : (
        <FloatingEditor key={chosen === "new" ? "" : chosen.uuid} object={chosen === "new" ? null : chosen} objects={objects} project={project} onClose={() => setChosen(null)} />
      )}
    </>
  );
}
