/** Creates or changes an object by a form that is made from the model. */

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Alert, App, Button, Spin } from "antd";
import { useMemo, useState } from "react";
import { Navigate, useNavigate, useParams, useSearchParams } from "react-router";

import { call, type Found, read, Refused } from "../../api/client";
import { useConsole } from "../../app/context";
import { NoPage } from "../../app/NoPage";
import { madeFaults } from "../../forms/made";
import { midSentence, objectType, typeTitle } from "../../model/catalog";
import { checkObject, type Faults, nameFault } from "../../model/check";
import { type ConfigObject, type Document, lastName, mergePatch, pruned } from "../../model/document";
import { DryRun } from "../monitor/DryRun";
import { ObjectForm } from "./ObjectForm";
import { type Place, PlaceEditor, remember, startOf } from "./PlaceEditor";
import { PlanPreview } from "./PlanPreview";

export function EditPage() {
  const { type = "", uuid } = useParams();
  const [search] = useSearchParams();
  const { catalog } = useConsole();
  const found = useQuery({
    queryKey: ["editing", type, uuid],
    queryFn: () => read(type, uuid ?? ""),
    enabled: uuid !== undefined,
    gcTime: 0,
    staleTime: Infinity,
  });
  if (catalog.objects[type] === undefined) return <NoPage what={`There is no object type ${type}.`} />;
  if (found.isError) return <Alert type="error" title={found.error.message} />;
  if (uuid !== undefined && found.data === undefined) return <Spin style={{ margin: 48 }} />;
  const at = found.data === undefined || search.has("form") ? "" : elsewhere(type, found.data.object);
  if (at !== "") return <Navigate to={at} replace />;
  return <Editor key={`${type} ${uuid ?? "new"}`} type={type} found={found.data} />;
}

/** Where objects are edited that have a place on another one's page; `?form` is the form with all of their members. */
function elsewhere(type: string, object: ConfigObject): string {
  const parent = object["parent_uuid"];
  return type === "virtual-DNS-record" && typeof parent === "string" ? `/o/virtual-DNS/${parent}?tab=records&record=${object.uuid}` : "";
}

function editable(object: ConfigObject | undefined, names: readonly string[]): Document {
  if (object === undefined) return {};
  return Object.fromEntries(names.filter((name) => object[name] !== undefined).map((name) => [name, object[name]]));
}

function Editor({ type, found }: { readonly type: string; readonly found: Found | undefined }) {
  const { catalog } = useConsole();
  const navigate = useNavigate();
  const queries = useQueryClient();
  const { message } = App.useApp();
  const [search] = useSearchParams();
  const entry = objectType(catalog, type);
  const isNew = found === undefined;
  const before = useMemo(
    () => editable(found?.object, [...Object.keys(entry.properties), ...Object.keys(entry.references ?? {})]),
    [found, entry],
  );
  const [document, setDocument] = useState<Document>(before);
  const [place, setPlace] = useState<Place>(() => startOf(entry, search));
  const [told, setTold] = useState<Refused | null>(null);
  const [tried, setTried] = useState(false);
  const [isBusy, setIsBusy] = useState(false);
  const own = new Map([...checkObject(catalog, type, document), ...madeFaults(type, before, document)]);
  const faults = withTold(own, told);
  const wrongName = isNew ? nameFault(place.name) || parentFault(place, entry.parents) : "";
  const patch = pruned(isNew ? document : mergePatch(before, document)) as Document;
  const body: Document = isNew
    ? { ...patch, fq_name: [...place.parent, place.name], ...(place.parentType === "" ? {} : { parent_type: place.parentType }) }
    : mergePatch(before, document);
  const isBlocked = own.size > 0 || wrongName !== "" || (!isNew && Object.keys(body).length === 0);
  const save = async () => {
    setTried(true);
    if (isBlocked) return;
    setIsBusy(true);
    try {
      const saved = isNew ? await create(type, body) : await change(type, found, body);
      await queries.invalidateQueries({ predicate: ({ queryKey: [what, of] }) => of === type && what !== "editing" });
      message.success(isNew ? "Created" : "Saved");
      if (isNew) remember(place);
      void navigate(`/o/${type}/${saved.uuid}`, { replace: true });
    } catch (error) {
      setTold(error instanceof Refused ? error : new Refused(0, String(error)));
    } finally {
      setIsBusy(false);
    }
  };
  const onChange = (name: string, value: Document[string]) => {
    setDocument((now) => ({ ...now, [name]: value }));
    setTold(null);
  };
  const operation = isNew
    ? { op: "create" as const, type, object: body }
    : { op: "patch" as const, type, uuid: found.object.uuid, object: body };
  return (
    <form
      className="page"
      data-type={type}
      aria-label={isNew ? `New ${typeTitle(type)}` : `Edit ${lastName(found.object.fq_name)}`}
      onSubmit={(event) => {
        event.preventDefault();
        void save();
      }}
    >
      <div className="page-head">
        <h1>{isNew ? `New ${midSentence(typeTitle(type))}` : lastName(found.object.fq_name)}</h1>
        <span className="form-note">{isNew ? "" : typeTitle(type)}</span>
        <span className="spread" />
        <Button onClick={() => void navigate(-1)}>Cancel</Button>
        {type === "alarm" && <DryRun rule={{ ...(pruned(document) as Document), fq_name: isNew ? [...place.parent, place.name] : found.object.fq_name }} disabled={own.size > 0} />}
        <PlanPreview operations={[operation]} disabled={isBlocked} />
        <Button type="primary" htmlType="submit" loading={isBusy} disabled={tried && isBlocked}>
          {isNew ? "Create" : "Save"}
        </Button>
      </div>
      {isNew && <span className="form-note">{entry.description}</span>}
      {told !== null && <Alert type="error" showIcon role="alert" title={told.status === 412 ? MEANWHILE : told.message} />}
      {isNew && <PlaceEditor entry={entry} place={place} fault={tried ? wrongName : ""} onChange={setPlace} />}
      <ObjectForm type={type} entry={entry} document={document} faults={faults} isNew={isNew} onChange={onChange} />
    </form>
  );
}

const MEANWHILE = "Somebody changed this object meanwhile. Nothing was saved: open it again to see what it is now.";

function parentFault(place: Place, parents: readonly string[]): string {
  const needs = parents.length > 0 && !parents.includes("config-root");
  return needs && place.parent.length === 0 ? "choose what it is below" : "";
}

/** What the server said of members, beside what shows here; ours is newer, so it stands first. */
function withTold(own: Faults, told: Refused | null): Faults {
  const theirs = (told?.errors ?? []).map(({ pointer, detail }): [string, string] => [pointer, detail]);
  return new Map([...theirs, ...own]);
}

function create(type: string, body: Document): Promise<ConfigObject> {
  return call<ConfigObject>("POST", `/api/v1/${type}`, { body });
}

function change(type: string, { object, etag }: Found, body: Document): Promise<ConfigObject> {
  const headers = { "if-match": etag, "content-type": "application/merge-patch+json" };
  return call<ConfigObject>("PATCH", `/api/v1/${type}/${object.uuid}`, { body, headers });
}
