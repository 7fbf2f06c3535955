/** Rows of one table of one process, a page at a time: the process itself filters and counts them. */

import { ReloadOutlined } from "@ant-design/icons";
import { useQuery } from "@tanstack/react-query";
import { Alert, Button, Input, Select, Table, Tag } from "antd";
import { Link } from "react-router";

import { type Asked, type Column, columnsOf, factsOf, type LiveTable, PAGE_ROWS, type Place, queryOf, type Row, textOf } from "./liveTables";
import { gather, type Gathered } from "./processes";
import { absence } from "./uves";

const AGAIN_MS = 5000;
/** Longer tables are read when asked: to count the rows costs the process time. */
const SOON_ROWS = 2000;
const CHOICES_MAX = 5000;

interface Props {
  readonly place: Place;
  readonly table: LiveTable;
  readonly asked: Asked;
  readonly onAsk: (asked: Asked) => void;
}

export function LiveRows({ place, table, asked, onAsk }: Props) {
  const found = useQuery({
    queryKey: ["live", ...place, table.name, queryOf(asked, place).toString()],
    queryFn: ({ signal }) => gather(table.name, queryOf(asked, place), signal),
    refetchInterval: ({ state }) => (table.isCostly !== true && (state.data?.total ?? Infinity) <= SOON_ROWS ? AGAIN_MS : false),
    retry: false,
    placeholderData: (before, query) => (query?.queryKey[3] === table.name ? before : undefined),
  });
  const rows = found.data?.rows ?? [];
  return (
    <>
      {table.about !== "" && <p className="form-note" style={{ margin: 0 }}>{table.about}</p>}
      <div className="strip">
        {table.by !== undefined && <Narrowing key={table.name} place={place} by={table.by} asked={asked} onAsk={onAsk} />}
        <Input.Search
          key={`${table.name} ${asked.match}`}
          allowClear
          aria-label="Rows that hold"
          placeholder="rows that hold this text"
          defaultValue={asked.match}
          style={{ width: 300 }}
          onSearch={(match) => onAsk({ ...asked, match: match.trim(), page: 1 })}
        />
        {Object.entries(asked.where).filter(([name]) => name !== table.by?.column).map(([name, value]) => (
          <Tag key={name} closable={{ "aria-label": `All rows, whatever their ${name}` }} onClose={() => onAsk(without(asked, name))}>{name} is {value}</Tag>
        ))}
        <span className="spread" />
        <span className="form-note" role="status">{counted(found.data, found.dataUpdatedAt)}</span>
        <Button size="small" icon={<ReloadOutlined />} loading={found.isFetching && !found.isLoading} onClick={() => void found.refetch()}>Read again</Button>
      </div>
      {found.isError && <Alert type="warning" showIcon title={absence(found.error)} />}
      {(found.data?.failures ?? []).map(({ node, process, reason }) => <Alert key={`${node} ${process}`} type="warning" showIcon title={`${node}: ${reason}`} />)}
      <Table<Row>
        size="small"
        loading={found.isLoading}
        rowKey={(_, index) => String(index)}
        dataSource={rows as Row[]}
        scroll={{ x: "max-content" }}
        pagination={(found.data?.total ?? 0) > PAGE_ROWS && { current: asked.page, pageSize: PAGE_ROWS, total: found.data?.total ?? 0, showSizeChanger: false, onChange: (page) => onAsk({ ...asked, page }) }}
        locale={{ emptyText: found.isError ? "Nothing was read" : "There are no such rows" }}
        columns={columnsOf(table, rows).map((column) => ({ title: column.title, key: column.name, render: (_: unknown, row: Row) => <Cell column={column} row={row} place={place} /> }))}
        expandable={WHOLE}
      />
    </>
  );
}

function without(asked: Asked, name: string): Asked {
  return { ...asked, page: 1, where: Object.fromEntries(Object.entries(asked.where).filter(([each]) => each !== name)) };
}

function counted(found: Gathered | undefined, readAt: number): string {
  if (found === undefined) return "";
  const rows = found.total === 1 ? "1 row" : `${found.total.toLocaleString("en")} rows`;
  return `${rows}, read at ${new Date(readAt).toISOString().slice(11, 19)} UTC`;
}

function Cell({ column, row, place }: { readonly column: Column; readonly row: Row; readonly place: Place }) {
  const text = textOf(column, row);
  const to = column.to?.(row, place);
  const tone = column.tone?.(row);
  if (text === "") return null;
  if (to !== undefined) return <Link to={to}>{text}</Link>;
  return tone === undefined ? <span className="live-cell">{text}</span> : <Tag color={tone}>{text}</Tag>;
}

function Facts({ row }: { readonly row: Row }) {
  return (
    <dl className="facts">
      {factsOf(row).map(([title, text]) => (
        <div key={title} style={{ display: "contents" }}>
          <dt>{title}</dt>
          <dd>{text}</dd>
        </div>
      ))}
    </dl>
  );
}

const WHOLE = { expandedRowRender: factsShown };

function factsShown(row: Row) {
  return <Facts row={row} />;
}

interface NarrowingProps extends Pick<Props, "place" | "asked" | "onAsk"> {
  readonly by: NonNullable<LiveTable["by"]>;
}

function Narrowing({ place: [node, process], by, asked, onAsk }: NarrowingProps) {
  const values = useQuery({
    queryKey: ["live", node, process, by.table, "values"],
    queryFn: ({ signal }) => gather(by.table, new URLSearchParams({ node, process, limit: String(CHOICES_MAX) }), signal),
    staleTime: 30_000,
    retry: false,
  });
  const names = (values.data?.rows ?? []).map((row) => String(row[by.of] ?? "")).toSorted();
  const choose = (value?: string | null) => {
    const next = without(asked, by.column);
    onAsk(value === undefined || value === null ? next : { ...next, where: { ...next.where, [by.column]: value } });
  };
  return (
    <Select
      allowClear
      showSearch={{ optionFilterProp: "label" }}
      aria-label={by.title}
      placeholder={`every ${by.title}`}
      style={{ width: 340 }}
      value={asked.where[by.column] ?? null}
      options={names.map((value) => ({ value, label: value.replace(/^default-domain:/, "") }))}
      onChange={choose}
    />
  );
}
