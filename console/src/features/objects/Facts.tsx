/** The members of an object, in words; references are links. */

import { useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { Link } from "react-router";

import { uuidOf } from "../../api/client";
import { useConsole } from "../../app/context";
import { COMMON, fieldTitle, objectType, typeTitle } from "../../model/catalog";
import { type ConfigObject, type Document, isDocument, isEmpty, isList, type Json, lastName, textsOf } from "../../model/document";

interface Props {
  readonly type: string;
  readonly object: ConfigObject;
}

export function Facts({ type, object }: Props) {
  const { catalog } = useConsole();
  const entry = objectType(catalog, type);
  const shown = (name: string) => !isEmpty(object[name]);
  const own = Object.keys(entry.properties).filter((name) => shown(name) && !COMMON.has(name));
  const references = Object.entries(entry.references ?? {}).filter(([name]) => shown(name));
  const permissions = object["id_perms"] as Document | undefined;
  return (
    <dl className="facts">
      <Fact title="Full name">{object.fq_name.join(" › ")}</Fact>
      <Fact title="UUID"><span className="mono">{object.uuid}</span></Fact>
      {typeof object["parent_uuid"] === "string" && (
        <Fact title="Parent">
          <Link to={`/o/${String(object["parent_type"])}/${object["parent_uuid"]}`}>{lastName(object.fq_name.slice(0, -1))}</Link>{" "}
          <span className="form-note">{typeTitle(String(object["parent_type"]))}</span>
        </Fact>
      )}
      {own.map((name) => (
        <Fact key={name} title={fieldTitle(name, type)}><Value value={object[name]} /></Fact>
      ))}
      {references.map(([name, reference]) => (
        <Fact key={name} title={fieldTitle(name)}><References target={reference.target} value={object[name]} /></Fact>
      ))}
      {shown("display_name") && object["display_name"] !== lastName(object.fq_name) && (
        <Fact title="Display name">{String(object["display_name"])}</Fact>
      )}
      {shown("annotations") && <Fact title="Annotations"><Value value={object["annotations"]} /></Fact>}
      <Fact title="Created">{time(permissions?.["created"])}</Fact>
      <Fact title="Changed">{time(permissions?.["last_modified"])}</Fact>
    </dl>
  );
}

function time(value: Json | undefined): string {
  return typeof value === "string" ? `${value.slice(0, 19).replace("T", " ")} UTC` : "";
}

function Fact({ title, children }: { readonly title: string; readonly children: ReactNode }) {
  return (
    <>
      <dt>{title}</dt>
      <dd>{children}</dd>
    </>
  );
}

export function Value({ value }: { readonly value: Json | undefined }): ReactNode {
  if (value === undefined || value === null) return "—";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (isList(value)) {
    if (value.every((each) => !isDocument(each))) return value.join(", ");
    return value.map((each, index) => (
      // oxlint-disable-next-line react/no-array-index-key -- elements have no names of their own
      <div className="form-nest" key={index}><Value value={each} /></div>
    ));
  }
  if (!isDocument(value)) return String(value);
  const members = Object.entries(value).filter(([, each]) => !isEmpty(each));
  const [only] = members;
  if (members.length === 1 && only !== undefined && isList(only[1])) return <Value value={only[1]} />;
  return (
    <dl className="facts" style={{ gap: "2px 14px" }}>
      {members.map(([name, each]) => (
        <Fact key={name} title={fieldTitle(name)}><Value value={each} /></Fact>
      ))}
    </dl>
  );
}

function References({ target, value }: { readonly target: string; readonly value: Json | undefined }) {
  const items = isList(value) ? value.filter(isDocument) : [];
  return items.map((item) => {
    const to = textsOf(item["to"]);
    return (
      <div key={to.join(":")}>
        <ReferenceLink target={target} to={to} uuid={typeof item["uuid"] === "string" ? item["uuid"] : ""} />
        {!isEmpty(item["attr"]) && <div className="form-nest"><Value value={item["attr"]} /></div>}
      </div>
    );
  });
}

interface LinkProps {
  readonly target: string;
  readonly to: readonly string[];
  readonly uuid: string;
}

/** References may come without uuid: then the name leads there. */
function ReferenceLink({ target, to, uuid }: LinkProps) {
  const found = useQuery({
    queryKey: ["named", target, to],
    queryFn: async () => (await uuidOf(target, to)) ?? "",
    enabled: uuid === "",
    staleTime: 60_000,
  });
  const known = uuid || found.data || undefined;
  const text = <>{lastName(to)} <span className="form-note">{to.slice(0, -1).join(" › ")}</span></>;
  return known === undefined ? text : <Link to={`/o/${target}/${known}`}>{text}</Link>;
}
