/** The members of an object, in words; references are links. */

import type { ReactNode } from "react";
import { Link } from "react-router";

import { useConsole } from "../../app/context";
import { shownOf } from "../../forms/shown";
import { COMMON, fieldTitle, objectType, typeTitle } from "../../model/catalog";
import { type ConfigObject, type Document, isDocument, isEmpty, isList, type Json, lastName, textsOf } from "../../model/document";
import { PORT_MEMBERS, PortFacts } from "./PortFacts";
import { ShownTable } from "./ShownTable";
import { Fact, ReferenceLink, Value } from "./Values";

interface Props {
  readonly type: string;
  readonly object: ConfigObject;
}

export function Facts({ type, object }: Props) {
  const { catalog } = useConsole();
  const entry = objectType(catalog, type);
  const isPort = type === "virtual-machine-interface";
  const shown = (name: string) => !isEmpty(object[name]) && !(isPort && PORT_MEMBERS.has(name));
  const held = (name: string, otherwise: ReactNode) => {
    const table = shownOf(type, name, object[name]);
    return table === undefined ? otherwise : <ShownTable title={fieldTitle(name, type)} shown={table} />;
  };
  const own = Object.keys(entry.properties).filter((name) => shown(name) && !COMMON.has(name));
  const references = Object.entries(entry.references ?? {}).filter(([name]) => shown(name));
  const permissions = object["id_perms"] as Document | undefined;
  return (
    <dl className="facts">
      {isPort && <PortFacts port={object} />}
      <Fact title="Full name">{object.fq_name.join(" › ")}</Fact>
      <Fact title="UUID"><span className="mono">{object.uuid}</span></Fact>
      {typeof object["parent_uuid"] === "string" && (
        <Fact title="Parent">
          <Link to={`/o/${String(object["parent_type"])}/${object["parent_uuid"]}`}>{lastName(object.fq_name.slice(0, -1))}</Link>{" "}
          <span className="form-note">{typeTitle(String(object["parent_type"]))}</span>
        </Fact>
      )}
      {own.map((name) => (
        <Fact key={name} title={fieldTitle(name, type)}>{held(name, <Value value={object[name]} />)}</Fact>
      ))}
      {references.map(([name, reference]) => (
        <Fact key={name} title={fieldTitle(name)}>{held(name, <References target={reference.target} value={object[name]} />)}</Fact>
      ))}
      {shown("display_name") && object["display_name"] !== lastName(object.fq_name) && (
        <Fact title="Display name">{String(object["display_name"])}</Fact>
      )}
      {shown("annotations") && <Fact title="Annotations">{held("annotations", <Value value={object["annotations"]} />)}</Fact>}
      <Fact title="Created">{time(permissions?.["created"])}</Fact>
      <Fact title="Changed">{time(permissions?.["last_modified"])}</Fact>
    </dl>
  );
}

function time(value: Json | undefined): string {
  return typeof value === "string" ? `${value.slice(0, 19).replace("T", " ")} UTC` : "";
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
