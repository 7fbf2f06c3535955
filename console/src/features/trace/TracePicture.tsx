/** The way as a picture: ends, hosts and what carries the packet between them; every table below. */

import { CheckCircleFilled, CloseCircleFilled, DesktopOutlined, LogoutOutlined, WarningOutlined } from "@ant-design/icons";
import { Tag } from "antd";
import { Fragment, type ReactNode } from "react";
import { Link } from "react-router";

import { carriageOf, type End, type Leg, ruleName, sentenceOf, shortName, type Trace } from "./trace";

const MARKS = {
  delivered: <CheckCircleFilled style={{ color: "var(--good)" }} />,
  dropped: <CloseCircleFilled style={{ color: "var(--fault)" }} />,
  leaves: <LogoutOutlined />,
  elsewhere: <WarningOutlined style={{ color: "var(--fault)" }} />,
} as const;

export function TracePicture({ trace }: { readonly trace: Trace }) {
  const rule = trace.legs.findLast((leg) => leg.deciding_rule !== null)?.deciding_rule ?? null;
  return (
    <>
      <div className={`verdict verdict-${trace.verdict}`} role="status" data-verdict={trace.verdict}>
        <div>{MARKS[trace.verdict]} <strong>{sentenceOf(trace)}</strong></div>
        {rule !== null && <DecidingRule name={rule.name} text={rule.text} />}
      </div>
      <ol className="way" aria-label="The way">
        <Station kind="end"><EndOf end={trace.source} /></Station>
        {trace.legs.map((leg, index) => (
          <Fragment key={`${index} ${leg.host}`}>
            <Carriage text={index === 0 ? "" : betweenText(trace.legs[index - 1])} isCut={false} />
            <Station kind={leg.drop_reason === "" ? "host" : "drop"}><HostOf leg={leg} /></Station>
          </Fragment>
        ))}
        <Carriage text={carriageOf(trace.legs.at(-1) ?? EMPTY)} isCut={trace.verdict !== "delivered"} />
        <Station kind={trace.verdict === "delivered" ? "end" : "missed"}><EndOf end={trace.destination} /></Station>
      </ol>
      {trace.legs.map((leg, index) => (
        <Tables key={`${index} ${leg.host}`} leg={leg} number={index + 1} />
      ))}
    </>
  );
}

const EMPTY: Leg = { host: "", outcome: "", drop_reason: "", deciding_rule: null, steps: [] };

function betweenText(leg: Leg | undefined): string {
  if (leg === undefined) return "";
  return leg.service ? `through ${shortName(leg.service)}` : carriageOf(leg);
}

function DecidingRule({ name, text }: { readonly name: string; readonly text: string }) {
  return (
    <>
      <div>Decided by {ruleName(name)}</div>
      {text.split("; ").filter(Boolean).map((each) => <div key={each} className="mono">{each}</div>)}
    </>
  );
}

type Kind = "end" | "host" | "drop" | "missed";

function Station({ kind, children }: { readonly kind: Kind; readonly children: ReactNode }) {
  return <li className={`station station-${kind}`}>{children}</li>;
}

function Carriage({ text, isCut }: { readonly text: string; readonly isCut: boolean }) {
  return (
    <li className={isCut ? "carriage carriage-cut" : "carriage"} aria-hidden={text === ""}>
      <span>{text}</span>
    </li>
  );
}

function EndOf({ end }: { readonly end: End }) {
  const name = shortName(end.name);
  return (
    <>
      <DesktopOutlined aria-hidden /> {end.uuid === "" ? name : <Link to={`/o/virtual-machine-interface/${end.uuid}`}>{name}</Link>}
      <div className="mono">{end.addresses.join(", ")}</div>
      <div className="form-note">{end.network === "" ? "" : shortName(end.network)}</div>
    </>
  );
}

function HostOf({ leg }: { readonly leg: Leg }) {
  const mark = leg.drop_reason !== "" ? <CloseCircleFilled style={{ color: "var(--fault)" }} />
    : leg.outcome === "delivered" ? <CheckCircleFilled style={{ color: "var(--good)" }} /> : <LogoutOutlined />;
  return (
    <>
      <strong>{leg.host}</strong>
      <div>{mark} {leg.drop_reason === "" ? leg.outcome : leg.drop_reason}</div>
      <div className="form-note">{leg.deciding_rule === null ? "" : ruleName(leg.deciding_rule.name)}</div>
    </>
  );
}

function Tables({ leg, number }: { readonly leg: Leg; readonly number: number }) {
  const changed = Object.entries(leg.leaves_as ?? {});
  const id = `leg-${number}`;
  return (
    <section aria-labelledby={id}>
      <h2 id={id} style={{ fontSize: 15, margin: "4px 0" }}>
        {number}. {leg.host} <Tag color={leg.drop_reason === "" ? "green" : "red"}>{leg.drop_reason === "" ? leg.outcome : leg.drop_reason}</Tag>
      </h2>
      <table className="steps">
        <thead>
          <tr><th scope="col">Stage</th><th scope="col">Looked up</th><th scope="col">Found</th><th scope="col">Rule</th></tr>
        </thead>
        <tbody>
          {leg.steps.map((step, index) => (
            // oxlint-disable-next-line react/no-array-index-key -- a table may be looked at twice
            <tr key={index}>
              <td>{step.stage}</td>
              <td className="mono">{step.question}</td>
              <td className="mono">{step.answer}</td>
              <td>{step.rule === "" ? "" : ruleName(step.rule)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {leg.steps.length === 0 && <p className="form-note">What its tables hold is the operator's.</p>}
      {changed.length > 0 && <p className="form-note">Translated here; goes on as {changed.map(([name, value]) => `${name} ${value}`).join(", ")}</p>}
    </section>
  );
}
