/** What a change would do before it is made: objects, what is derived from them, reachability, hosts. */

import { EyeOutlined } from "@ant-design/icons";
import { Alert, Button, Drawer, Table, Tag } from "antd";
import { useState } from "react";

import { call, type Operation, transact } from "../../api/client";
import { moment } from "../../api/moment";
import { isAdministrator } from "../../api/session";
import { useConsole } from "../../app/context";
import { fieldTitle, typeTitle } from "../../model/catalog";
import { type Document, isDocument, isList, type Json, lastName, textsOf } from "../../model/document";
import { brief } from "./columns";
import { FieldChange } from "./FieldChange";
import { lineOf } from "./planText";

const COLOURS: Readonly<Record<string, string>> = { create: "green", created: "green", delete: "red", deleted: "red" };

interface Props {
  readonly operations: readonly Operation[];
  readonly disabled: boolean;
}

export function PlanPreview({ operations, disabled }: Props) {
  const { identity } = useConsole();
  const [plan, setPlan] = useState<Document | null>(null);
  const [fault, setFault] = useState("");
  const [isOpen, setIsOpen] = useState(false);
  const show = async () => {
    setIsOpen(true);
    setPlan(null);
    setFault("");
    try {
      const whole = isAdministrator(identity);
      setPlan(whole ? await call<Document>("POST", "/api/v1/plan", { body: { operations } }) : await transact(operations, true));
    } catch (error) {
      setFault(error instanceof Error ? error.message : String(error));
    }
  };
  return (
    <>
      <Button icon={<EyeOutlined />} disabled={disabled || moment.get() !== null} onClick={() => void show()}>
        Preview
      </Button>
      <Drawer open={isOpen} onClose={() => setIsOpen(false)} title="What this would change" size="large" loading={plan === null && fault === ""}>
        {fault !== "" && <Alert type="error" showIcon title={fault} />}
        {/* What scrolls has to be reached by keyboard. */}
        {plan !== null && <div tabIndex={0} role="group" aria-label="Plan"><PlanTables plan={plan} /></div>}
      </Drawer>
    </>
  );
}

/** What of an object changes, or what a new one has. */
const WHAT = new Set(["fields", "object"]);
const UNSEEN = new Set(["uuid", "before_count", "after_count", "kind"]);
const TITLES: Readonly<Record<string, string>> = { op: "Change", fq_name: "Name" };
/** Of pairs that reach each other: names of networks and ports in full. */
const ENDS = new Set(["from", "to"]);

const SECTIONS = [
  ["changes", "Objects"],
  ["derived", "Derived by the compiler"],
  ["reachability", "Reachability"],
  ["hosts", "Hosts"],
  ["violations", "What the compiler could not carry out"],
] as const;

export function PlanTables({ plan }: { readonly plan: Document }) {
  const shown = SECTIONS.filter(([name]) => isList(plan[name]) && plan[name].length > 0);
  if (shown.length === 0) return <p>Nothing would change.</p>;
  return shown.map(([name, title]) => {
    const rows = (plan[name] as readonly Json[]).filter(isDocument);
    const names = new Set(rows.flatMap((row) => Object.keys(row)).map((key) => (WHAT.has(key) ? "what" : key)));
    const columns = [...names].filter((key) => !UNSEEN.has(key));
    return (
      <section key={name} aria-label={title} style={{ marginBottom: 20 }}>
        <h2 style={{ fontSize: 15 }}>{title}</h2>
        <Table
          size="small"
          pagination={rows.length > 20 ? { pageSize: 20 } : false}
          rowKey={(row) => JSON.stringify(row).slice(0, 400)}
          dataSource={rows}
          columns={columns.map((key) => ({ title: TITLES[key] ?? fieldTitle(key), key, render: (row: Document) => <PlanCell name={key} row={row} /> }))}
        />
      </section>
    );
  });
}

function PlanCell({ name, row }: { readonly name: string; readonly row: Document }) {
  const value = row[name];
  if (name === "op") return <Tag color={COLOURS[String(value)] ?? "blue"}>{String(value)}</Tag>;
  if (name === "type") return typeTitle(String(value));
  if (name === "fq_name" && isList(value)) return <Name parts={textsOf(value)} />;
  if (ENDS.has(name) && typeof value === "string") return <Name parts={value.split(":")} />;
  if (name === "what") return <What row={row} />;
  if (isList(value) || isDocument(value)) return lineOf(value);
  return brief(value);
}

function Name({ parts }: { readonly parts: readonly string[] }) {
  return (
    <>
      {lastName(parts)} <span className="form-note">{parts.slice(0, -1).join(" › ")}</span>
    </>
  );
}

function What({ row: { fields, object } }: { readonly row: Document }) {
  if (isList(fields)) return fields.filter(isDocument).map((each) => <FieldChange key={String(each["path"])} change={{ path: String(each["path"]), from: each["from"], to: each["to"] }} />);
  return isDocument(object) && <NewObject object={object} />;
}

/** Made by the server for every object: not what one wants to know of a new one. */
const OF_ALL = new Set(["uuid", "fq_name", "parent_type", "parent_uuid", "id_perms", "perms2", "display_name", "match_tag_types"]);

function NewObject({ object }: { readonly object: Document }) {
  const members = Object.entries(object).filter(([name]) => !OF_ALL.has(name));
  return members.map(([name, value]) => (
    <div key={name} className="plan-line">
      {fieldTitle(name)}: {lineOf(value)}
    </div>
  ));
}
