/** Records of a virtual DNS server as a table; new ones are written in its last row. */

import { DeleteOutlined, PlusOutlined } from "@ant-design/icons";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Alert, App, Button, Input, Popconfirm, Select, Spin } from "antd";
import { useState } from "react";
import { Link } from "react-router";

import { list, type Operation, transact } from "../../../api/client";
import { useRight } from "../../../api/session";
import { useConsole } from "../../../app/context";
import { numberOf } from "../../../forms/numbers";
import { type ConfigObject, isDocument, type Json } from "../../../model/document";
import { EMPTY_RECORD, RECORD_TYPES, recordFault } from "./records";

const LIMIT = 2000;
const TYPE = "virtual-DNS-record";

export function Records({ object }: { readonly object: ConfigObject }) {
  const { identity } = useConsole();
  const queries = useQueryClient();
  const { message } = App.useApp();
  const [wanted, setWanted] = useState(EMPTY_RECORD);
  const [told, setTold] = useState("");
  const create = useRight(identity, TYPE, "create");
  const remove = useRight(identity, TYPE, "delete");
  const found = useQuery({
    queryKey: ["list", TYPE, "of", object.uuid],
    queryFn: ({ signal }) => list(TYPE, { parent: object.uuid, fields: ["virtual_DNS_record_data"], sort: "fq_name", limit: LIMIT }, signal),
    retry: false,
  });
  const run = async (operation: Operation, done: string) => {
    setTold("");
    try {
      await transact([operation]);
      await queries.invalidateQueries({ queryKey: ["list", TYPE] });
      message.success(done);
      setWanted({ ...EMPTY_RECORD, type: wanted.type });
    } catch (error) {
      setTold(error instanceof Error ? error.message : String(error));
    }
  };
  if (found.isError) return <Alert type="error" showIcon title={found.error.message} />;
  if (found.data === undefined) return <Spin />;
  const names = new Set(found.data.items.map((each) => each.fq_name.at(-1)));
  const fault = recordFault(wanted);
  const add = () => {
    const data = {
      record_name: wanted.name.trim(), record_type: wanted.type, record_class: "IN", record_data: wanted.data.trim(),
      ...(wanted.ttl.trim() === "" ? {} : { record_ttl_seconds: numberOf(wanted.ttl) ?? null }),
      ...(wanted.type === "MX" ? { record_mx_preference: numberOf(wanted.preference) ?? null } : {}),
    };
    const base = `${data.record_name}-${wanted.type}`;
    let name = base;
    for (let number = 2; names.has(name); number += 1) name = `${base}-${number}`;
    return run({ op: "create", type: TYPE, object: { fq_name: [...object.fq_name, name], virtual_DNS_record_data: data } }, "Added");
  };
  const cell = (label: string, name: "name" | "data" | "ttl" | "preference", width: number, placeholder: string) => (
    <Input aria-label={label} value={wanted[name]} placeholder={placeholder} style={{ width }} disabled={!create.allowed} onChange={(event) => setWanted({ ...wanted, [name]: event.target.value })} onPressEnter={() => (fault === "" ? void add() : undefined)} />
  );
  return (
    <>
      {found.data.count === 0 && <p className="form-note">No records of its own yet. Names of workloads are answered without: the compiler writes them for every IPAM that uses this server. Add what else shall have a name.</p>}
      <div className="rules">
        <table>
          <thead><tr><th scope="col">Name</th><th scope="col">Type</th><th scope="col">Leads to</th><th scope="col">Seconds</th><th scope="col">Preference</th><th scope="col"><span className="unseen">Remove</span></th></tr></thead>
          <tbody>
            {found.data.items.map((each) => <Row key={each.uuid} record={each} mayRemove={remove.allowed} onRemove={() => void run({ op: "delete", type: TYPE, uuid: each.uuid }, "Removed")} />)}
            <tr aria-label="New record">
              <td>{cell("Name of the new record", "name", 180, "www")}</td>
              <td><Select aria-label="Type of the new record" value={wanted.type} style={{ width: 100 }} disabled={!create.allowed} options={RECORD_TYPES.map((value) => ({ value, label: value }))} onChange={(type: string) => setWanted({ ...wanted, type })} /></td>
              <td>{cell("What the new record leads to", "data", 240, wanted.type === "A" ? "192.0.2.7" : wanted.type === "AAAA" ? "2001:db8::7" : "name")}</td>
              <td>{cell("Seconds the new record may be kept", "ttl", 90, "server's")}</td>
              <td>{wanted.type === "MX" && cell("Preference of the new record", "preference", 80, "10")}</td>
              <td className="rules-tools"><Button size="small" icon={<PlusOutlined />} disabled={fault !== "" || !create.allowed} onClick={() => void add()}>Add record</Button></td>
            </tr>
          </tbody>
        </table>
        {fault !== "" && (wanted.name !== "" || wanted.data !== "") && <div className="form-fault" role="alert">{fault}</div>}
        {told !== "" && <Alert type="error" showIcon role="alert" title={told} />}
        {found.data.count > LIMIT && <p className="form-note">The first {LIMIT} of {found.data.count}; <Link to={`/o/${TYPE}?q=parent_uuid:eq:${object.uuid}`}>all of them</Link></p>}
      </div>
    </>
  );
}

function text(value: Json | undefined): string {
  return value === undefined || value === null ? "" : String(value);
}

function Row({ record, mayRemove, onRemove }: { readonly record: ConfigObject; readonly mayRemove: boolean; readonly onRemove: () => void }) {
  const data = isDocument(record["virtual_DNS_record_data"]) ? record["virtual_DNS_record_data"] : {};
  const name = text(data["record_name"]);
  return (
    <tr>
      <td><Link to={`/o/${TYPE}/${record.uuid}/edit`}>{name}</Link></td>
      <td>{text(data["record_type"])}</td>
      <td className="mono">{text(data["record_data"])}</td>
      <td>{text(data["record_ttl_seconds"])}</td>
      <td>{text(data["record_mx_preference"])}</td>
      <td className="rules-tools">
        <Popconfirm title={`Remove ${name}?`} okText="Remove" onConfirm={onRemove}><Button size="small" type="text" icon={<DeleteOutlined />} disabled={!mayRemove} aria-label={`Remove record ${name}`} /></Popconfirm>
      </td>
    </tr>
  );
}
