/** Writes a rule from a flow that was denied: what would allow it, what that would change, then the change. */

import { useQueryClient } from "@tanstack/react-query";
import { Alert, App, Button, Checkbox, Drawer, Spin } from "antd";
import { useState } from "react";
import { Link } from "react-router";

import { transact } from "../../api/client";
import { PlanPreview } from "../objects/PlanPreview";
import { type Flow, type Ground, operationsOf, proposalsOf } from "./allow";
import { nodeName, PROTOCOL_NAMES, type Row, serviceName } from "./flows";
import { TAG_COLUMNS, useGround, usePortOf } from "./useFlows";

function tagsOf(row: Row, side: "" | "remote_"): string[] {
  return TAG_COLUMNS.flatMap((name) => String(row[`${side}${name}`] ?? "").split(";")).filter(Boolean);
}

function flowOf(row: Row): Flow {
  const told = (name: string) => String(row[name] ?? "");
  const isClient = row["session_type"] === "client";
  const [client, server] = isClient ? (["local", "remote"] as const) : (["remote", "local"] as const);
  return {
    clientNetwork: told(isClient ? "vn" : "remote_vn"),
    serverNetwork: told(isClient ? "remote_vn" : "vn"),
    clientAddress: told(`${client}_ip`),
    serverAddress: told(`${server}_ip`),
    clientTags: tagsOf(row, isClient ? "" : "remote_"),
    serverTags: tagsOf(row, isClient ? "remote_" : ""),
    protocol: PROTOCOL_NAMES[Number(row["protocol"])] ?? "",
    port: ["tcp", "udp", "sctp"].includes(PROTOCOL_NAMES[Number(row["protocol"])] ?? "") ? Number(row["server_port"]) : 0,
    rule: told("security_policy_rule"),
  };
}

export function AllowDrawer({ row, onClose }: { readonly row: Row; readonly onClose: () => void }) {
  const flow = flowOf(row);
  const isClient = row["session_type"] === "client";
  const far = usePortOf(isClient ? flow.serverNetwork : flow.clientNetwork, isClient ? flow.serverAddress : flow.clientAddress);
  const [near, other] = [String(row["vmi"] ?? ""), far.data ?? ""];
  const ground = useGround([flow.clientNetwork, flow.serverNetwork], isClient ? [near, other] : [other, near], !far.isLoading);
  return (
    <Drawer open onClose={onClose} size="large" title={`Allow ${serviceName({ protocol: Number(row["protocol"]), port: flow.port })} from ${nodeName(flow.clientNetwork)} to ${nodeName(flow.serverNetwork)}`}>
      {ground.isError && <Alert type="error" showIcon title={ground.error.message} />}
      {ground.data === undefined && !ground.isError && <Spin />}
      {ground.data !== undefined && <Choice key={ground.dataUpdatedAt} flow={flow} ground={ground.data} onClose={onClose} />}
    </Drawer>
  );
}

interface ChoiceProps {
  readonly flow: Flow;
  readonly ground: Ground;
  readonly onClose: () => void;
}

function Choice({ flow, ground, onClose }: ChoiceProps) {
  const { message } = App.useApp();
  const queries = useQueryClient();
  const proposals = proposalsOf(flow, ground);
  const [chosen, setChosen] = useState<ReadonlySet<string>>(() => new Set(proposals.filter((each) => each.isNeeded).map((each) => each.key)));
  const [fault, setFault] = useState("");
  const [isBusy, setIsBusy] = useState(false);
  const operations = operationsOf(proposals, chosen);
  const [drafting] = ground.tags.drafting;
  const waits = drafting !== undefined && chosen.has("tags");
  const save = async () => {
    setIsBusy(true);
    setFault("");
    try {
      await transact(operations);
      await queries.invalidateQueries({ predicate: ({ queryKey: [what] }) => what === "list" || what === "object" || what === "rule" });
      message.success(waits ? "Written; what is tag-based waits in the draft until it is committed" : "Allowed: new sessions pass as soon as hosts have it");
      onClose();
    } catch (error) {
      setFault(error instanceof Error ? error.message : String(error));
    } finally {
      setIsBusy(false);
    }
  };
  if (proposals.length === 0) return <Alert type="info" showIcon title="As far as the configuration tells, nothing stands in the way any more: see the path trace." />;
  const toggle = (key: string, isOn: boolean) =>
    setChosen((now) => new Set(isOn ? [...now, key] : [...now].filter((each) => each !== key)));
  return (
    <>
      <p>What is marked stands in the way, as far as the configuration tells. All of it is written in one transaction.</p>
      {proposals.map((each) => (
        <div key={each.key} className="form-item">
          <Checkbox checked={chosen.has(each.key)} onChange={(event) => toggle(each.key, event.target.checked)}>{each.title}</Checkbox>
          <div className="form-note">{each.why}</div>
        </div>
      ))}
      {waits && (
        <Alert type="info" showIcon title={<>Changes of <Link to={`/security?project=${encodeURIComponent(drafting)}`}>its application policy</Link> are collected as a draft: commit it there.</>} />
      )}
      {fault !== "" && <Alert type="error" showIcon role="alert" title={fault} />}
      <div className="strip" style={{ marginTop: 12 }}>
        <PlanPreview operations={operations} disabled={operations.length === 0} />
        <Button type="primary" disabled={operations.length === 0} loading={isBusy} onClick={() => void save()}>Write the rule</Button>
        <Button onClick={onClose}>Cancel</Button>
      </div>
    </>
  );
}
