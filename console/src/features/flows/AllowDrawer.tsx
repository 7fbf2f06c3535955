/** Writes a rule from a flow that was denied: what would allow it, what that would change, then the change. */

import { useQueryClient } from "@tanstack/react-query";
import { Alert, App, Button, Checkbox, Drawer, Spin } from "antd";
import { useState } from "react";

import { transact } from "../../api/client";
import { PlanPreview } from "../objects/PlanPreview";
import { type Flow, type Ground, operationsOf, proposalsOf } from "./allow";
import { nodeName, PROTOCOL_NAMES, type Row, serviceName } from "./flows";
import { useGround, usePortOf } from "./useFlows";

function flowOf(row: Row): Flow & { readonly serverAddress: string } {
  const told = (name: string) => String(row[name] ?? "");
  const isClient = row["session_type"] === "client";
  const [client, server] = isClient ? (["local", "remote"] as const) : (["remote", "local"] as const);
  return {
    clientNetwork: told(isClient ? "vn" : "remote_vn"),
    serverNetwork: told(isClient ? "remote_vn" : "vn"),
    clientAddress: told(`${client}_ip`),
    serverAddress: told(`${server}_ip`),
    protocol: PROTOCOL_NAMES[Number(row["protocol"])] ?? "",
    port: ["tcp", "udp", "sctp"].includes(PROTOCOL_NAMES[Number(row["protocol"])] ?? "") ? Number(row["server_port"]) : 0,
    rule: told("security_policy_rule"),
  };
}

export function AllowDrawer({ row, onClose }: { readonly row: Row; readonly onClose: () => void }) {
  const flow = flowOf(row);
  const isClient = row["session_type"] === "client";
  const port = usePortOf(flow.serverNetwork, flow.serverAddress, isClient);
  const ground = useGround(flow.clientNetwork, flow.serverNetwork, isClient ? (port.data ?? "") : String(row["vmi"] ?? ""));
  const isKnown = ground.data !== undefined && (!isClient || !port.isLoading);
  return (
    <Drawer open onClose={onClose} size="large" title={`Allow ${serviceName({ protocol: Number(row["protocol"]), port: flow.port })} from ${nodeName(flow.clientNetwork)} to ${nodeName(flow.serverNetwork)}`}>
      {ground.isError && <Alert type="error" showIcon title={ground.error.message} />}
      {!isKnown && !ground.isError && <Spin />}
      {isKnown && <Choice key={ground.dataUpdatedAt} flow={flow} ground={ground.data} onClose={onClose} />}
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
  const save = async () => {
    setIsBusy(true);
    setFault("");
    try {
      await transact(operations);
      await queries.invalidateQueries({ predicate: ({ queryKey: [what] }) => what === "list" || what === "object" || what === "rule" });
      message.success("Allowed: new sessions pass as soon as hosts have it");
      onClose();
    } catch (error) {
      setFault(error instanceof Error ? error.message : String(error));
    } finally {
      setIsBusy(false);
    }
  };
  if (proposals.length === 0) return <Alert type="info" showIcon title="Neither a policy between the networks nor a security group of the port decides: see the path trace." />;
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
      {fault !== "" && <Alert type="error" showIcon role="alert" title={fault} />}
      <div className="strip" style={{ marginTop: 12 }}>
        <PlanPreview operations={operations} disabled={operations.length === 0} />
        <Button type="primary" disabled={operations.length === 0} loading={isBusy} onClick={() => void save()}>Write the rule</Button>
        <Button onClick={onClose}>Cancel</Button>
      </div>
    </>
  );
}
