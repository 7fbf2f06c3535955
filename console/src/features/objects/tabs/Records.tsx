/** Records of a virtual DNS server as a table; they are edited in their rows, new ones in the last. */

import { DeleteOutlined, PlusOutlined } from "@ant-design/icons";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Alert, App, Button, Input, Popconfirm, Select, Spin } from "antd";
import { type ReactNode, useState } from "react";
import { Link, useSearchParams } from "react-router";

import { list, type Operation, transact } from "../../../api/client";
import { useRight } from "../../../api/session";
import { useConsole } from "../../../app/context";
import { type ConfigObject, isDocument } from "../../../model/document";
import { EMPTY_RECORD, type NewRecord, RECORD_TYPES, recordData, recordFault, recordOf } from "./records";

const LIMIT = 2000;
const TYPE = "virtual-DNS-record";

export function Records({ object }: { readonly object: ConfigObject }) {
  const queries = useQueryClient();
  const { message } = App.useApp();
  const [told, setTold] = useState("");
  const found = useQuery({
    queryKey: ["list", TYPE, "of", object.uuid],
    queryFn: ({ signal }) => list(TYPE, { parent: object.uuid, fields: ["virtual_DNS_record_data"], sort: "fq_name", limit: LIMIT }, signal),
    retry: false,
  });
  const run = async (operation: Operation, done: string): Promise<boolean> => {
    setTold("");
    try {
      await transact([operation]);
      await queries.invalidateQueries({ queryKey: ["list", TYPE] });
      message.success(done);
      return true;
    } catch (error) {
      setTold(error instanceof Error ? error.message : String(error));
      return false;
    }
  };
  if (found.isError) return <Alert type="error" showIcon title={found.error.message} />;
  if (found.data === undefined) return <Spin />;
  return (
    <>
      {found.data.count === 0 && <p className="form-note">No records of its own yet. Names of workloads are answered without: the compiler writes them for every IPAM that uses this server. Add what else shall have a name.</p>}
      <div className="rules">
        <table>
          <thead><tr><th scope="col">Name</th><th scope="col">Type</th><th scope="col">Leads to</th><th scope="col">Seconds</th><th scope="col">Preference</th><th scope="col"><span className="unseen">Change</span></th></tr></thead>
          <tbody>
            {found.data.items.map((each) => <Row key={each.uuid} record={each} run={run} />)}
            <NewRow server={object} names={new Set(found.data.items.map((each) => each.fq_name.at(-1) ?? ""))} run={run} />
          </tbody>
        </table>
        {told !== "" && <Alert type="error" showIcon role="alert" title={told} />}
        {found.data.count > LIMIT && <p className="form-note">The first {LIMIT} of {found.data.count}; <Link to={`/o/${TYPE}?q=parent_uuid:eq:${object.uuid}`}>all of them</Link></p>}
      </div>
    </>
  );
}

type Run = (operation: Operation, done: string) => Promise<boolean>;

interface CellsProps {
  /** Which record, in the labels of its cells. */
  readonly of: string;
  readonly value: NewRecord;
  readonly disabled: boolean;
  readonly onChange: (value: NewRecord) => void;
  readonly onEnter: () => void;
  readonly children: ReactNode;
}

function Cells({ of, value, disabled, onChange, onEnter, children }: CellsProps) {
  const fault = recordFault(value);
  const cell = (label: string, name: "name" | "data" | "ttl" | "preference", width: number, placeholder: string) => (
    <Input aria-label={label} value={value[name]} placeholder={placeholder} style={{ width }} disabled={disabled} onChange={(event) => onChange({ ...value, [name]: event.target.value })} onPressEnter={() => (fault === "" ? onEnter() : undefined)} />
  );
  return (
    <>
      <td>{cell(`Name of ${of}`, "name", 180, "www")}{fault !== "" && (value.name !== "" || value.data !== "") && <div className="form-fault" role="alert">{fault}</div>}</td>
      <td><Select aria-label={`Type of ${of}`} value={value.type} style={{ width: 100 }} disabled={disabled} options={RECORD_TYPES.map((each) => ({ value: each, label: each }))} onChange={(type: string) => onChange({ ...value, type })} /></td>
      <td>{cell(`What ${of} leads to`, "data", 240, value.type === "A" ? "192.0.2.7" : value.type === "AAAA" ? "2001:db8::7" : "name")}</td>
      <td>{cell(`Seconds ${of} may be kept`, "ttl", 90, "server's")}</td>
      <td>{value.type === "MX" && cell(`Preference of ${of}`, "preference", 80, "10")}</td>
      <td className="rules-tools">{children}</td>
    </>
  );
}

interface NewProps {
  readonly server: ConfigObject;
  readonly names: ReadonlySet<string>;
  readonly run: Run;
}

function NewRow({ server, names, run }: NewProps) {
  const { identity } = useConsole();
  const create = useRight(identity, TYPE, "create");
  const [wanted, setWanted] = useState(EMPTY_RECORD);
  const add = async () => {
    const base = `${wanted.name.trim()}-${wanted.type}`;
    let name = base;
    for (let number = 2; names.has(name); number += 1) name = `${base}-${number}`;
    const isDone = await run({ op: "create", type: TYPE, object: { fq_name: [...server.fq_name, name], virtual_DNS_record_data: recordData(wanted) } }, "Added");
    if (isDone) setWanted({ ...EMPTY_RECORD, type: wanted.type });
  };
  return (
    <tr aria-label="New record">
      <Cells of="the new record" value={wanted} disabled={!create.allowed} onChange={setWanted} onEnter={() => void add()}>
        <Button size="small" icon={<PlusOutlined />} disabled={recordFault(wanted) !== "" || !create.allowed} title={create.why} onClick={() => void add()}>Add record</Button>
      </Cells>
    </tr>
  );
}

interface RowProps {
  readonly record: ConfigObject;
  readonly run: Run;
}

/** Read until it is chosen, which stands in the page's address. */
function Row({ record, run }: RowProps) {
  const { identity } = useConsole();
  const [search, setSearch] = useSearchParams();
  const [update, remove] = [useRight(identity, TYPE, "update"), useRight(identity, TYPE, "delete")];
  const { name, type, data, ttl, preference } = recordOf(record);
  const say = (uuid: string) => {
    const next = new URLSearchParams(search);
    if (uuid === "") next.delete("record");
    else next.set("record", uuid);
    setSearch(next, { replace: true });
  };
  if (search.get("record") === record.uuid && update.allowed) return <EditedRow record={record} run={run} onDone={() => say("")} />;
  return (
    <tr>
      <td><Link to={`/o/${TYPE}/${record.uuid}`}>{name}</Link></td>
      <td>{type}</td>
      <td className="mono">{data}</td>
      <td>{ttl}</td>
      <td>{preference}</td>
      <td className="rules-tools">
        <Button size="small" type="text" disabled={!update.allowed} title={update.why} aria-label={`Edit record ${name}`} onClick={() => say(record.uuid)}>Edit</Button>
        <Popconfirm title={`Remove ${name}?`} okText="Remove" onConfirm={() => void run({ op: "delete", type: TYPE, uuid: record.uuid }, "Removed")}>
          <Button size="small" type="text" icon={<DeleteOutlined />} disabled={!remove.allowed} aria-label={`Remove record ${name}`} />
        </Popconfirm>
      </td>
    </tr>
  );
}

function EditedRow({ record, run, onDone }: RowProps & { readonly onDone: () => void }) {
  const held = recordOf(record);
  const [edited, setEdited] = useState(held);
  const isChanged = JSON.stringify(edited) !== JSON.stringify(held);
  const save = async () => {
    const before = record["virtual_DNS_record_data"];
    const object = { virtual_DNS_record_data: recordData(edited, isDocument(before) ? before : {}) };
    if (await run({ op: "patch", type: TYPE, uuid: record.uuid, object }, "Saved")) onDone();
  };
  return (
    <tr aria-label={`Record ${held.name}`}>
      <Cells of={`record ${held.name}`} value={edited} disabled={false} onChange={setEdited} onEnter={() => void save()}>
        <Button size="small" type="primary" disabled={!isChanged || recordFault(edited) !== ""} onClick={() => void save()}>Save record</Button>
        <Button size="small" onClick={onDone}>Leave it</Button>
        <Link to={`/o/${TYPE}/${record.uuid}/edit?form`}>All members</Link>
      </Cells>
    </tr>
  );
}
