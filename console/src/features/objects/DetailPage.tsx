/** One object: what it says, how far it has come, what it is related to, how it was before. */

import { ApartmentOutlined, DeleteOutlined, EditOutlined, ExportOutlined, NodeIndexOutlined } from "@ant-design/icons";
import { useQuery } from "@tanstack/react-query";
import { Alert, Button, Spin, Tabs } from "antd";
import { type ComponentType, lazy, Suspense, useState } from "react";
import { Link, useNavigate, useParams, useSearchParams } from "react-router";

import { read } from "../../api/client";
import { isAdministrator, seesNumbers, usePermissions } from "../../api/session";
import { useConsole } from "../../app/context";
import { NoPage } from "../../app/NoPage";
import { objectType, typeTitle } from "../../model/catalog";
import { type ConfigObject, lastName } from "../../model/document";
import { HistoryTable } from "../history/HistoryTable";
import { DryRun } from "../monitor/DryRun";
import { DeleteMany } from "./BulkActions";
import { Facts } from "./Facts";
import { Related } from "./Related";
import { Conditions } from "./Conditions";
import { Access } from "./tabs/Access";
import { Addresses } from "./tabs/Addresses";
import { Quota } from "./tabs/Quota";
import { Records } from "./tabs/Records";
import { download, exported } from "./transfer";

/** Tabs that types have beside those of all. */
const OF_TYPE: Readonly<Record<string, { readonly key: string; readonly label: string; readonly show: ComponentType<{ readonly object: ConfigObject }> }>> = {
  "virtual-network": { key: "addresses", label: "Addresses", show: Addresses },
  "virtual-DNS": { key: "records", label: "Records", show: Records },
  project: { key: "quota", label: "Quota", show: Quota },
};

/** Types of which numbers over time are told. */
const WITH_CHARTS: ReadonlySet<string> = new Set(["virtual-network", "virtual-machine-interface", "virtual-router"]);
const Charts = lazy(() => import("../charts/Charts").then((m) => ({ default: m.ObjectCharts })));

export function DetailPage() {
  const { type = "", uuid = "" } = useParams();
  const { catalog } = useConsole();
  const found = useQuery({ queryKey: ["object", type, uuid], queryFn: () => read(type, uuid) });
  if (catalog.objects[type] === undefined) return <NoPage what={`There is no object type ${type}.`} />;
  if (found.isError) {
    return (
      <div className="page">
        <Alert type="error" showIcon title={found.error.message} action={<Link to={`/o/${type}`}>All of its type</Link>} />
      </div>
    );
  }
  if (found.data === undefined) return <Spin style={{ margin: 48 }} />;
  return <Detail type={type} object={found.data.object} />;
}

function Detail({ type, object }: { readonly type: string; readonly object: ConfigObject }) {
  const { catalog, identity } = useConsole();
  const [search, setSearch] = useSearchParams();
  const entry = objectType(catalog, type);
  const own = OF_TYPE[type];
  const tabs = [
    { key: "overview", label: "Overview", children: <Facts type={type} object={object} /> },
    ...(own === undefined ? [] : [{ key: own.key, label: own.label, children: <own.show key={object.uuid} object={object} /> }]),
    { key: "related", label: "Related", children: <Related type={type} object={object} /> },
    ...(entry.origin === "compiled" || object["perms2"] === undefined ? [] : [{ key: "access", label: "Access", children: <Access key={JSON.stringify(object["perms2"])} object={object} /> }]),
    ...(WITH_CHARTS.has(type) && seesNumbers(identity, object.fq_name)
      ? [{ key: "traffic", label: "Traffic", children: <Suspense fallback={<Spin />}><Charts type={type} uuid={object.uuid} name={object.fq_name} /></Suspense> }]
      : []),
    ...(isAdministrator(identity)
      ? [{ key: "history", label: "History", children: <HistoryTable object={object.uuid} /> }]
      : []),
    { key: "json", label: "JSON", children: <pre className="json mono" tabIndex={0}>{JSON.stringify(object, null, 2)}</pre> },
  ];
  return (
    <div className="page">
      <div className="page-head">
        <h1>{lastName(object.fq_name)}</h1>
        <span className="form-note">{typeTitle(type)}</span>
        <span className="spread" />
        <Actions type={type} object={object} isCompiled={entry.origin === "compiled"} />
      </div>
      <Conditions type={type} uuid={object.uuid} />
      <Tabs
        activeKey={search.get("tab") ?? "overview"}
        onChange={(tab) => setSearch(tab === "overview" ? {} : { tab }, { replace: true })}
        items={tabs}
        destroyOnHidden
      />
    </div>
  );
}

interface ActionsProps {
  readonly type: string;
  readonly object: ConfigObject;
  readonly isCompiled: boolean;
}

function Actions({ type, object, isCompiled }: ActionsProps) {
  const { identity } = useConsole();
  const navigate = useNavigate();
  const [isDeleting, setIsDeleting] = useState(false);
  const mayWrite = usePermissions(identity, object.uuid).includes("W");
  const save = () => download(`${lastName(object.fq_name)}.json`, `${JSON.stringify([exported(type, object)], null, 2)}\n`);
  const close = (isDone: boolean) => {
    setIsDeleting(false);
    if (isDone) void navigate(`/o/${type}`);
  };
  return (
    <>
      {type === "virtual-machine-interface" && (
        <Button icon={<NodeIndexOutlined />} onClick={() => void navigate(`/trace?from=${encodeURIComponent(object.fq_name.join(":"))}`)}>
          Trace from here
        </Button>
      )}
      {(type === "virtual-network" || type === "logical-router") && (
        <Button icon={<ApartmentOutlined />} onClick={() => void navigate(`/topology?selected=${object.uuid}`)}>
          In the topology
        </Button>
      )}
      {type === "alarm" && <DryRun rule={object} />}
      <Button icon={<ExportOutlined />} onClick={save}>Export</Button>
      {!isCompiled && mayWrite && (
        <>
          <Button danger icon={<DeleteOutlined />} onClick={() => setIsDeleting(true)}>Delete</Button>
          <Button type="primary" icon={<EditOutlined />} onClick={() => void navigate(`/o/${type}/${object.uuid}/edit`)}>
            Edit
          </Button>
        </>
      )}
      {isDeleting && <DeleteMany type={type} uuids={[object.uuid]} onClose={close} />}
    </>
  );
}
