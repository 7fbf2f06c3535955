/** What can be done with many objects at once: delete, set a field, export. All of it or nothing. */

import { DeleteOutlined, EditOutlined, ExportOutlined } from "@ant-design/icons";
import { useQueryClient } from "@tanstack/react-query";
import { Alert, App, Button, Checkbox, Dropdown, Modal } from "antd";
import { useState } from "react";

import { type Query, transact } from "../../api/client";
import { useRight } from "../../api/session";
import { useConsole } from "../../app/context";
import { objectType } from "../../model/catalog";
import { BulkEdit } from "./BulkEdit";
import type { Column } from "./columns";
import { download, exportAll, exportTable } from "./transfer";

interface Props {
  readonly type: string;
  readonly selected: ReadonlySet<string>;
  readonly query: Query;
  readonly columns: readonly Column[];
  readonly count: number;
  readonly onDone: () => void;
}

export function BulkActions({ type, selected, query, columns, count, onDone }: Props) {
  const { catalog, identity } = useConsole();
  const { message } = App.useApp();
  const [doing, setDoing] = useState<"" | "delete" | "edit">("");
  const update = useRight(identity, type, "update");
  const remove = useRight(identity, type, "delete");
  const compiled = objectType(catalog, type).origin === "compiled";
  const uuids = [...selected];
  const exportThese = async (kind: string) => {
    if (kind === "csv") {
      const { text, count: rows } = await exportTable(type, query, columns);
      download(`${type}.csv`, text, "text/csv");
      message.success(`${rows} exported`);
      return;
    }
    const entries = await exportAll(type, query);
    download(`${type}.json`, `${JSON.stringify(entries, null, 2)}\n`);
    message.success(`${entries.length} exported`);
  };
  const close = (isDone: boolean) => {
    setDoing("");
    if (isDone) onDone();
  };
  return (
    <>
      {uuids.length > 0 && <span className="form-note">{uuids.length} selected</span>}
      {uuids.length > 0 && !compiled && (
        <>
          <Button icon={<EditOutlined />} disabled={!update.allowed} onClick={() => setDoing("edit")}>Set a field</Button>
          <Button danger icon={<DeleteOutlined />} disabled={!remove.allowed} onClick={() => setDoing("delete")}>Delete</Button>
        </>
      )}
      <Dropdown
        disabled={count === 0}
        trigger={["click"]}
        menu={{
          items: [{ key: "json", label: "JSON, to be imported" }, { key: "csv", label: "CSV, the columns shown" }],
          onClick: ({ key }) => void exportThese(key).catch((error: unknown) => message.error(String(error))),
        }}
      >
        <Button icon={<ExportOutlined />} disabled={count === 0}>Export</Button>
      </Dropdown>
      {doing === "delete" && <DeleteMany type={type} uuids={uuids} onClose={close} />}
      {doing === "edit" && <BulkEdit type={type} uuids={uuids} onClose={close} />}
    </>
  );
}

interface ManyProps {
  readonly type: string;
  readonly uuids: readonly string[];
  readonly onClose: (isDone: boolean) => void;
}

export function DeleteMany({ type, uuids, onClose }: ManyProps) {
  const queries = useQueryClient();
  const { message } = App.useApp();
  const [cascade, setCascade] = useState(false);
  const [fault, setFault] = useState("");
  const [busy, setBusy] = useState(false);
  const go = async () => {
    setBusy(true);
    try {
      await transact(uuids.map((uuid) => ({ op: "delete", type, uuid, cascade })));
      await queries.invalidateQueries({ queryKey: ["list", type] });
      message.success(uuids.length === 1 ? "Deleted" : `${uuids.length} deleted`);
      onClose(true);
    } catch (error) {
      setFault(error instanceof Error ? error.message : String(error));
    } finally {
      setBusy(false);
    }
  };
  const title = uuids.length === 1 ? "Delete this object?" : `Delete these ${uuids.length} objects?`;
  return (
    <Modal
      open
      title={title}
      okText="Delete"
      okButtonProps={{ danger: true, loading: busy }}
      onOk={() => void go()}
      onCancel={() => onClose(false)}
    >
      <p>All of them go, or none does when something forbids it.</p>
      <Checkbox checked={cascade} onChange={(event) => setCascade(event.target.checked)}>
        Also delete what is in the way: children, and objects that refer to these
      </Checkbox>
      {fault !== "" && <Alert type="error" showIcon title={fault} role="alert" style={{ marginTop: 12 }} />}
    </Modal>
  );
}
