/** First steps: builds two tenants, says what each part is for, and where to look then. */

import { CheckCircleFilled, RocketOutlined } from "@ant-design/icons";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Alert, App, Button, Popconfirm } from "antd";
import { useState } from "react";
import { Link } from "react-router";

import { list, type Operation, transact } from "../../api/client";
import { isAdministrator } from "../../api/session";
import { useConsole } from "../../app/context";
import { midSentence, typeTitle } from "../../model/catalog";
import { lastName } from "../../model/document";
import { PlanPreview } from "../objects/PlanPreview";
import { choiceOf, MACHINES, NAMES, partsOf } from "./example";

export function GuidePage() {
  const { identity } = useConsole();
  const { message } = App.useApp();
  const queries = useQueryClient();
  const [fault, setFault] = useState("");
  const [isBusy, setIsBusy] = useState(false);
  const projects = useQuery({
    queryKey: ["list", "project", "guide"],
    queryFn: () => list("project", { filter: [`name:in:${NAMES.join(",")}`], fields: ["annotations"] }),
    retry: false,
  });
  const machines = useQuery({
    queryKey: ["list", "virtual-machine", "guide"],
    queryFn: () => list("virtual-machine", { filter: [`name:in:${MACHINES.join(",")}`], fields: [] }),
    retry: false,
  });
  const { tenants, made, taken, isFree } = choiceOf(projects.data?.items ?? []);
  const parts = partsOf(tenants);
  const all = parts.flatMap((part) => part.operations);
  const isOurs = made.length > 0;
  const [first, second] = tenants;
  const mayBuild = isAdministrator(identity);
  const isOff = !mayBuild || !isFree || projects.isLoading;
  const run = async (operations: readonly Operation[], told: string) => {
    setIsBusy(true);
    setFault("");
    try {
      await transact(operations);
      await queries.invalidateQueries();
      message.success(told);
    } catch (error) {
      setFault(error instanceof Error ? error.message : String(error));
    } finally {
      setIsBusy(false);
    }
  };
  const remove = [
    ...made.map((each): Operation => ({ op: "delete", type: "project", uuid: each.uuid, cascade: true })),
    ...(machines.data?.items ?? []).map((each): Operation => ({ op: "delete", type: "virtual-machine", uuid: each.uuid, cascade: true })),
  ];
  return (
    <div className="page">
      <div className="page-head">
        <h1>First steps</h1>
        <span className="form-note">Two tenants, {first} and {second}, in one transaction: all of it or nothing</span>
        <span className="spread" />
        {isOurs && mayBuild && (
          <Popconfirm title={`Delete the projects ${first} and ${second} with all that is in them?`} okText="Delete" onConfirm={() => void run(remove, "Taken away")}>
            <Button danger loading={isBusy}>Take it away again</Button>
          </Popconfirm>
        )}
        <PlanPreview operations={all} disabled={isOff} />
        <Button type="primary" icon={<RocketOutlined />} loading={isBusy} disabled={isOff} onClick={() => void run(all, "Built")}>
          Build it
        </Button>
      </div>
      {!mayBuild && <Alert type="info" showIcon title="Projects are made by administrators: below is what the example has, for you to read." />}
      {mayBuild && taken.length > 0 && isFree && (
        <Alert type="info" showIcon title={`There is a project ${taken.join(" and ")} already, which this guide did not make and leaves alone: it builds ${first} and ${second}.`} />
      )}
      {mayBuild && taken.length > 0 && !isFree && !isOurs && (
        <Alert
          type="info"
          showIcon
          title={`There are projects ${taken.join(", ")} already, which this guide did not make: it builds nothing.`}
          description={<>Read below what it would build, and look at what is there: <Link to="/topology">Topology</Link>, <Link to="/o/project">projects</Link>.</>}
        />
      )}
      {fault !== "" && <Alert type="error" showIcon role="alert" title={fault} />}
      <ol className="guide">
        {parts.map((part) => (
          <li key={part.title}>
            <h2>{isOurs && <CheckCircleFilled style={{ color: "var(--good)" }} />} {part.title}</h2>
            <p>{part.why}</p>
            <p className="form-note">{part.operations.map(shown).join(" · ")}</p>
          </li>
        ))}
        <li>
          <h2>Look at it</h2>
          {isOurs ? (
            <ul>
              <li><Link to="/topology">Topology</Link>: the networks of {first} with the policy between them, {second} apart.</li>
              <li><Link to="/o/network-policy?q=front-back">The policy</Link>: edit its rules as a table; <strong>Preview</strong> says who would reach whom.</li>
              <li><Link to="/o/virtual-machine-interface">The ports</Link>: each has an address already.</li>
            </ul>
          ) : (
            <p>Once it is built: the topology, the rules as a table, the ports with their addresses.</p>
          )}
        </li>
        <li>
          <h2>Plug workloads in</h2>
          <p>
            A host&apos;s agent takes a port with <code className="mono">skytrail host plug</code>; <code className="mono">make demo</code> shows the same two tenants
            with hosts and traffic on one machine. Then <Link to="/trace">Path trace</Link> says which rule decides between any two of them.
          </p>
        </li>
      </ol>
    </div>
  );
}

function shown({ type, name = [], object = {} }: Operation): string {
  return `${midSentence(typeTitle(type))} ${name.slice(1).join(":") || String(object["display_name"] ?? lastName(name))}`;
}
