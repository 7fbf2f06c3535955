/** One floating address: the port it leads to, which of its ports pass, in which direction; or a new one of a pool. */

import { Alert, Button, Input, Popconfirm, Segmented, Select, Switch } from "antd";
import { useState } from "react";

import { useRight } from "../../api/session";
import { useConsole } from "../../app/context";
import { LISTS } from "../../forms/lists";
import { ListTable } from "../../forms/ListTable";
import { useSaving } from "../../forms/useSaving";
import { type ConfigObject, nameWithin } from "../../model/document";
import { PlanPreview } from "../objects/PlanPreview";
import { allocation, changeOf, DIRECTIONS, EMPTY, faultsOf, type Floating, floatingOf } from "./floating";
import { type Objects, useOwnAddresses } from "./useFloating";

const MAPPINGS = LISTS["floating-ip floating_ip_port_mappings"];

interface Props {
  readonly object: ConfigObject | null;
  readonly objects: Objects;
  readonly project: readonly string[];
  readonly onClose: () => void;
}

export function FloatingEditor({ object, objects, project, onClose }: Props) {
  const { identity } = useConsole();
  const [name] = useState(() => crypto.randomUUID());
  const [floating, setFloating] = useState<Floating>(() => (object === null ? EMPTY : floatingOf(object)));
  const { told, isBusy, run, forget } = useSaving("Somebody changed this address meanwhile: close, and look at it again", onClose);
  const right = useRight(identity, "floating-ip", object === null ? "create" : "update");
  const faults = faultsOf(floating);
  const operations = faults.length > 0 ? [] : object === null ? [allocation(floating, project, name)] : changeOf(floating, object);
  return (
    <section className="form-wide" aria-label="Floating IP">
      <div className="page-head">
        <h2>{object === null ? "New floating IP" : floating.address}</h2>
        <span className="spread" />
        {object !== null && (
          <Popconfirm title="Give the address back to its pool? Somebody else may get it." okText="Give it back" onConfirm={() => void run([{ op: "delete", type: "floating-ip", uuid: object.uuid }], "Given back")}>
            <Button danger disabled={!right.allowed || isBusy}>Release</Button>
          </Popconfirm>
        )}
        <Button onClick={onClose}>Close</Button>
        <PlanPreview operations={operations} disabled={operations.length === 0} />
        <Button type="primary" loading={isBusy} disabled={operations.length === 0 || !right.allowed} onClick={() => void run(operations, "Saved")}>{object === null ? "Take it" : "Save"}</Button>
      </div>
      <Members floating={floating} project={project} isNew={object === null} objects={objects} disabled={!right.allowed} onChange={(part) => { setFloating({ ...floating, ...part }); forget(); }} />
      {faults.map((fault) => <div key={fault} className="form-fault" role="alert">{fault}</div>)}
      {told !== "" && <Alert type="error" showIcon role="alert" title={told} />}
    </section>
  );
}

interface MembersProps {
  readonly floating: Floating;
  readonly project: readonly string[];
  readonly isNew: boolean;
  readonly objects: Objects;
  readonly disabled: boolean;
  readonly onChange: (part: Partial<Floating>) => void;
}

function Members({ floating, project, isNew, objects, disabled, onChange }: MembersProps) {
  const own = useOwnAddresses(floating.ports.length === 1 ? (floating.ports[0] ?? "") : "").data ?? [];
  const pools = objects.pools.items.map((each) => ({ value: each.fq_name.join(":"), label: each.fq_name.slice(1).join(" › ") }));
  const ports = [...new Set([...objects.ports.items.map((each) => each.fq_name.join(":")), ...floating.ports])];
  return (
    <>
      {isNew && (
        <>
          <div className="form-row"><label htmlFor="floating-pool">Pool</label><Select id="floating-pool" showSearch={{ optionFilterProp: "label" }} style={{ width: "100%" }} value={floating.pool || null} placeholder="Choose a pool" options={pools} notFoundContent="There is no pool: add one to a network outside" onChange={(pool: string) => onChange({ pool })} /></div>
          <div className="form-row"><label htmlFor="floating-address">Address</label><Input id="floating-address" className="mono" value={floating.address} placeholder="any that is free" onChange={(event) => onChange({ address: event.target.value })} /></div>
        </>
      )}
      <div className="form-row">
        <label htmlFor="floating-port">Ports</label>
        <div>
          <Select id="floating-port" mode="multiple" disabled={disabled} optionFilterProp="label" style={{ width: "100%" }} value={[...floating.ports]} placeholder="none yet" options={ports.map((value) => ({ value, label: nameWithin(value, project) }))} notFoundContent="The project has no ports" onChange={(next: string[]) => onChange({ ports: next, fixed: "" })} />
          {floating.ports.length > 1 && <div className="form-note">Connections from outside are shared out among them; each goes out by the address too.</div>}
        </div>
      </div>
      {floating.ports.length === 1 && (own.length > 1 || floating.fixed !== "") && (
        <div className="form-row"><label htmlFor="floating-fixed">Address of the port</label><Select id="floating-fixed" allowClear disabled={disabled} style={{ width: "100%" }} value={floating.fixed || null} placeholder="the first one" options={[...new Set([...own, ...(floating.fixed === "" ? [] : [floating.fixed])])].map((value) => ({ value, label: value }))} onChange={(fixed: string | undefined) => onChange({ fixed: fixed ?? "" })} /></div>
      )}
      <div className="form-row"><span id="floating-direction">Translated</span><Segmented aria-labelledby="floating-direction" disabled={disabled} options={DIRECTIONS.map((value) => ({ value, label: value === "both" ? "both ways" : value === "ingress" ? "in only" : "out only" }))} value={floating.direction} onChange={(direction) => onChange({ direction })} /></div>
      <div className="form-row">
        <label htmlFor="floating-mapped">Only some ports</label>
        <div>
          <Switch id="floating-mapped" disabled={disabled} checked={floating.isMapped} onChange={(isMapped) => onChange({ isMapped })} />
          {floating.isMapped && MAPPINGS !== undefined && <ListTable spec={MAPPINGS} name="floating_ip_port_mappings" value={floating.mappings} path={["floating_ip_port_mappings"]} faults={NONE} disabled={disabled} onChange={(mappings) => onChange({ mappings })} />}
        </div>
      </div>
    </>
  );
}

const NONE: ReadonlyMap<string, string> = new Map();
