/** What decided about a session: the object that has the rule, else as hosts told it. */

import { Link } from "react-router";

import { midSentence, typeTitle } from "../../model/catalog";
import { lastName } from "../../model/document";
import { type NamedRule, useRule } from "./useFlows";

export function HolderLink({ holder: { type, uuid, name } }: { readonly holder: NamedRule }) {
  return <>{midSentence(typeTitle(type))} <Link to={`/o/${type}/${uuid}`}>{lastName(name)}</Link></>;
}

export function NamedDecider({ rule }: { readonly rule: string }) {
  const { data } = useRule(rule);
  return data === undefined || data === null ? rule : <HolderLink holder={data} />;
}
