/** What is between two nodes: services, their sessions, the rule that decided, and how to allow what was denied. */

import { CloseOutlined } from "@ant-design/icons";
import { Alert, Button, Spin, Tag } from "antd";
import { useState } from "react";
import { Link } from "react-router";

import { moment } from "../../api/moment";
import { lastName } from "../../model/document";
import { bytesText } from "../../model/units";
import { cellText, wayOf } from "../query/question";
import { EVERYBODY } from "../../policy/firewall";
import { type Decider, deciderOf } from "./allow";
import { AllowDrawer } from "./AllowDrawer";
import { type Edge, nodeName, PROTOCOL_NAMES, type Row, type Service, serviceName, verdictOf } from "./flows";
import { HolderLink } from "./NamedDecider";
import { useRecords, useRule } from "./useFlows";

interface Props {
  readonly by: string;
  readonly from: string;
  readonly edge: Edge;
  readonly onClose: () => void;
}

const LOOKS = { pass: ["green", "passes"], deny: ["red", "denied"], mixed: ["orange", "some denied"] } as const;

export function EdgePanel({ by, from, edge, onClose }: Props) {
  const [opened, setOpened] = useState(edge.services[0]?.key ?? "");
  return (
    <aside className="map-side flow-side" aria-label="Chosen">
      <Button size="small" type="text" icon={<CloseOutlined />} aria-label="Close" style={{ float: "right" }} onClick={onClose} />
      <h2>{nodeName(edge.from)} → {nodeName(edge.to)}</h2>
      <p className="form-note">{edge.passed.toLocaleString("en")} passed, {edge.denied.toLocaleString("en")} denied, {bytesText(edge.bytes)}</p>
      {edge.services.map((service) => {
        const [colour, word] = LOOKS[verdictOf(service)];
        const isOpen = service.key === opened;
        return (
          <section key={service.key} aria-label={serviceName(service)} className="flow-service">
            <button type="button" className="flow-head" aria-expanded={isOpen} onClick={() => setOpened(isOpen ? "" : service.key)}>
              <strong>{serviceName(service)}</strong> <Tag color={colour}>{word}</Tag>
              <span className="form-note">{sessionsText(service.passed + service.denied)}, {bytesText(service.bytes)}</span>
            </button>
            {isOpen && <Opened by={by} from={from} edge={edge} service={service} />}
          </section>
        );
      })}
    </aside>
  );
}

function sessionsText(count: number): string {
  return count === 1 ? "1 session" : `${count.toLocaleString("en")} sessions`;
}

interface OpenedProps {
  readonly by: string;
  readonly from: string;
  readonly edge: Edge;
  readonly service: Service;
}

function Opened({ by, from, edge, service }: OpenedProps) {
  const records = useRecords(by, from, edge, service);
  const [allowing, setAllowing] = useState<Row | null>(null);
  if (records.isError) return <Alert type="error" title={records.error.message} />;
  if (records.data === undefined) return <Spin />;
  const denied = records.data.find((row) => row["forward_action"] !== "pass");
  const canAllow = denied !== undefined && PROTOCOL_NAMES[service.protocol] !== undefined && denied["vn"] !== "" && denied["remote_vn"] !== "";
  return (
    <>
      {service.denied > 0 && <Decided service={service} />}
      {service.denied > 0 && !canAllow && <p className="form-note">A rule can be written where both networks are known.</p>}
      {service.denied > 0 && canAllow && moment.get() === null && (
        <Button size="small" type="primary" onClick={() => setAllowing(denied)}>Write a rule from this flow</Button>
      )}
      <ul className="flow-records">
        {records.data.map((row, index) => (
          // oxlint-disable-next-line react/no-array-index-key -- two sessions may agree in all that is shown
          <li key={index}>
            <span className="mono">{cellText("T", row["T"]).slice(11, 19)}</span> {String(row["local_ip"])} {row["session_type"] === "client" ? "→" : "←"} {String(row["remote_ip"])}{" "}
            {row["forward_action"] === "pass" ? "" : <Tag color="red">{String(row["drop_reason"] || "denied")}</Tag>}
            {wayOf(row) !== "" && <Link to={wayOf(row)}>why</Link>}
          </li>
        ))}
      </ul>
      {allowing !== null && <AllowDrawer row={allowing} onClose={() => setAllowing(null)} />}
    </>
  );
}

function Decided({ service }: { readonly service: Service }) {
  const rule = useRule(service.rule);
  const decider = deciderOf(service.rule);
  const where = `at the ${service.toldBy}'s host`;
  if (decider !== null) return <p>Denied {where}: no rule of {decider.what} <Names decider={decider} /> allows it.</p>;
  if (rule.data === undefined) return <p>Denied {where} by rule <span className="mono">{service.rule}</span></p>;
  if (rule.data === null) return <p>Denied {where} by a rule that is not there any more.</p>;
  return <p>Denied {where} by a rule of <HolderLink holder={rule.data} /></p>;
}

function Names({ decider: { names, type } }: { readonly decider: Decider }) {
  return names.map((name, index) => {
    const scope = name.split(":").slice(0, -1).join(":");
    const to = type === "security-group"
      ? `/o/security-group?q=${encodeURIComponent(`fq_name:eq:${name}`)}`
      : `/security?project=${encodeURIComponent(scope === EVERYBODY ? "" : scope)}&set=${encodeURIComponent(name)}`;
    return <span key={name}>{index > 0 && ", "}<Link to={to}>{lastName(name.split(":"))}</Link></span>;
  });
}
