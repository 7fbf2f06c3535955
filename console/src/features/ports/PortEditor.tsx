/** One port with its addresses, and what is asked of its traffic; saved as one transaction. */

import { Alert, Button, Popconfirm, Tabs } from "antd";
import { useState } from "react";

import { useRight } from "../../api/session";
import { useConsole } from "../../app/context";
import { FAT_FLOWS, PAIRS } from "../../forms/ports";
import { ListTable } from "../../forms/ListTable";
import { useSaving } from "../../forms/useSaving";
import type { ConfigObject } from "../../model/document";
import { PlanPreview } from "../objects/PlanPreview";
import { MirrorForm } from "./MirrorForm";
import { PortMembers } from "./PortMembers";
import { EMPTY, faultsOf, operationsOf, type Port, portOf, removal, warningsOf } from "./ports";
import { useChoices } from "./usePorts";

interface Props {
  readonly object: ConfigObject | null;
  /** Addresses that the port has. */
  readonly held: readonly ConfigObject[];
  readonly project: readonly string[];
  readonly onClose: () => void;
}

const NONE: ReadonlyMap<string, string> = new Map();
const NO_CHOICES = { groups: [], tables: [], qos: [], analyzers: [] };

export function PortEditor({ object, held, project, onClose }: Props) {
  const { identity } = useConsole();
  const [start] = useState(() => ({ held, port: object === null ? EMPTY : portOf(object, held) }));
  const [port, setPort] = useState<Port>(start.port);
  const { told, isBusy, run, forget } = useSaving("Somebody changed this port meanwhile: close, and look at it again", onClose);
  const right = useRight(identity, "virtual-machine-interface", object === null ? "create" : "update");
  const choices = useChoices(project).data ?? NO_CHOICES;
  const faults = faultsOf(port);
  const operations = faults.length > 0 ? [] : operationsOf(port, object, start.held, project, () => crypto.randomUUID());
  const set = (part: Partial<Port>) => {
    setPort({ ...port, ...part });
    forget();
  };
  const common = { path: [], faults: NONE, disabled: !right.allowed };
  return (
    <section className="form-wide" aria-label="Port">
      <div className="page-head">
        <h2>{object === null ? "New port" : port.name}</h2>
        <span className="spread" />
        {object !== null && (
          <Popconfirm title="Delete the port with its addresses? Its workload is cut off." okText="Delete it" onConfirm={() => void run(removal(object, start.held), "Deleted")}>
            <Button danger disabled={!right.allowed || isBusy}>Delete port</Button>
          </Popconfirm>
        )}
        <Button onClick={onClose}>Close</Button>
        <PlanPreview operations={operations} disabled={operations.length === 0} />
        <Button type="primary" loading={isBusy} disabled={operations.length === 0 || !right.allowed} onClick={() => void run(operations, "Saved")}>{object === null ? "Create port" : "Save port"}</Button>
      </div>
      <Tabs
        items={[
          { key: "port", label: "Port", children: <PortMembers port={port} choices={choices} project={project} disabled={!right.allowed} onChange={set} /> },
          { key: "pairs", label: PAIRS.title, children: <ListTable {...common} spec={PAIRS} name="pairs" value={port.pairs} onChange={(pairs) => set({ pairs })} /> },
          { key: "fat", label: FAT_FLOWS.title, children: <ListTable {...common} spec={FAT_FLOWS} name="fatFlows" value={port.fatFlows} onChange={(fatFlows) => set({ fatFlows })} /> },
          { key: "mirror", label: "Mirroring", children: <MirrorForm port={port} analyzers={choices.analyzers} disabled={!right.allowed} onChange={set} /> },
        ]}
      />
      {faults.filter(() => port !== start.port).map((fault) => <div key={fault} className="form-fault" role="alert">{fault}</div>)}
      {faults.length === 0 && warningsOf(port).map((warning) => <div key={warning} className="form-note">{warning}</div>)}
      {told !== "" && <Alert type="error" showIcon role="alert" title={told} />}
    </section>
  );
}
