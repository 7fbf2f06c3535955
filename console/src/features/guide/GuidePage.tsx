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
import { type ConfigObject, isDocument, isList, lastName } from "../../model/document";
import { PlanPreview } from "../objects/PlanPreview";
import { MACHINES, MARK, partsOf, TENANTS } from "./example";

const PARTS = partsOf();
const OPERATIONS = PARTS.flatMap((part) => part.operations);

export function GuidePage() {
  const { identity } = useConsole();
  const { message } = App.useApp();
  const queries = useQueryClient();
  const [fault, setFault] = useState("");
  const [isBusy, setIsBusy] = useState(false);
  const projects = useQuery({
    queryKey: ["list", "project", "guide"],
    queryFn: () => list("project", { filter: [`name:in:${TENANTS.join(",")}`], fields: ["annotations"] }),
    retry: false,
  });
  const machines = useQuery({
    queryKey: ["list", "virtual-machine", "guide"],
    queryFn: () => list("virtual-machine", { filter: [`name:in:${MACHINES.join(",")}`], fields: [] }),
    retry: false,
  });
  const there = projects.data?.items ?? [];
  const isOurs = there.length > 0 && there.every(isMarked);
  const isTaken = there.length > 0 && !isOurs;
  const mayBuild = isAdministrator(identity);
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
    ...there.map((each): Operation => ({ op: "delete", type: "project", uuid: each.uuid, cascade: true })),
    ...(machines.data?.items ?? []).map((each): Operation => ({ op: "delete", type: "virtual-machine", uuid: each.uuid, cascade: true })),
  ];
  return (
    <div className="page">
      <div className="page-head">
        <h1>First steps</h1>
        <span className="form-note">Two tenants, red and blue, in one transaction: all of it or nothing</span>
        <span className="spread" />
        {isOurs && mayBuild && (
          <Popconfirm title="Delete the projects red and blue with all that is in them?" okText="Delete" onConfirm={() => void run(remove, "Taken away")}>
            <Button danger loading={isBusy}>Take it away again</Button>
          </Popconfirm>
        )}
        <PlanPreview operations={OPERATIONS} disabled={!mayBuild || isTaken || isOurs} />
        <Button type="primary" icon={<RocketOutlined />} loading={isBusy} disabled={!mayBuild || isTaken || isOurs} onClick={() => void run(OPERATIONS, "Built")}>
          Build it
        </Button>
      </div>
      {!mayBuild && <Alert type="info" showIcon title="Projects are made by administrators: below is what the example has, for you to read." />}
      {isTaken && <Alert type="info" showIcon title="There is a project red or blue already, which this guide did not make: it leaves them alone." />}
      {fault !== "" && <Alert type="error" showIcon role="alert" title={fault} />}
      <ol className="guide">
        {PARTS.map((part) => (
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
              <li><Link to="/topology">Topology</Link>: red's networks with the policy between them, blue apart.</li>
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

function isMarked(project: ConfigObject): boolean {
  const held = project["annotations"];
  const pairs = isDocument(held) && isList(held["key_value_pair"]) ? held["key_value_pair"].filter(isDocument) : [];
  return pairs.some((pair) => pair["key"] === MARK.key && pair["value"] === MARK.value);
}

function shown({ type, name = [], object = {} }: Operation): string {
  return `${midSentence(typeTitle(type))} ${name.slice(1).join(":") || String(object["display_name"] ?? lastName(name))}`;
}
