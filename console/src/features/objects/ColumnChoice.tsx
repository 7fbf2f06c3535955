/** Which columns the list of a type has: chosen by each user, kept in the browser. */

import { SettingOutlined } from "@ant-design/icons";
import { Button, Popover, Select } from "antd";
import { useState } from "react";

import { objectType } from "../../model/catalog";
import { useConsole } from "../../app/context";
import { type Column, columnsOf, offeredColumns, usualColumns } from "./columns";

const SHOWN_MAX = 12;
const keyOf = (type: string) => `skytrail.columns.${type}`;

function kept(type: string): string[] | undefined {
  const text = localStorage.getItem(keyOf(type));
  const names: unknown = text === null ? undefined : text.split(",").filter(Boolean);
  return Array.isArray(names) && names.length > 0 ? names : undefined;
}

/** The columns of a list, and what chooses others; none chosen: the usual ones again. */
export function useColumns(type: string): readonly [columns: readonly Column[], choose: (names: readonly string[]) => void] {
  const { catalog } = useConsole();
  const entry = objectType(catalog, type);
  const [names, setNames] = useState(() => kept(type));
  const choose = (next: readonly string[]) => {
    const isUsual = next.length === 0 || next.join() === usualColumns(type, entry).join();
    if (isUsual) localStorage.removeItem(keyOf(type));
    else localStorage.setItem(keyOf(type), next.join(","));
    setNames(isUsual ? undefined : [...next]);
  };
  return [columnsOf(type, entry, names), choose];
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
      <p className="form-note">In the order in which they are chosen; kept in this browser.</p>
      <Button size="small" onClick={() => onChoose([])}>The usual ones</Button>
    </div>
  );
  return (
    <Popover trigger="click" placement="bottomRight" content={choice}>
      <Button icon={<SettingOutlined />}>Columns</Button>
    </Popover>
  );
}
