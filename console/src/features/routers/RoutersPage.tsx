/** Logical routers of a project: what they join, by which network they lead out, and an editor of each. */

import { PlusOutlined } from "@ant-design/icons";
import { Alert, Button, Empty, Spin, Table } from "antd";
import { useState } from "react";
import { Link, useSearchParams } from "react-router";

import { useRight } from "../../api/session";
import { useConsole } from "../../app/context";
import { ObjectPicker } from "../../forms/ObjectPicker";
import { lastName } from "../../model/document";
import { EMPTY, type Objects, type Router, routerOf, VXLAN } from "./router";
import { RouterEditor } from "./RouterEditor";
import { useRouters } from "./useRouters";

const shortName = (name: string) => lastName(name.split(":"));

export function RoutersPage() {
  const [search, setSearch] = useSearchParams();
  const project = (search.get("project") ?? "").split(":").filter(Boolean);
  const found = useRouters(project);
  return (
    <div className="page">
      <div className="page-head">
        <h1>Routers</h1>
        <span className="form-note">They join networks without a policy, and lead them out by one address on each host</span>
      </div>
      <div style={{ width: 300 }}>
        <ObjectPicker id="project" type="project" label="Project" value={project} onChange={(name) => setSearch({ project: name.join(":") }, { replace: true })} />
      </div>
      {found.isError && <Alert type="error" showIcon title={found.error.message} />}
      {project.length === 0 && <Empty image={Empty.PRESENTED_IMAGE_SIMPLE} description="Choose a project: its routers are shown with what they join." />}
      {found.isLoading && <Spin />}
      {found.data !== undefined && <Routers key={project.join(":")} objects={found.data} project={project} />}
    </div>
  );
}

function Routers({ objects, project }: { readonly objects: Objects; readonly project: readonly string[] }) {
  const { identity } = useConsole();
  const right = useRight(identity, "logical-router", "create");
  const [chosen, setChosen] = useState<Router | null>(null);
  const routers = objects.routers.map((each) => routerOf(each, objects));
  return (
    <>
      {routers.length > 0 && (
        <Table
          size="small"
          aria-label="Routers"
          rowKey="uuid"
          pagination={routers.length > 10 ? { pageSize: 10 } : false}
          dataSource={routers}
          columns={[
            { title: "Router", key: "name", render: (_, each) => <Link to={`/o/logical-router/${each.uuid}`}>{each.name}</Link> },
            { title: "Joins", key: "joins", render: (_, each) => each.networks.map(shortName).join(", ") || "nothing" },
            { title: "Outside", key: "outside", render: (_, each) => (each.type === VXLAN ? "by physical routers" : shortName(each.external) || "no way out") },
            { title: "Static routes", key: "routes", render: (_, each) => each.tables.map(shortName).join(", ") },
            { title: "", key: "open", align: "right", render: (_, each) => <Button size="small" aria-label={`Open router ${each.name}`} onClick={() => setChosen(each)}>Open</Button> },
          ]}
        />
      )}
      {chosen === null ? (
        <div>
          {routers.length === 0 && <p className="form-note">There is no router in this project yet. It gets a port in each network that it joins.</p>}
          <Button type="primary" icon={<PlusOutlined />} disabled={!right.allowed} title={right.why} onClick={() => setChosen(EMPTY)}>New router</Button>
        </div>
      ) : (
        <RouterEditor key={chosen.uuid} start={chosen} objects={objects} project={project} onClose={() => setChosen(null)} />
      )}
    </>
  );
}
