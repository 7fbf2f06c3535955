/** Which columns the list of a type has: in the page's address, so that whoever opens it sees the same; what a user chose last is kept in the browser. */

import { SettingOutlined } from "@ant-design/icons";
import { Button, Popover, Select } from "antd";
import { useEffect } from "react";
import { useSearchParams } from "react-router";

import { objectType } from "../../model/catalog";
import { useConsole } from "../../app/context";
import { type Column, columnsOf, columnsTold, offeredColumns, tellColumns, usualColumns } from "./columns";

const SHOWN_MAX = 12;
const keyOf = (type: string) => `skytrail.columns.${type}`;

const ADDRESS = "columns";

/** The columns of a list, and what chooses others; none chosen: the usual ones again. */
export function useColumns(type: string): readonly [columns: readonly Column[], choose: (names: readonly string[]) => void] {
  const { catalog } = useConsole();
  const entry = objectType(catalog, type);
  const [search, setSearch] = useSearchParams();
  const asked = search.get(ADDRESS);
  const usual = usualColumns(type, entry);
  const names = columnsTold(asked ?? localStorage.getItem(keyOf(type)) ?? "", type, entry) ?? usual;
  const told = tellColumns(names, usual);
  useEffect(() => {
    if (asked !== null) return;
    setSearch((now) => withColumns(now, told), { replace: true });
  }, [asked, told, setSearch]);
  const choose = (next: readonly string[]) => {
    const text = tellColumns(next, usual);
    localStorage.setItem(keyOf(type), text);
    setSearch((now) => withColumns(now, text), { replace: true });
  };
  return [columnsOf(type, entry, names), choose];
}

function withColumns(search: URLSearchParams, columns: string): URLSearchParams {
  const next = new URLSearchParams(search);
  next.set(ADDRESS, columns);
  return next;
}

interface Props {
  readonly type: string;
  readonly columns: readonly Column[];
  readonly onChoose: (names: readonly string[]) => void;
}

export function ColumnChoice({ type, columns, onChoose }: Props) {
  const { catalog } = useConsole();
  const options = offeredColumns(type, objectType(catalog, type)).map(({ name, title }) => ({ value: name, label: title, title: name }));
  const choice = (
    <div style={{ width: 360 }}>
      <Select mode="multiple" aria-label="Columns shown" style={{ width: "100%" }} optionFilterProp="label" maxCount={SHOWN_MAX} value={columns.map(({ name }) => name)} options={options} onChange={(names: string[]) => onChoose(names)} />
      <p className="form-note">In the order in which they are chosen; kept in this browser, and part of the page&apos;s address.</p>
      <Button size="small" onClick={() => onChoose([])}>The usual ones</Button>
    </div>
  );
  return (
    <Popover trigger="click" placement="bottomRight" content={choice}>
      <Button icon={<SettingOutlined />}>Columns</Button>
    </Popover>
  );
}
