/** A list of structures as a table, by what `lists.ts` says of it. */

import { ArrowDownOutlined, ArrowUpOutlined, DeleteOutlined, PlusOutlined } from "@ant-design/icons";
import { Button, Select } from "antd";

import type { Document } from "../model/document";
import { FaultsBelow } from "./FaultsBelow";
import { elementsOf, type ListColumn, type ListSpec, valueOf } from "./lists";
import type { EditorProps } from "./PropertyEditor";
import { ChoiceCell, TextCell } from "./TableCell";

interface Props extends Omit<EditorProps, "field"> {
  readonly spec: ListSpec;
}

export function ListTable({ spec, value, path, faults, onChange, disabled = false }: Props) {
  const elements = elementsOf(spec, value);
  const put = (next: readonly Document[]) => onChange(valueOf(spec, next, value));
  const swap = (one: number, other: number) =>
    put(elements.map((each, index) => (index === one ? (elements[other] ?? each) : index === other ? (elements[one] ?? each) : each)));
  const word = spec.element.charAt(0).toUpperCase() + spec.element.slice(1);
  return (
    <div className="rules">
      {elements.length > 0 && (
        <table>
          <thead>
            <tr>
              {spec.isOrdered && <th scope="col">#</th>}
              {spec.columns.map(({ title }) => <th key={title} scope="col">{title}</th>)}
              <th scope="col"><span className="unseen">Remove</span></th>
            </tr>
          </thead>
          <tbody>
            {elements.map((element, index) => (
              // oxlint-disable-next-line react/no-array-index-key -- elements have no names of their own
              <tr key={index} aria-label={`${word} ${index + 1}`}>
                {spec.isOrdered && <td>{index + 1}</td>}
                {spec.columns.map((column) => (
                  <td key={column.title}>
                    <Cell label={`${column.title} of ${spec.element} ${index + 1}`} column={column} element={element} disabled={disabled} onChange={(next) => put(elements.map((each, place) => (place === index ? next : each)))} />
                  </td>
                ))}
                <td className="rules-tools">
                  {spec.isOrdered && (
                    <>
                      <Button size="small" type="text" icon={<ArrowUpOutlined />} disabled={disabled || index === 0} aria-label={`${word} ${index + 1} up`} onClick={() => swap(index, index - 1)} />
                      <Button size="small" type="text" icon={<ArrowDownOutlined />} disabled={disabled || index === elements.length - 1} aria-label={`${word} ${index + 1} down`} onClick={() => swap(index, index + 1)} />
                    </>
                  )}
                  <Button size="small" type="text" icon={<DeleteOutlined />} disabled={disabled} aria-label={`Remove ${spec.element} ${index + 1}`} onClick={() => put(elements.filter((_, place) => place !== index))} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <FaultsBelow path={path} faults={faults} />
      {elements.length === 0 && <p className="form-note">{spec.none}</p>}
      <Button size="small" icon={<PlusOutlined />} disabled={disabled} onClick={() => put([...elements, spec.fresh])}>Add {spec.element}</Button>
    </div>
  );
}

interface CellProps {
  readonly label: string;
  readonly column: ListColumn;
  readonly element: Document;
  readonly disabled: boolean;
  readonly onChange: (element: Document) => void;
}

function Cell({ label, column, element, disabled, onChange }: CellProps) {
  const { show, put, width, choices = [], isClosed = false, isMany = false, hint = "" } = column;
  const shown = show(element);
  const fault = column.fault?.(shown) ?? "";
  const change = (text: string) => onChange(put(element, text));
  const options = choices.map((each) => ({ value: each, label: each }));
  const common = { label, value: shown, disabled, width, isWrong: fault !== "" && shown !== "", onChange: change };
  return (
    <>
      {isMany && <Select mode="multiple" aria-label={label} disabled={disabled} placeholder={hint} style={{ width }} options={options} value={shown.split(", ").filter(Boolean)} onChange={(next: string[]) => change(next.join(", "))} />}
      {isClosed && <Select aria-label={label} disabled={disabled} style={{ width }} options={options} value={shown || null} onChange={change} />}
      {!isMany && !isClosed && choices.length > 0 && <ChoiceCell {...common} choices={choices} />}
      {choices.length === 0 && <TextCell {...common} placeholder={hint} />}
      {fault !== "" && <div className="form-fault" role="alert">{fault}</div>}
    </>
  );
}
