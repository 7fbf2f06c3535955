/** All objects of a type that the caller sees: found, sorted, selected, changed together. */

import { PlusOutlined } from "@ant-design/icons";
import { Alert, Button, Empty, Input, Select, Tooltip } from "antd";
import { useCallback, useState } from "react";
import { useNavigate, useParams, useSearchParams } from "react-router";

import { Refused } from "../../api/client";
import { moment } from "../../api/moment";
import { useRight } from "../../api/session";
import { useConsole } from "../../app/context";
import { NoPage } from "../../app/NoPage";
import { midSentence, objectType, ROOT, typesTitle } from "../../model/catalog";
import { BulkActions } from "./BulkActions";
import { ColumnChoice, useColumns } from "./ColumnChoice";
import { ObjectGrid } from "./ObjectGrid";
import { LESSONS } from "./teaching";
import { useRealised } from "./useRealised";
import { useWindowedList } from "./useWindowedList";

const OPERATORS = "eq|ne|in|lt|le|gt|ge|prefix|contains|exists|absent";
const TYPED = new RegExp(`^[a-zA-Z_][\\w.]*:(${OPERATORS})(:|$)`);

/** Text is looked for in names; `field:operator:value` is a filter of the API as it stands. */
export function filtersOf(text: string): string[] {
  const words = text.trim().split(/\s+/).filter(Boolean);
  return words.map((word) => (TYPED.test(word) ? word : `name:contains:${word}`));
}

/** By the words of the API. */
const REALISED = [
  { value: "failed", label: "✗ failed" }, { value: "pending", label: "… under way" }, { value: "unknown", label: "? not known" }, { value: "done", label: "✓ everywhere it is needed" },
];

export function ListPage() {
  const { type = "" } = useParams();
  const { catalog } = useConsole();
  if (catalog.objects[type] === undefined) {
    return <NoPage what={`There is no object type ${type}.`} />;
  }
  return <TypeList key={type} type={type} />;
}

function TypeList({ type }: { readonly type: string }) {
  const { catalog, identity } = useConsole();
  const navigate = useNavigate();
  const [search, setSearch] = useSearchParams();
  const [seen, setSeen] = useState({ first: 0, last: 60 });
  const [selected, setSelected] = useState<ReadonlySet<string>>(new Set());
  const text = search.get("q") ?? "";
  // How far they have come is known of now only.
  const asked = search.get("sort") ?? "fq_name";
  const sort = moment.get() !== null && asked.endsWith("realised") ? "fq_name" : asked;
  const entry = objectType(catalog, type);
  const [columns, chooseColumns] = useColumns(type);
  const wanted = moment.get() === null ? (search.get("realised") ?? "") : "";
  const create = useRight(identity, type, "create");
  const query = { filter: filtersOf(text), sort, ...(wanted === "" ? {} : { realised: wanted }), fields: ["id_perms", ...columns.map((column) => column.name)] };
  const found = useWindowedList(type, query, seen.first, seen.last);
  const inSight = Array.from({ length: seen.last - seen.first + 1 }, (_, offset) => found.row(seen.first + offset)?.uuid ?? "").filter((uuid) => uuid !== "");
  const realised = useRealised(type, inSight, found.revision);
  const onWindow = useCallback((first: number, last: number) => setSeen({ first, last }), []);
  const say = (name: string, value: string) => {
    setSearch((now) => {
      const next = new URLSearchParams(now);
      if (value === "") next.delete(name);
      else next.set(name, value);
      return next;
    }, { replace: true });
  };
  const onSelect = (uuid: string, isSelected: boolean) => {
    setSelected((now) => {
      const next = new Set(now);
      if (isSelected) next.add(uuid);
      else next.delete(uuid);
      return next;
    });
  };
  const compiled = entry.origin === "compiled";
  const why = compiled ? "The compiler writes these; change what they follow from" : create.why;
  return (
    <div className="page">
      <div className="page-head">
        <h1>{typesTitle(type)}</h1>
        <span className="form-note" aria-live="polite">{found.isLoading ? "" : `${found.count.toLocaleString("en")} found`}</span>
        <span className="spread" />
        <ColumnChoice type={type} columns={columns} onChoose={chooseColumns} />
        <BulkActions type={type} selected={selected} query={query} columns={columns} count={found.count} onDone={() => setSelected(new Set())} />
        <Tooltip title={why}>
          <Button type="primary" icon={<PlusOutlined />} disabled={compiled || !create.allowed} onClick={() => void navigate(`/o/${type}/new`)}>
            Create
          </Button>
        </Tooltip>
      </div>
      <span className="form-note">{entry.description}</span>
      <div className="strip">
        <Input.Search
          key={type}
          allowClear
          defaultValue={text}
          placeholder="Part of a name, or field:operator:value such as mtu:gt:1500"
          aria-label="Find among these"
          onSearch={(value) => say("q", value)}
          style={{ width: 520 }}
        />
        {moment.get() === null && (
          <Select
            mode="multiple"
            aria-label="How far they have come"
            placeholder="However far they have come"
            style={{ minWidth: 250 }}
            options={REALISED}
            value={wanted.split(",").filter(Boolean)}
            onChange={(words: string[]) => say("realised", words.join(","))}
          />
        )}
      </div>
      {found.error !== null && <Alert type="error" showIcon title={explained(found.error)} />}
      {!found.isLoading && found.error === null && found.count === 0 ? (
        <Nothing type={type} isFiltered={text !== "" || wanted !== ""} canCreate={!compiled && create.allowed} />
      ) : (
        <ObjectGrid
          type={type}
          label={`${typesTitle(type)}: list`}
          hasParents={entry.parents.some((parent) => parent !== ROOT)}
          columns={columns}
          count={found.count}
          row={found.row}
          realised={moment.get() === null ? (uuid) => realised.get(uuid) : undefined}
          sort={sort}
          onSort={(value) => say("sort", value)}
          onWindow={onWindow}
          selected={selected}
          onSelect={onSelect}
        />
      )}
    </div>
  );
}

function explained(error: Error): string {
  return error instanceof Refused && error.status === 403 ? `You may not see these: ${error.message}` : error.message;
}

interface NothingProps {
  readonly type: string;
  readonly isFiltered: boolean;
  readonly canCreate: boolean;
}

function Nothing({ type, isFiltered, canCreate }: NothingProps) {
  const navigate = useNavigate();
  const lesson = isFiltered ? undefined : LESSONS[type];
  const text = isFiltered ? "Nothing here is like that." : `There are no ${midSentence(typesTitle(type))} yet.`;
  const page = lesson?.page;
  return (
    <Empty description={text} image={Empty.PRESENTED_IMAGE_SIMPLE}>
      {lesson !== undefined && <p className="form-note" style={{ maxWidth: 520, margin: "0 auto 12px" }}>{lesson.text}</p>}
      {canCreate && !isFiltered && (
        <Button type="primary" onClick={() => void navigate(`/o/${type}/new`)}>Create the first one</Button>
      )}{" "}
      {page !== undefined && canCreate && <Button onClick={() => void navigate(page.to)}>{page.title}</Button>}
    </Empty>
  );
}
