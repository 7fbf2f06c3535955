/** What one router joins, by which network it leads out, and which static routes its networks get. */

import { Alert, Button, Input, Popconfirm, Segmented, Select } from "antd";
import { useState } from "react";
import { Link } from "react-router";

import { useRight } from "../../api/session";
import { useConsole } from "../../app/context";
import { useSaving } from "../../forms/useSaving";
import { nameWithin } from "../../model/document";
import { PlanPreview } from "../objects/PlanPreview";
import { faultsOf, type Objects, operationsOf, removal, type Router, routesOf, SNAT, VXLAN, warningsOf } from "./router";
import { UNDERLAY, useNetworks, useWaysOut } from "./useRouters";

interface Props {
  readonly start: Router;
  readonly objects: Objects;
  readonly project: readonly string[];
  readonly onClose: () => void;
}

const KINDS = [{ value: SNAT, label: "leads out by a network" }, { value: VXLAN, label: "extended to the fabric by VXLAN" }];

export function RouterEditor({ start, objects, project, onClose }: Props) {
  const { identity } = useConsole();
  const [router, setRouter] = useState(start);
  const { told, isBusy, run, forget } = useSaving("Somebody changed this router meanwhile: close, and look at it again", onClose);
  const isNew = start.uuid === "";
  const right = useRight(identity, "logical-router", isNew ? "create" : "update");
  const faults = faultsOf(router, objects);
  const operations = faults.length > 0 ? [] : operationsOf(router, objects, project, () => crypto.randomUUID());
  const set = (part: Partial<Router>) => {
    setRouter({ ...router, ...part });
    forget();
  };
  return (
    <section className="form-wide" aria-label="Router">
      <div className="page-head">
        <h2>{isNew ? "New router" : start.name}</h2>
        <span className="spread" />
        {!isNew && (
          <Popconfirm title="Delete the router with its ports? Its networks stay." okText="Delete it" onConfirm={() => void run(removal(start, objects), "Deleted")}>
            <Button danger disabled={!right.allowed || isBusy}>Delete router</Button>
          </Popconfirm>
        )}
        <Button onClick={onClose}>Close</Button>
        <PlanPreview operations={operations} disabled={operations.length === 0} />
        <Button type="primary" loading={isBusy} disabled={operations.length === 0 || !right.allowed} onClick={() => void run(operations, "Saved")}>{isNew ? "Create router" : "Save router"}</Button>
      </div>
      {isNew && (
        <>
          <div className="form-row"><label htmlFor="router-name">Name</label><Input id="router-name" value={router.name} onChange={(event) => set({ name: event.target.value })} /></div>
          <div className="form-row"><span id="router-kind">Kind</span><Segmented aria-labelledby="router-kind" options={KINDS} value={router.type} onChange={(type) => set({ type, ...(type === VXLAN ? { external: "" } : {}) })} /></div>
        </>
      )}
      <Members router={router} objects={objects} project={project} disabled={!right.allowed} onChange={set} />
      {faults.filter(() => router !== start).map((fault) => <div key={fault} className="form-fault" role="alert">{fault}</div>)}
      {faults.length === 0 && warningsOf(router).map((warning) => <div key={warning} className="form-note">{warning}</div>)}
      {told !== "" && <Alert type="error" showIcon role="alert" title={told} />}
    </section>
  );
}

interface MembersProps {
  readonly router: Router;
  readonly objects: Objects;
  readonly project: readonly string[];
  readonly disabled: boolean;
  readonly onChange: (part: Partial<Router>) => void;
}

function Members({ router, objects, project, disabled, onChange }: MembersProps) {
  const networks = useNetworks(project).data ?? { own: [], outside: [] };
  const options = (names: readonly string[]) => [...new Set(names)].map((value) => ({ value, label: nameWithin(value, project) }));
  const tables = new Map(objects.tables.map((each) => [each.fq_name.join(":"), each]));
  const routes = router.tables.flatMap((each) => routesOf(tables.get(each)));
  return (
    <>
      <div className="form-row">
        <label htmlFor="router-networks">Networks that it joins</label>
        <div>
          <Select id="router-networks" mode="multiple" disabled={disabled} style={{ width: "100%" }} optionFilterProp="label" value={[...router.networks]} options={options([...networks.own, ...router.networks])} notFoundContent="The project has no networks" onChange={(next: string[]) => onChange({ networks: next })} />
          <div className="form-note">A port of the router is made in each, and taken away when the network goes.</div>
        </div>
      </div>
      {router.type === SNAT && (
        <div className="form-row">
          <label htmlFor="router-outside">Network outside</label>
          <div>
            <Select id="router-outside" allowClear disabled={disabled} style={{ width: "100%" }} showSearch={{ optionFilterProp: "label" }} value={router.external || null} placeholder="no way out" options={options([...networks.outside, ...(router.external === "" ? [] : [router.external])])} onChange={(next: string | undefined) => onChange({ external: next ?? "" })} />
            <WaysOut external={router.external} />
          </div>
        </div>
      )}
      <div className="form-row">
        <label htmlFor="router-tables">Static routes of</label>
        <div>
          <Select id="router-tables" mode="multiple" disabled={disabled} style={{ width: "100%" }} optionFilterProp="label" value={[...router.tables]} placeholder="no route table" options={options([...tables.keys(), ...router.tables])} notFoundContent="The project has no route tables" onChange={(next: string[]) => onChange({ tables: next })} />
          {routes.map(({ prefix, nextHop }) => <div key={`${prefix} ${nextHop}`} className="mono">{prefix} → {nextHop}</div>)}
          <div className="form-note"><Link to={`/o/route-table/new?parent_type=project&parent=${encodeURIComponent(project.join(":"))}`}>New route table</Link></div>
        </div>
      </div>
    </>
  );
}

/** By which addresses the networks' workloads leave. */
function WaysOut({ external }: { readonly external: string }) {
  const { data, error } = useWaysOut(external);
  if (external === "") return <div className="form-note">Networks that are marked as external are offered, and the underlay.</div>;
  if (external === UNDERLAY) return <div className="form-note">Workloads leave by the address of their host.</div>;
  if (error !== null) return <Alert type="warning" showIcon title={error.message} />;
  if (data === undefined) return null;
  if (data.length === 0) return <div className="form-note">No host has an address there yet: each that runs workloads of the networks gets one.</div>;
  return (
    <ul aria-label="Addresses by which workloads leave" className="plain">
      {data.map(({ address, uuid, host, hostName }) => (
        <li key={uuid}>
          <Link className="mono" to={`/o/instance-ip/${uuid}`}>{address || "no address yet"}</Link> of workloads on <Link to={`/o/virtual-router/${host}`}>{hostName || host}</Link>
        </li>
      ))}
    </ul>
  );
}
