/** Values of members in words, and references as links. */

import { useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { Link } from "react-router";

import { uuidOf } from "../../api/client";
import { fieldTitle } from "../../model/catalog";
import { isDocument, isEmpty, isList, type Json, lastName } from "../../model/document";

export function Fact({ title, children }: { readonly title: string; readonly children: ReactNode }) {
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

interface LinkProps {
  readonly target: string;
  readonly to: readonly string[];
  readonly uuid: string;
}

/** References may come without uuid: then the name leads there. */
export function ReferenceLink({ target, to, uuid }: LinkProps) {
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
