/** Cells of tables and structures: a text, words to choose from, or an object. */

import { Select } from "antd";

import type { Document } from "../model/document";
import type { ColumnGroup, ListColumn } from "./columns";
import { ObjectPicker } from "./ObjectPicker";
import { ChoiceCell, NameCell, TextCell, UuidsCell } from "./TableCell";

interface Props {
  readonly label: string;
  readonly column: ListColumn;
  readonly element: Document;
  readonly disabled: boolean;
  /** Nothing was said yet: what lacks is no fault. */
  readonly isQuiet?: boolean;
  readonly onChange: (element: Document) => void;
}

export function Cell({ label, column, element, disabled, isQuiet = false, onChange }: Props) {
  const shown = column.show(element);
  const fault = isQuiet ? "" : (column.fault?.(shown, element) ?? "");
  return (
    <>
      <Editor label={label} column={column} element={element} disabled={disabled} onChange={onChange} isWrong={fault !== "" && shown !== ""} />
      {fault !== "" && <div className="form-fault" role="alert">{fault}</div>}
    </>
  );
}

function Editor({ label, column, element, disabled, onChange, isWrong }: Props & { readonly isWrong: boolean }) {
  const { show, put, width, choices = [], isClosed = false, isMany = false, hint = "", picks, picksMany, offers } = column;
  const shown = show(element);
  const change = (text: string) => onChange(put(element, text));
  const options = choices.map((each) => ({ value: each, label: each }));
  const common = { label, value: shown, disabled, width, isWrong, onChange: change };
  const offered = offers?.(element) ?? "";
  if (picks !== undefined) {
    return <div style={{ width }}><ObjectPicker id={label} type={picks} label={label} value={shown === "" ? [] : shown.split(":")} disabled={disabled} isWrong={isWrong} onChange={(name) => change(name.join(":"))} /></div>;
  }
  if (picksMany !== undefined) return <UuidsCell {...common} type={picksMany} placeholder={hint} />;
  if (isMany) return <Select mode="multiple" aria-label={label} disabled={disabled} placeholder={hint} style={{ width }} options={options} value={shown.split(", ").filter(Boolean)} onChange={(next: string[]) => change(next.join(", "))} />;
  if (isClosed) return <Select aria-label={label} allowClear={hint !== ""} disabled={disabled} placeholder={hint} style={{ width }} options={options} value={shown || null} onChange={(next: string | undefined) => change(next ?? "")} />;
  if (offered !== "") return <NameCell {...common} type={offered} choices={choices} />;
  return choices.length > 0 ? <ChoiceCell {...common} choices={choices} /> : <TextCell {...common} placeholder={hint} />;
}

interface GroupProps extends Omit<Props, "label" | "column"> {
  readonly group: ColumnGroup;
  readonly labelOf: (column: ListColumn) => string;
}

export function CellGroup({ group, labelOf, ...props }: GroupProps) {
  return (
    <fieldset className="rules-group">
      <legend>{group.title}</legend>
      {group.columns.map((column) => (
        <div key={column.title}>
          <div className="rules-title">{column.title}</div>
          <Cell {...props} label={labelOf(column)} column={column} />
        </div>
      ))}
    </fieldset>
  );
}
