/** Application policy: tags against tags as a matrix, edited in its cells; drafts; what rules are made of. */

import { PlusOutlined } from "@ant-design/icons";
import { useQueryClient } from "@tanstack/react-query";
import { Alert, App, Button, Empty, Select, Spin } from "antd";
import { useState } from "react";
import { Link, useSearchParams } from "react-router";

import { Refused, transact } from "../../api/client";
import { moment } from "../../api/moment";
import { useRight } from "../../api/session";
import { useConsole } from "../../app/context";
import { ObjectPicker } from "../../forms/ObjectPicker";
import { isDocument, isList, lastName, textsOf } from "../../model/document";
import { type Both, EVERYBODY, operationsOf, type Policy, viewOf } from "../../policy/firewall";
import type { Security } from "../../policy/load";
import { PlanPreview } from "../objects/PlanPreview";
import { CellRules } from "./CellRules";
import { DraftBar } from "./DraftBar";
import { Groups } from "./Groups";
import { Matrix } from "./Matrix";
import { type Heading, headingsOf, typeOfTag } from "./matrix";
import { NewSet } from "./NewSet";
import { useSecurity } from "./useSecurity";

const USUAL_TYPES = ["tier", "application", "deployment", "site"];

export function SecurityPage() {
  const [search, setSearch] = useSearchParams();
  const scope = (search.get("project") ?? "").split(":").filter(Boolean);
  const found = useSecurity(scope);
  const say = (changes: Readonly<Record<string, string>>) =>
    setSearch((now) => {
      const next = new URLSearchParams(now);
      for (const [name, value] of Object.entries(changes)) {
        if (value === "") next.delete(name);
        else next.set(name, value);
      }
      return next;
    }, { replace: true });
  const both = found.data === undefined ? undefined : viewOf(found.data.loaded);
  return (
    <div className="page">
      <div className="page-head">
        <h1>Application policy</h1>
        <span className="form-note">Who may talk to whom by what workloads are</span>
        <span className="spread" />
        {found.data !== undefined && both !== undefined && (
          <Drafting security={found.data} both={both} type={search.get("by") ?? "tier"} />
        )}
      </div>
      <div className="strip">
        <div style={{ width: 300 }}>
          <ObjectPicker id="scope" type="project" label="Project" value={scope} onChange={(name) => say({ project: name.join(":"), set: "", from: "", to: "" })} />
        </div>
        <Button disabled={scope.length === 0} onClick={() => say({ project: "", set: "", from: "", to: "" })}>For everybody</Button>
        {scope.length === 0 && <span className="form-note">Sets for everybody come first, whatever the project says.</span>}
      </div>
      {found.isError && <Alert type="error" showIcon title={found.error.message} />}
      {found.isLoading && <Spin />}
      {found.data !== undefined && both !== undefined && (
        <Sets key={both.planned["firewall-rule"].size === 0 ? "" : stamp(both.planned)} security={found.data} both={both} scope={scope} search={search} say={say} />
      )}
    </div>
  );
}

/** Changes with whatever somebody changes: edits that are not saved begin anew. */
function stamp(policy: Policy): string {
  return Object.values(policy).flatMap((objects) => [...objects.values()].map((each) => `${each.uuid} ${String(each["etag"])}`)).join();
}

function Drafting({ security, both, type }: { readonly security: Security; readonly both: Both; readonly type: string }) {
  const { identity } = useConsole();
  const right = useRight(identity, security.holder?.fq_name.length === 1 ? "global-system-config" : "project", "update");
  return <DraftBar security={security} both={both} type={type} mayChange={right.allowed} />;
}

interface SetsProps {
  readonly security: Security;
  readonly both: Both;
  readonly scope: readonly string[];
  readonly search: URLSearchParams;
  readonly say: (changes: Readonly<Record<string, string>>) => void;
}

function Sets({ security, both, scope, search, say }: SetsProps) {
  const { identity } = useConsole();
  const queries = useQueryClient();
  const { message } = App.useApp();
  const [edited, setEdited] = useState<Policy | null>(null);
  const [faults, setFaults] = useState<ReadonlyMap<string, string>>(new Map());
  const [told, setTold] = useState("");
  const [isBusy, setIsBusy] = useState(false);
  const update = useRight(identity, "firewall-rule", "update");
  const policy = edited ?? both.planned;
  const place = scope.length === 0 ? EVERYBODY : scope.join(":");
  const sets = [...policy["application-policy-set"].keys()].filter((name) => name.startsWith(`${place}:`));
  const withRules = sets.filter((name) => isList(policy["application-policy-set"].get(name)?.["firewall_policy_refs"]));
  const set = sets.find((name) => name === search.get("set")) ?? withRules[0] ?? sets[0] ?? "";
  const types = [...new Set([...USUAL_TYPES, ...security.tags.map(typeOfTag)])].filter((name) => name !== "label");
  const type = search.get("by") ?? "tier";
  const headings = headingsOf(policy, set, type, security.tags);
  const [from, to] = [find(headings, search.get("from")), find(headings, search.get("to"))];
  const operations = edited === null ? [] : operationsOf(both.planned, edited);
  const save = async () => {
    setIsBusy(true);
    setTold("");
    try {
      await transact(operations);
      await queries.invalidateQueries({ queryKey: ["list"] });
      message.success(security.isDrafting ? "Kept as a draft" : "Saved");
      setEdited(null);
    } catch (error) {
      setTold(error instanceof Refused && error.status === 412 ? "Somebody changed this policy meanwhile: reload to see how it is now" : String(error instanceof Error ? error.message : error));
    } finally {
      setIsBusy(false);
    }
  };
  const onFault = (rule: string, fault: string) => {
    const next = new Map(faults);
    if (fault === "") next.delete(rule);
    else next.set(rule, fault);
    setFaults(next);
  };
  const isBlocked = operations.length === 0 || faults.size > 0;
  return (
    <>
      <div className="strip">
        <Select aria-label="Set" value={set || null} style={{ minWidth: 280 }} options={sets.map((name) => ({ value: name, label: lastName(name.split(":")) }))} placeholder="No sets yet" onChange={(next: string) => say({ set: next, from: "", to: "" })} />
        <NewSet scope={scope} tags={security.tags} onMade={(name) => say({ set: name })} />
        <span>by</span>
        <Select aria-label="Tag type" value={type} style={{ minWidth: 130 }} options={types.map((name) => ({ value: name, label: name }))} onChange={(by: string) => say({ by, from: "", to: "" })} />
        <span className="spread" />
        <Button disabled={edited === null} onClick={() => { setEdited(null); setFaults(new Map()); setTold(""); }}>Undo edits</Button>
        <PlanPreview operations={operations} disabled={isBlocked} />
        <Button type="primary" loading={isBusy} disabled={isBlocked} onClick={() => void save()}>{security.isDrafting ? "Save to draft" : "Save"}</Button>
      </div>
      <HoldsFor policy={policy} set={set} />
      {told !== "" && <Alert type="error" showIcon role="alert" title={told} />}
      {set !== "" && headings.length > 1 && (
        <Matrix policy={policy} now={both.now} set={set} type={type} headings={headings} chosen={from && to ? `${from.key} ${to.key}` : ""} onChoose={(one, other) => say({ from: one.key, to: other.key })} />
      )}
      {headings.length <= 1 && <NoTags type={type} scope={scope} />}
      {set !== "" && from !== undefined && to !== undefined && (
        <CellRules key={`${set} ${from.key} ${to.key}`} {...{ policy, set, type, from, to, onFault }} matchTypes={types} disabled={!update.allowed} onChange={(next) => { setEdited(next); setTold(""); }} />
      )}
      {set !== "" && headings.length > 1 && (from === undefined || to === undefined) && (
        <p className="form-note">Choose a cell to see and edit its rules: the row begins, the column is reached. Answers need no rule of their own.</p>
      )}
      <Groups both={both} scope={scope} />
    </>
  );
}

function find(headings: readonly Heading[], key: string | null): Heading | undefined {
  return headings.find((each) => each.key === key);
}

function HoldsFor({ policy, set }: { readonly policy: Policy; readonly set: string }) {
  const object = policy["application-policy-set"].get(set);
  if (object === undefined) return null;
  const tags = (isList(object["tag_refs"]) ? object["tag_refs"] : []).filter(isDocument).map((each) => lastName(textsOf(each["to"])));
  const isForAll = object["all_applications"] === true;
  const text = tags.length > 0 ? `ports with ${tags.join(", ")}` : isForAll ? (object.fq_name.includes(EVERYBODY) ? "all ports" : "all ports of the project") : "no port yet: give it an application tag";
  return <span className="form-note">Holds for {text}. {moment.get() === null && <Link to={`/o/application-policy-set/${object.uuid}/edit`}>Edit the set</Link>}</span>;
}

function NoTags({ type, scope }: { readonly type: string; readonly scope: readonly string[] }) {
  const parent = scope.length === 0 ? "" : `?parent_type=project&parent=${encodeURIComponent(scope.join(":"))}`;
  return (
    <Empty
      image={Empty.PRESENTED_IMAGE_SIMPLE}
      description={`There are no tags of type ${type} here. Make one for each kind of workload (${type === "tier" ? "tier=web, tier=db" : `${type}=…`}), give them to ports, networks or machines, and say here which may talk to which.`}
    >
      {moment.get() === null && <Link to={`/o/tag/new${parent}`}><Button icon={<PlusOutlined />}>New tag</Button></Link>}
    </Empty>
  );
}
