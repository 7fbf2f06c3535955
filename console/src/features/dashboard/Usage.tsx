/** What passes, who uses most of it, and who is denied most. */

import { Alert } from "antd";
import type { ReactNode } from "react";
import { Link } from "react-router";

import { Refused } from "../../api/client";
import { bytesText } from "../../model/units";
import { ChartsOf } from "../charts/Charts";
import { SOURCES, spanOf } from "../charts/series";
import { nodeName } from "../flows/flows";
import { useFlowMap } from "../flows/useFlows";
import { absence } from "../monitor/uves";
import { LATELY, useRates } from "../topology/live";
import { counted, most, type Share } from "./health";

const SHOWN = 5;
const SPAN = spanOf("now-1h");
const TRAFFIC = (SOURCES["virtual-network"] ?? []).slice(0, 1).map((source) => ({ ...source, title: "Traffic of all networks, last hour" }));

export function Usage() {
  const rates = useRates("virtual-network");
  const flows = useFlowMap("vn", LATELY);
  if (rates.isError) return <Alert type="info" showIcon title={reasonOf(rates.error)} />;
  const users = most(new Map([...(rates.data ?? [])].map(([name, { in: inward, out }]) => [name, inward + out])), SHOWN);
  const edges = new Map((flows.data?.edges ?? []).map((edge) => [edge.key, edge]));
  const denied = most(new Map([...edges].map(([key, edge]) => [key, edge.denied])), SHOWN);
  return (
    <>
      <section className="panel" aria-label="Traffic">
        <ChartsOf sources={TRAFFIC} of="" uuid="" span={SPAN} />
      </section>
      <Panel title="Busiest networks now" more={<Link to="/topology">Topology</Link>} shares={users} nothing="No network has traffic now.">
        {({ key, value }) => <><Link to={`/o/virtual-network?q=${encodeURIComponent(`fq_name:eq:${key}`)}`}>{nodeName(key)}</Link><span>{bytesText(value)}/s</span></>}
      </Panel>
      <Panel title="Denied most, last 10 minutes" more={<Link to="/flows?from=now-10m&only=denied">Service map</Link>} shares={denied} nothing="Nothing was denied." isIll>
        {({ key, value }) => (
          <>
            <Link to={`/flows?from=now-10m&selected=${encodeURIComponent(key)}`}>{nodeName(edges.get(key)?.from ?? "")} → {nodeName(edges.get(key)?.to ?? "")}</Link>
            <span>✗ {counted(value, "session")}</span>
          </>
        )}
      </Panel>
    </>
  );
}

/** Where entities are told of, but no history is kept. */
function reasonOf(error: Error): string {
  const isUnknown = error instanceof Refused && error.status === 404;
  return isUnknown ? "No history is kept here: what passed is not known." : absence(error);
}

interface PanelProps {
  readonly title: string;
  readonly more: ReactNode;
  readonly shares: readonly Share[];
  readonly nothing: string;
  readonly isIll?: boolean;
  readonly children: (share: Share) => ReactNode;
}

function Panel({ title, more, shares, nothing, isIll = false, children }: PanelProps) {
  return (
    <section className="panel" aria-label={title}>
      <h2>{title} <span className="spread" /> {more}</h2>
      {shares.length === 0 && <p className="form-note">{nothing}</p>}
      <ol className="shares">
        {shares.map((share) => (
          <li key={share.key}>
            {children(share)}
            <div className={isIll ? "share share-ill" : "share"} style={{ width: `${100 * share.part}%` }} aria-hidden />
          </li>
        ))}
      </ol>
    </section>
  );
}
