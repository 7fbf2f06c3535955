/** What is below an object and what refers to it: counted first, shown when opened. */

import { useQueries, useQuery } from "@tanstack/react-query";
import { Button, Collapse, Empty, Spin } from "antd";
import { Link, useNavigate } from "react-router";

import { count, list } from "../../api/client";
import { moment } from "../../api/moment";
import { useConsole } from "../../app/context";
import { midSentence, type Catalog, fieldTitle, objectType, typesTitle, typeTitle } from "../../model/catalog";
import { type ConfigObject, lastName } from "../../model/document";

const SHOWN_COUNT = 50;

interface Relation {
  readonly key: string;
  readonly type: string;
  readonly title: string;
  readonly filter: string;
  readonly isChild: boolean;
}

export function relationsOf(catalog: Catalog, type: string, uuid: string): Relation[] {
  const entry = objectType(catalog, type);
  const children = [...new Set(Object.values(entry.children ?? {}))].map((child) => ({
    key: `child ${child}`,
    type: child,
    title: `Below it: ${midSentence(typesTitle(child))}`,
    filter: `parent_uuid:eq:${uuid}`,
    isChild: true,
  }));
  const sources = [...new Set(Object.values(entry.backReferences ?? {}))];
  const referring = sources.flatMap((source) =>
    Object.entries(catalog.objects[source]?.references ?? {})
      .filter(([, reference]) => reference.target === type)
      .map(([name]) => ({
        key: `${source} ${name}`,
        type: source,
        title: `${typesTitle(source)} by ${midSentence(fieldTitle(name))}`,
        filter: `${name}:eq:${uuid}`,
        isChild: false,
      })),
  );
  return [...children, ...referring];
}

export function Related({ type, object }: { readonly type: string; readonly object: ConfigObject }) {
  const { catalog } = useConsole();
  const navigate = useNavigate();
  const relations = relationsOf(catalog, type, object.uuid);
  const counts = useQueries({
    queries: relations.map((relation) => ({
      queryKey: ["related", relation.type, relation.filter, "count"],
      queryFn: () => count(relation.type, [relation.filter]),
      retry: false,
    })),
  });
  const present = relations.map((relation, index) => ({ relation, number: counts[index]?.data ?? 0 })).filter(({ number }) => number > 0);
  if (counts.some((each) => each.isLoading)) return <Spin />;
  const creatable = moment.get() !== null ? [] : relations.filter((each) => each.isChild && catalog.objects[each.type]?.origin === undefined);
  const parent = `parent_type=${type}&parent=${encodeURIComponent(object.fq_name.join(":"))}`;
  return (
    <>
      {present.length === 0 && <Empty image={Empty.PRESENTED_IMAGE_SIMPLE} description="Nothing is below it and nothing refers to it." />}
      <Collapse
        items={present.map(({ relation, number }) => ({
          key: relation.key,
          label: `${relation.title} (${number.toLocaleString("en")})`,
          children: <RelatedList relation={relation} number={number} />,
        }))}
      />
      <div style={{ display: "flex", gap: 8, flexWrap: "wrap", marginTop: 12 }}>
        {creatable.map((each) => (
          <Button key={each.key} size="small" onClick={() => void navigate(`/o/${each.type}/new?${parent}`)}>
            New {midSentence(typeTitle(each.type))}
          </Button>
        ))}
      </div>
    </>
  );
}

function RelatedList({ relation, number }: { readonly relation: Relation; readonly number: number }) {
  const found = useQuery({
    queryKey: ["related", relation.type, relation.filter, "list"],
    queryFn: () => list(relation.type, { filter: [relation.filter], fields: [], limit: SHOWN_COUNT }),
  });
  if (found.data === undefined) return <Spin />;
  return (
    <>
      {found.data.items.map((each) => (
        <div key={each.uuid}>
          <Link to={`/o/${relation.type}/${each.uuid}`}>{lastName(each.fq_name)}</Link>{" "}
          <span className="form-note">{each.fq_name.slice(0, -1).join(" › ")}</span>
        </div>
      ))}
      {number > SHOWN_COUNT && <Link to={`/o/${relation.type}?q=${encodeURIComponent(relation.filter)}`}>All {number}</Link>}
    </>
  );
}
