/** Where a probe was seen, hop by hop, and where it ended. */

import { CheckCircleFilled, CloseCircleFilled, ExportOutlined } from "@ant-design/icons";
import { Fragment } from "react";

import { type Hop, type Probe, probeSentence, shortName } from "./trace";

const WORDS: Readonly<Record<string, string>> = { sent: "sent by", delivered: "delivered to", dropped: "dropped at" };

export function ProbePicture({ probe }: { readonly probe: Probe }) {
  const [first] = probe.hops;
  return (
    <section aria-label="Probe">
      <div className={`verdict verdict-${probe.seen === "delivered" ? "delivered" : "dropped"}`} role="status">
        <strong>{probeSentence(probe)}</strong>
      </div>
      <ol className="way" aria-label="Where the probe was seen">
        {probe.hops.map((hop, index) => (
          // oxlint-disable-next-line react/no-array-index-key -- a host may see it twice at one port
          <Fragment key={index}>
            {index > 0 && <li className="carriage" aria-hidden />}
            <Sighting hop={hop} after={first === undefined ? 0 : hop.time_ns - first.time_ns} />
          </Fragment>
        ))}
      </ol>
    </section>
  );
}

function Sighting({ hop, after }: { readonly hop: Hop; readonly after: number }) {
  const mark = hop.drop_reason !== "" ? <CloseCircleFilled aria-hidden style={{ color: "var(--fault)" }} />
    : hop.point === "delivered" ? <CheckCircleFilled aria-hidden style={{ color: "var(--good)" }} /> : <ExportOutlined aria-hidden />;
  return (
    <li className={`station station-${hop.drop_reason === "" ? "host" : "drop"}`}>
      <strong>{hop.host}</strong>
      <div>{mark} {WORDS[hop.point] ?? hop.point} {hop.port === "" ? "a port" : shortName(hop.port)}</div>
      {hop.drop_reason !== "" && <div>{hop.drop_reason}</div>}
      {after > 0 && <div className="form-note">after {(after / 1000).toFixed(0)} µs</div>}
    </li>
  );
}
