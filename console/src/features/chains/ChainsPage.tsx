/** Service chains of a project: drawn, changed in the drawing, planned, saved. */

import { Alert, Button, Empty, Input, Popconfirm, Select, Spin, Switch, Table } from "antd";
import { PlusOutlined } from "@ant-design/icons";
import { useState } from "react";
import { useSearchParams } from "react-router";

import type { Operation } from "../../api/client";
import { useRight } from "../../api/session";
import { useConsole } from "../../app/context";
import { ObjectPicker } from "../../forms/ObjectPicker";
import { PROTOCOLS } from "../../forms/RuleTable";
import { useSaving } from "../../forms/useSaving";
import { PlanPreview } from "../objects/PlanPreview";
import { type Chain, chainOperations, chainsOf, copyOperations, EMPTY, faultsOf, type Objects, removal, type Service, serviceOperations, servicesOf, shortName, type Wanted, warningsOf } from "./chain";
import { ChainPicture, Palette } from "./ChainPicture";
import { NewService } from "./NewService";
import { useChains } from "./useChains";

export function ChainsPage() {
  const [search, setSearch] = useSearchParams();
  const project = (search.get("project") ?? "").split(":").filter(Boolean);
  const found = useChains(project);
  return (
    <div className="page">
      <div className="page-head">
        <h1>Service chains</h1>
        <span className="form-note">Traffic between two networks, led through firewalls, inspection, translation</span>
      </div>
      <div style={{ width: 300 }}>
        <ObjectPicker id="project" type="project" label="Project" value={project} onChange={(name) => setSearch({ project: name.join(":") }, { replace: true })} />
      </div>
      {found.isError && <Alert type="error" showIcon title={found.error.message} />}
      {project.length === 0 && <Empty image={Empty.PRESENTED_IMAGE_SIMPLE} description="Choose a project: its chains, networks and services are shown. A chain is a rule of a network policy that names services in their order." />}
      {found.isLoading && <Spin />}
      {found.data !== undefined && <Chains key={project.join(":")} objects={found.data} project={project} />}
    </div>
  );
}

function Chains({ objects, project }: { readonly objects: Objects; readonly project: readonly string[] }) {
  const { identity } = useConsole();
  const right = useRight(identity, "network-policy", "create");
  const chains = chainsOf(objects.policies);
  const [chosen, setChosen] = useState<Chain | null>(null);
  return (
    <>
      {chains.length > 0 && (
        <Table
          size="small"
          aria-label="Chains"
          rowKey={(each) => `${each.policy} ${each.index}`}
          pagination={chains.length > 8 ? { pageSize: 8 } : false}
          dataSource={chains}
          columns={[
            { title: "Chain", key: "chain", render: (_, each) => [each.left, ...each.services, each.right].map(shortName).join(" → ") },
            { title: "Traffic", key: "traffic", render: (_, each) => `${each.protocol}${each.ports === "any" ? "" : ` ${each.ports}`}, ${each.isBothWays ? "both begin" : "the left begins"}` },
            { title: "Rule", key: "rule", render: (_, each) => `${each.index + 1} of ${shortName(each.policy)}` },
            { title: "", key: "open", align: "right", render: (_, each) => <Button size="small" aria-label={`Open chain ${[each.left, ...each.services, each.right].map(shortName).join(" → ")}`} onClick={() => setChosen(each)}>Open</Button> },
          ]}
        />
      )}
      {chosen === null ? (
        <div>
          {chains.length === 0 && <p className="form-note">There is no chain in this project yet. It takes two networks with subnets, and a service between them: a machine with a port in each.</p>}
          <Button type="primary" icon={<PlusOutlined />} disabled={!right.allowed} title={right.why} onClick={() => setChosen(EMPTY)}>New chain</Button>
        </div>
      ) : (
        <Designer key={`${chosen.policy} ${chosen.index}`} start={chosen} objects={objects} project={project} onClose={() => setChosen(null)} />
      )}
    </>
  );
}

interface DesignerProps {
  readonly start: Chain;
  readonly objects: Objects;
  readonly project: readonly string[];
  readonly onClose: () => void;
}

interface Addition {
  readonly service: Service;
  readonly operationsOf: (chain: Chain) => Operation[];
}

function Designer({ start, objects, project, onClose }: DesignerProps) {
  const { identity } = useConsole();
  const [chain, setChain] = useState(start);
  const [added, setAdded] = useState<readonly Addition[]>([]);
  const [isAdding, setIsAdding] = useState(false);
  const { told, isBusy, run, forget } = useSaving("Somebody changed this policy or network meanwhile: close, and look at it again", onClose);
  const right = useRight(identity, "network-policy", start.policy === "" ? "create" : "update");
  const services = new Map(servicesOf(objects).map((each) => [each.name, each]));
  for (const { service } of added) services.set(service.name, service);
  const faults = faultsOf(chain, services);
  const warnings = faults.length > 0 ? [] : warningsOf(chain, services);
  const isNew = start.policy === "";
  const operations = faults.length > 0 ? [] : [...added.filter(({ service }) => chain.services.includes(service.name)).flatMap(({ operationsOf }) => operationsOf(chain)), ...chainOperations(chain, objects, project)];
  const where = (at: Chain) => ({ project, left: at.left, right: at.right, newUuid: () => crypto.randomUUID() });
  const change = (next: Chain) => {
    setChain(next);
    forget();
  };
  const addNew = (wanted: Wanted) => {
    const name = [...project, wanted.name].join(":");
    const copies = Array.from({ length: wanted.copies }, (_, number) => ({ name: `${wanted.name}-${number + 1}`, uuid: "", sides: ["left", "right"], isStandby: wanted.hasStandby && number > 0, groups: wanted.groups }));
    const service = { name, uuid: "", mode: wanted.mode, copies, checks: wanted.check === "" ? [] : [shortName(wanted.check)] };
    setAdded([...added, { service, operationsOf: (at) => serviceOperations(wanted, objects, where(at)) }]);
    change({ ...chain, services: [...chain.services, name] });
    setIsAdding(false);
  };
  const addCopy = (service: Service) => {
    const number = service.copies.length + 1;
    const isStandby = service.copies.some((copy) => copy.isStandby);
    // As the others have them: a copy lets in what they let in.
    const groups = [...new Set(service.copies.flatMap((each) => each.groups))];
    const copy = { name: `${shortName(service.name)}-${number}`, uuid: "", sides: ["left", "right"], isStandby, groups };
    setAdded([...added, { service: { ...service, copies: [...service.copies, copy] }, operationsOf: (at) => copyOperations(service.name.split(":"), { number, isStandby, groups }, objects, where(at)) }]);
  };
  const networks = objects.networks.map((each) => each.fq_name.join(":"));
  const free = [...services.keys()].filter((name) => !chain.services.includes(name));
  const policies = objects.policies.map((each) => each.fq_name.join(":"));
  return (
    <section className="form-wide" aria-label="Designer">
      <div className="page-head">
        <h2>{isNew ? "New chain" : `Rule ${start.index + 1} of ${shortName(start.policy)}`}</h2>
        <span className="spread" />
        {!isNew && (
          <Popconfirm title="Take this rule out of its policy? The services stay." okText="Take out" onConfirm={() => void run(removal(start, objects), "Taken out")}>
            <Button danger disabled={!right.allowed || isBusy}>Take the chain away</Button>
          </Popconfirm>
        )}
        <Button onClick={onClose}>Close</Button>
        <PlanPreview operations={operations} disabled={operations.length === 0} />
        <Button type="primary" loading={isBusy} disabled={operations.length === 0 || !right.allowed} onClick={() => void run(operations, "Saved")}>{isNew ? "Create chain" : "Save chain"}</Button>
      </div>
      <ChainPicture chain={chain} services={services} networks={networks} disabled={!right.allowed} onChange={change} onCopy={addCopy} />
      <div className="strip">
        <Button size="small" type="primary" ghost icon={<PlusOutlined />} disabled={!right.allowed} onClick={() => setIsAdding(true)}>New service</Button>
        <Palette names={free} services={services} disabled={!right.allowed} onAdd={(name) => change({ ...chain, services: [...chain.services, name] })} />
      </div>
      <div className="strip" style={{ marginTop: 10 }}>
        <span>Traffic</span>
        <Select aria-label="Protocol" value={chain.protocol} style={{ width: 90 }} options={PROTOCOLS.map((each) => ({ value: each, label: each }))} onChange={(protocol: string) => change({ ...chain, protocol })} />
        <span>to ports</span>
        <Input aria-label="Ports" value={chain.ports} style={{ width: 130 }} onChange={(event) => change({ ...chain, ports: event.target.value })} />
        <Switch aria-label="The right may begin too" checked={chain.isBothWays} onChange={(isBothWays) => change({ ...chain, isBothWays })} /> <span>the right may begin too</span>
        {isNew && (
          <>
            <span>in policy</span>
            <Select aria-label="Policy" allowClear value={chain.policy || null} placeholder="a new one" style={{ width: 190 }} options={policies.map((name) => ({ value: name, label: shortName(name) }))} onChange={(name: string | undefined) => change({ ...chain, policy: name ?? "" })} />
          </>
        )}
      </div>
      {faults.map((fault) => <div key={fault} className="form-fault" role="alert">{fault}</div>)}
      {warnings.map((warning) => <div key={warning} className="form-note">{warning}</div>)}
      {told !== "" && <Alert type="error" showIcon role="alert" title={told} />}
      {isAdding && <NewService groups={objects.groups.map((each) => each.fq_name.join(":"))} checks={objects.checks.map((each) => each.fq_name.join(":"))} taken={[...services.keys()].map(shortName)} onAdd={addNew} onClose={() => setIsAdding(false)} />}
    </section>
  );
}
