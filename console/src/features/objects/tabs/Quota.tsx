/** How many objects of each type a project has, and may have. */

import { useQueries, useQueryClient } from "@tanstack/react-query";
import { Alert, App, Button } from "antd";
import { useState } from "react";

import { count, transact } from "../../../api/client";
import { isAdministrator, useRight } from "../../../api/session";
import { useConsole } from "../../../app/context";
import { numberOf } from "../../../forms/numbers";
import { TextCell } from "../../../forms/TableCell";
import { fieldTitle } from "../../../model/catalog";
import { checkObject } from "../../../model/check";
import { type ConfigObject, type Document, isDocument, type Json, mergePatch, pointer } from "../../../model/document";
import { filterOf, limitOf } from "./quotas";

export function Quota({ object }: { readonly object: ConfigObject }) {
  const { catalog, identity } = useConsole();
  const queries = useQueryClient();
  const { message } = App.useApp();
  const held: Document = isDocument(object["quota"]) ? object["quota"] : {};
  const [edited, setEdited] = useState<Document>(held);
  const [told, setTold] = useState("");
  const right = useRight(identity, "project", "update");
  const mayLimit = right.allowed && isAdministrator(identity);
  const members = Object.keys(catalog.types["QuotaType"]?.fields ?? {}).filter((name) => catalog.types["QuotaType"]?.fields[name]?.base === "integer");
  const countable = members.filter((name) => filterOf(catalog, name, object.uuid) !== "");
  const counts = useQueries({
    queries: countable.map((name) => {
      const type = name.replaceAll("_", "-");
      return { queryKey: ["list", type, "quota", object.uuid], queryFn: () => count(type, [filterOf(catalog, name, object.uuid), `name:ne:default-${type}`]), retry: false };
    }),
  });
  const faults = checkObject(catalog, "project", { quota: edited });
  const patch = mergePatch(held, edited);
  const save = async () => {
    setTold("");
    try {
      await transact([{ op: "patch", type: "project", uuid: object.uuid, object: { quota: patch } }]);
      await queries.invalidateQueries({ queryKey: ["object", "project", object.uuid] });
      message.success("Saved");
    } catch (error) {
      setTold(error instanceof Error ? error.message : String(error));
    }
  };
  const shown = [...countable, ...members.filter((name) => !countable.includes(name) && (name === "defaults" || name === "subnet" || name === "security_group_rule" || held[name] !== undefined))];
  return (
    <>
      <p className="form-note">Left empty, the limit of <em>defaults</em> holds, and without that none. -1 is no limit. What every project has does not count.</p>
      <div className="rules">
        <table>
          <thead><tr><th scope="col">What</th><th scope="col">Used</th><th scope="col">Limit</th><th scope="col">Share</th></tr></thead>
          <tbody>
            {shown.map((name) => {
              const used = counts[countable.indexOf(name)]?.data;
              const limit = limitOf(edited, name);
              const fault = faults.get(pointer(["quota", name]));
              const title = fieldTitle(name);
              return (
                <tr key={name}>
                  <td>{title}</td>
                  <td>{used?.toLocaleString("en") ?? "–"}</td>
                  <td>
                    <TextCell label={`Limit of ${title}`} width={110} placeholder={name === "defaults" || limit < 0 ? "none" : String(limit)} value={String(edited[name] ?? "")} disabled={!mayLimit} isWrong={fault !== undefined} onChange={(text) => setEdited({ ...edited, [name]: numberOf(text) as Json | undefined })} />
                    {fault !== undefined && <div className="form-fault" role="alert">{fault}</div>}
                  </td>
                  <td>{used !== undefined && limit >= 0 && <><meter min={0} max={Math.max(1, limit)} high={limit * 0.9} value={used} aria-label={`${title}: ${used} of ${limit}`} /> {used} of {limit}</>}</td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
      {told !== "" && <Alert type="error" showIcon role="alert" title={told} />}
      <Button type="primary" disabled={!mayLimit || faults.size > 0 || Object.keys(patch).length === 0} onClick={() => void save()}>Save limits</Button>
    </>
  );
}
