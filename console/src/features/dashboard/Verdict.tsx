/** All is well, or what is not: to be taken in at a glance. */

import { CheckCircleFilled, CloseCircleFilled, WarningFilled } from "@ant-design/icons";
import { Alert } from "antd";
import { Link } from "react-router";

import type { Alarm } from "../monitor/alarms";
import { NODE_TYPES, placeOf, type Process } from "../monitor/processes";
import { counted, type Health, type State, upOf } from "./health";

const ICONS: Readonly<Record<State, typeof CheckCircleFilled>> = { well: CheckCircleFilled, warned: WarningFilled, ill: CloseCircleFilled };

interface Props {
  readonly health: Health;
  readonly processes: readonly Process[];
  readonly alarms: readonly Alarm[];
}

export function Verdict({ health, processes, alarms }: Props) {
  const Icon = ICONS[health.state];
  const [hosts, controls] = [upOf(processes, NODE_TYPES.vrouter), upOf(processes, NODE_TYPES["control-node"])];
  const unseen = alarms.filter(({ acknowledged }) => !acknowledged).length;
  return (
    <section className={`health health-${health.state}`} aria-label="Health">
      <Icon className="health-icon" aria-hidden />
      <div className="health-words">
        <strong>{health.title}</strong>
        <span>{health.detail}</span>
      </div>
      <Figure to="/nodes" title="hosts up" value={`${hosts.up} of ${hosts.all}`} isIll={hosts.up < hosts.all} />
      <Figure to="/nodes" title="control nodes up" value={`${controls.up} of ${controls.all}`} isIll={controls.up < controls.all} />
      <Figure to="/alarms" title={unseen === 1 ? "open alarm" : "open alarms"} value={unseen.toLocaleString("en")} isIll={unseen > 0} />
    </section>
  );
}

interface FigureProps {
  readonly to: string;
  readonly title: string;
  readonly value: string;
  readonly isIll: boolean;
}

function Figure({ to, title, value, isIll }: FigureProps) {
  return (
    <Link to={to} className={isIll ? "figure figure-ill" : "figure"}>
      <strong>{value}</strong>
      <span>{title}</span>
    </Link>
  );
}

const SHOWN = 5;

/** Processes that do not do what they should, and why. */
export function Unwell({ processes }: { readonly processes: readonly Process[] }) {
  const unwell = processes.filter(({ health }) => health !== "Functional");
  if (unwell.length === 0) return null;
  const lines = unwell.slice(0, SHOWN).map(({ key, node, process, kind, health, why }) => (
    <li key={key}>
      {process === "" ? node : <Link to={placeOf(node, process)}>{node}</Link>} {kind}: {health}{why === "" ? "" : `, ${why}`}
    </li>
  ));
  return (
    <Alert
      type="error"
      title={<Link to="/nodes">{counted(unwell.length, "process", "processes")} not functional</Link>}
      description={<ul className="plain">{lines}{unwell.length > SHOWN && <li>and {unwell.length - SHOWN} more</li>}</ul>}
    />
  );
}
