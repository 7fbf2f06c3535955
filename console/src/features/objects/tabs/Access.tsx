/** Whose an object is and whom it is shared with: read, change, refer to. */

import { DeleteOutlined } from "@ant-design/icons";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Alert, App, Button, Checkbox } from "antd";
import { useState } from "react";

import { call, list } from "../../../api/client";
import { usePermissions } from "../../../api/session";
import { useConsole } from "../../../app/context";
import { ObjectPicker } from "../../../forms/ObjectPicker";
import { type ConfigObject, isDocument, isList } from "../../../model/document";
import { tenantKey } from "./quotas";

const RIGHTS = [["read", 4], ["change", 2], ["refer to", 1]] as const;
const LIMIT = 10_000;

interface Share {
  readonly tenant: string;
  readonly tenant_access: number;
}

interface Permissions {
  readonly owner: string;
  readonly owner_access: number;
  readonly global_access: number;
  readonly share: readonly Share[];
}

function permissionsOf(object: ConfigObject): Permissions {
  const held = isDocument(object["perms2"]) ? object["perms2"] : {};
  const share = isList(held["share"]) ? held["share"].filter(isDocument) : [];
  return {
    owner: String(held["owner"] ?? ""), owner_access: Number(held["owner_access"] ?? 7), global_access: Number(held["global_access"] ?? 0),
    share: share.map((each) => ({ tenant: String(each["tenant"]), tenant_access: Number(each["tenant_access"] ?? 0) })),
  };
}

export function Access({ object }: { readonly object: ConfigObject }) {
  const { identity } = useConsole();
  const queries = useQueryClient();
  const { message } = App.useApp();
  const held = permissionsOf(object);
  const [edited, setEdited] = useState(held);
  const [told, setTold] = useState("");
  const mayChange = usePermissions(identity, object.uuid).includes("W");
  const projects = useQuery({ queryKey: ["list", "project", "names"], queryFn: () => list("project", { fields: [], limit: LIMIT }), retry: false });
  const names = new Map((projects.data?.items ?? []).map((each) => [tenantKey(each.uuid), each.fq_name.join(" › ")]));
  const nameOf = (tenant: string) => names.get(tenantKey(tenant)) ?? tenant;
  const save = async () => {
    setTold("");
    try {
      await call("POST", "/chmod", { body: { uuid: object.uuid, ...edited } });
      await queries.invalidateQueries({ queryKey: ["object"] });
      message.success("Saved");
    } catch (error) {
      setTold(error instanceof Error ? error.message : String(error));
    }
  };
  const setShare = (tenant: string, tenant_access: number) => setEdited({ ...edited, share: edited.share.map((each) => (each.tenant === tenant ? { tenant, tenant_access } : each)) });
  return (
    <>
      <p className="form-note">What roles may do at all is said by access lists; this says who may do it with this object.</p>
      <div className="rules">
        <table>
          <thead><tr><th scope="col">Who</th>{RIGHTS.map(([word]) => <th key={word} scope="col">May {word}</th>)}<th scope="col"><span className="unseen">Remove</span></th></tr></thead>
          <tbody>
            <Row title={`Owner: ${nameOf(edited.owner)}`} who="the owner" value={edited.owner_access} disabled={!mayChange} onChange={(owner_access) => setEdited({ ...edited, owner_access })} />
            <Row title="Everybody" who="everybody" value={edited.global_access} disabled={!mayChange} onChange={(global_access) => setEdited({ ...edited, global_access })} />
            {edited.share.map(({ tenant, tenant_access }) => (
              <Row key={tenant} title={nameOf(tenant)} who={nameOf(tenant)} value={tenant_access} disabled={!mayChange} onChange={(next) => setShare(tenant, next)} onRemove={() => setEdited({ ...edited, share: edited.share.filter((each) => each.tenant !== tenant) })} />
            ))}
          </tbody>
        </table>
      </div>
      <div className="form-row">
        <label htmlFor="share-with">Share with</label>
        <ObjectPicker id="share-with" type="project" label="Project to share with" value={[]} disabled={!mayChange} onChange={(_, uuid) => setEdited(edited.share.some((each) => tenantKey(each.tenant) === tenantKey(uuid)) ? edited : { ...edited, share: [...edited.share, { tenant: uuid, tenant_access: 5 }] })} />
      </div>
      <div className="form-row">
        <label htmlFor="new-owner">Give to</label>
        <ObjectPicker id="new-owner" type="project" label="Project that owns it" value={[]} disabled={!mayChange} onChange={(_, uuid) => setEdited({ ...edited, owner: tenantKey(uuid) })} />
      </div>
      {told !== "" && <Alert type="error" showIcon role="alert" title={told} />}
      <Button type="primary" disabled={!mayChange || JSON.stringify(held) === JSON.stringify(edited)} onClick={() => void save()}>Save access</Button>
    </>
  );
}

interface RowProps {
  readonly title: string;
  readonly who: string;
  readonly value: number;
  readonly disabled: boolean;
  readonly onChange: (value: number) => void;
  readonly onRemove?: () => void;
}

function Row({ title, who, value, disabled, onChange, onRemove }: RowProps) {
  return (
    <tr>
      <td>{title}</td>
      {RIGHTS.map(([word, bit]) => (
        <td key={word}><Checkbox aria-label={`${who} may ${word}`} checked={(value & bit) !== 0} disabled={disabled} onChange={(event) => onChange(event.target.checked ? value | bit : value & ~bit)} /></td>
      ))}
      <td className="rules-tools">{onRemove !== undefined && <Button size="small" type="text" icon={<DeleteOutlined />} disabled={disabled} aria-label={`Stop sharing with ${who}`} onClick={onRemove} />}</td>
    </tr>
  );
}
