/** Sets one field of many objects in one transaction. */

import { useQueryClient } from "@tanstack/react-query";
import { Alert, App, Modal, Select } from "antd";
import { useState } from "react";

import { transact } from "../../api/client";
import { isAdministrator } from "../../api/session";
import { useConsole } from "../../app/context";
import { PropertyEditor } from "../../forms/PropertyEditor";
import { ReferenceEditor } from "../../forms/ReferenceEditor";
import { canWrite, fieldTitle, isForAdministrators, objectType } from "../../model/catalog";
import { checkObject } from "../../model/check";
import { isEmpty, type Json, pruned } from "../../model/document";

interface Props {
  readonly type: string;
  readonly uuids: readonly string[];
  readonly onClose: (isDone: boolean) => void;
}

export function BulkEdit({ type, uuids, onClose }: Props) {
  const { catalog, identity } = useConsole();
  const queries = useQueryClient();
  const { message } = App.useApp();
  const [name, setName] = useState("");
  const [value, setValue] = useState<Json | undefined>(undefined);
  const [fault, setFault] = useState("");
  const entry = objectType(catalog, type);
  const field = entry.properties[name];
  const reference = entry.references?.[name];
  const faults = checkObject(catalog, type, { [name]: value });
  const names = [
    ...Object.entries(entry.properties).filter(([, each]) => canWrite(each.operations, false)),
    ...Object.entries(entry.references ?? {}),
  ]
    .filter(([each, member]) => each !== "id_perms" && (isAdministrator(identity) || !isForAdministrators(member.guard)))
    .map(([each]) => each);
  const go = async () => {
    const given = value === undefined || isEmpty(value) ? null : pruned(value);
    try {
      await transact(uuids.map((uuid) => ({ op: "patch", type, uuid, object: { [name]: given } })));
      await queries.invalidateQueries({ queryKey: ["list", type] });
      message.success(`${uuids.length} changed`);
      onClose(true);
    } catch (error) {
      setFault(error instanceof Error ? error.message : String(error));
    }
  };
  return (
    <Modal
      open
      width={760}
      title={`Set a field of ${uuids.length === 1 ? "one object" : `${uuids.length} objects`}`}
      okText="Set"
      okButtonProps={{ disabled: name === "" || faults.size > 0 }}
      onOk={() => void go()}
      onCancel={() => onClose(false)}
    >
      <Select
        showSearch
        style={{ width: "100%", marginBottom: 12 }}
        placeholder="Which field"
        aria-label="Which field"
        options={names.map((each) => ({ value: each, label: `${fieldTitle(each)} (${each})` }))}
        onChange={(each: string) => {
          setName(each);
          setValue(undefined);
        }}
      />
      {field !== undefined && (
        <PropertyEditor name={name} field={field} value={value} path={[name]} faults={faults} onChange={setValue} />
      )}
      {reference !== undefined && (
        <ReferenceEditor name={name} reference={reference} value={value} faults={faults} onChange={setValue} />
      )}
      <p className="form-note">Left empty, the field is taken away. Lists are replaced as a whole.</p>
      {fault !== "" && <Alert type="error" showIcon title={fault} role="alert" />}
    </Modal>
  );
}
