/** The latest changes of the configuration. */

import { useQuery } from "@tanstack/react-query";
import { Link } from "react-router";

import { asOf, call } from "../../api/client";
import { useConsole } from "../../app/context";
import { midSentence, typesTitle, typeTitle } from "../../model/catalog";
import { lastName } from "../../model/document";

interface Entry {
  readonly change: string;
  readonly at: string;
  readonly by: string;
  readonly operations: readonly { readonly op: string; readonly type: string; readonly uuid: string; readonly fq_name: readonly string[] }[];
}

const SHOWN = 6;
const DONE: Readonly<Record<string, string>> = { create: "created", update: "changed", delete: "deleted" };

export function Recent() {
  const found = useQuery({
    queryKey: ["history", "all", "recent"],
    queryFn: async () => (await call<{ entries: Entry[] }>("GET", `/api/v1/history?limit=${SHOWN}${asOf("&")}`)).entries,
    retry: false,
  });
  return (
    <section className="panel" aria-label="What changed">
      <h2>What changed <span className="spread" /> <Link to="/history">History</Link></h2>
      {found.isError && <p className="form-note">{found.error.message}</p>}
      <ol className="changes">
        {(found.data ?? []).map((entry) => (
          <li key={entry.change}>
            <span className="mono" title={`${entry.at.slice(0, 19).replace("T", " ")} UTC`}>{entry.at.slice(5, 16).replace("T", " ")}</span>
            <span><What entry={entry} /> <span className="form-note">by {entry.by}</span></span>
          </li>
        ))}
      </ol>
    </section>
  );
}

function What({ entry: { operations } }: { readonly entry: Entry }) {
  const { catalog } = useConsole();
  const [first] = operations;
  if (first === undefined) return null;
  const more = operations.length - 1;
  const isOne = operations.every(({ op, type }) => op === first.op && type === first.type);
  const done = DONE[first.op] ?? first.op;
  if (more > 0 && isOne) return <>{operations.length.toLocaleString("en")} {midSentence(typesTitle(first.type))} {done}</>;
  const name = lastName(first.fq_name);
  return (
    <>
      {typeTitle(first.type)} {first.op === "delete" || catalog.objects[first.type] === undefined ? name : <Link to={`/o/${first.type}/${first.uuid}`}>{name}</Link>} {done}
      {more > 0 && `, and ${more.toLocaleString("en")} more`}
    </>
  );
}
