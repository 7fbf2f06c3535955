/** A service that is not there yet: how it works, how many copies it has, who looks after them. */

import { Input, InputNumber, Modal, Segmented, Select } from "antd";
import { useState } from "react";

import { nameFault } from "../../model/check";
import { MODES, shortName, type Wanted } from "./chain";

interface Props {
  readonly checks: readonly string[];
  readonly groups: readonly string[];
  readonly taken: readonly string[];
  readonly onAdd: (wanted: Wanted) => void;
  readonly onClose: () => void;
}

const MEANS: Readonly<Record<string, string>> = {
  "in-network": "It routes between its left and its right port.",
  "in-network-nat": "It routes and sends on with its own address: the right network does not hear of the left one. It is the last of its chain, and only the left begins.",
  transparent: "It bridges between its ports: a wire that looks into what passes.",
};
const COPIES_MAX = 16;

export function NewService({ checks, groups, taken, onAdd, onClose }: Props) {
  const [wanted, setWanted] = useState<Wanted>({ name: "", mode: "in-network", copies: 1, hasStandby: false, check: "", groups: [] });
  const set = (part: Partial<Wanted>) => setWanted({ ...wanted, ...part });
  const fault = nameFault(wanted.name) || (taken.includes(wanted.name) ? "there is a service of this name" : "");
  return (
    <Modal open title="New service" okText="Add to the chain" okButtonProps={{ disabled: fault !== "" }} onOk={() => onAdd(wanted)} onCancel={onClose}>
      <p className="form-note">Its template, a machine for each copy and their ports with addresses in both networks are made together with the chain.</p>
      <div className="form-row">
        <label htmlFor="service-name">Name</label>
        <div>
          <Input id="service-name" autoFocus value={wanted.name} onChange={(event) => set({ name: event.target.value })} />
          {wanted.name !== "" && fault !== "" && <div className="form-fault" role="alert">{fault}</div>}
        </div>
      </div>
      <div className="form-row">
        <span id="service-mode">Mode</span>
        <div>
          <Segmented aria-labelledby="service-mode" options={[...MODES]} value={wanted.mode} onChange={(mode) => set({ mode })} />
          <div className="form-note">{MEANS[wanted.mode]}</div>
        </div>
      </div>
      <div className="form-row">
        <label htmlFor="service-copies">Copies</label>
        <InputNumber id="service-copies" min={1} max={COPIES_MAX} precision={0} value={wanted.copies} onChange={(copies) => set({ copies: copies ?? 1 })} />
      </div>
      {wanted.copies > 1 && (
        <div className="form-row">
          <span id="service-share">Which of them work</span>
          <Segmented aria-labelledby="service-share" options={["all share the load", "the first; others stand by"]} value={wanted.hasStandby ? "the first; others stand by" : "all share the load"} onChange={(next) => set({ hasStandby: next !== "all share the load" })} />
        </div>
      )}
      <div className="form-row">
        <label htmlFor="service-check">Health check</label>
        <Select id="service-check" allowClear value={wanted.check || null} placeholder="none" style={{ width: "100%" }} notFoundContent="The project has no health checks" options={checks.map((name) => ({ value: name, label: shortName(name) }))} onChange={(next: string | undefined) => set({ check: next ?? "" })} />
      </div>
      <div className="form-row">
        <label htmlFor="service-groups">Security groups</label>
        <div>
          <Select id="service-groups" mode="multiple" value={[...wanted.groups]} placeholder="none: nothing is filtered" style={{ width: "100%" }} optionFilterProp="label" notFoundContent="The project has no security groups" options={groups.map((name) => ({ value: name, label: shortName(name) }))} onChange={(next: string[]) => set({ groups: next })} />
          <div className="form-note">Of the ports of all copies: their rules hold for what passes the service, too.</div>
        </div>
      </div>
    </Modal>
  );
}
