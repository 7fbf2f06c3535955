/** A list of structures as a table, by what `lists.ts` says of it. */

import { ArrowDownOutlined, ArrowUpOutlined, DeleteOutlined, PlusOutlined } from "@ant-design/icons";
import { Button } from "antd";
import { Fragment, useState } from "react";

import type { Document } from "../model/document";
import { elementsOf, listFaults, type ListSpec, valueOf } from "./columns";
import { FaultsBelow } from "./FaultsBelow";
import { Cell, CellGroup } from "./ListCell";
import type { EditorProps } from "./PropertyEditor";

interface Props extends Omit<EditorProps, "field"> {
  readonly spec: ListSpec;
}

export function ListTable({ spec, value, path, faults, onChange, disabled = false }: Props) {
  const elements = elementsOf(spec, value);
  const put = (next: readonly Document[]) => onChange(valueOf(spec, next, value));
  const swap = (one: number, other: number) =>
    put(elements.map((each, index) => (index === one ? (elements[other] ?? each) : index === other ? (elements[one] ?? each) : each)));
  const own = listFaults(spec, value, path);
  const word = capital(spec.element);
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
            {elements.map((element, index) => {
              const change = (next: Document) => put(elements.map((each, place) => (place === index ? next : each)));
              return (
                // oxlint-disable-next-line react/no-array-index-key -- elements have no names of their own
                <Fragment key={index}>
                  <tr aria-label={`${word} ${index + 1}`}>
                    {spec.isOrdered && <td>{index + 1}</td>}
                    {spec.columns.map((column) => (
                      <td key={column.title}>
                        <Cell label={`${column.title} of ${spec.element} ${index + 1}`} column={column} element={element} disabled={disabled} onChange={change} />
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
                  <Below spec={spec} element={element} number={index + 1} disabled={disabled} onChange={change} />
                </Fragment>
              );
            })}
          </tbody>
        </table>
      )}
      <FaultsBelow path={path} faults={new Map([...faults].filter(([place]) => !own.has(place)))} />
      {elements.length === 0 && <p className="form-note">{spec.none}</p>}
      <Button size="small" icon={<PlusOutlined />} disabled={disabled} onClick={() => put([...elements, spec.fresh])}>Add {spec.element}</Button>
    </div>
  );
}

function capital(word: string): string {
  return word.charAt(0).toUpperCase() + word.slice(1);
}

interface BelowProps {
  readonly spec: ListSpec;
  readonly element: Document;
  readonly number: number;
  readonly disabled: boolean;
  readonly onChange: (element: Document) => void;
}

/** What of an element has no column: in few words, and as cells when it is asked for. */
function Below({ spec, element, number, disabled, onChange }: BelowProps) {
  const [isOpen, setIsOpen] = useState(false);
  const { more = [], beside } = spec;
  const unshown = beside?.(element) ?? [];
  const said = more.flatMap((group) => group.columns).filter((column) => column.show(element) !== column.show(spec.fresh));
  if (more.length === 0 && unshown.length === 0) return null;
  const groups = isOpen || said.some((column) => (column.fault?.(column.show(element), element) ?? "") !== "") ? more : [];
  const word = groups.length > 0 ? "Less" : "More";
  return (
    <tr className="rules-below">
      {spec.isOrdered && <td />}
      <td colSpan={spec.columns.length + 1}>
        {more.length > 0 && <Button size="small" type="link" aria-expanded={groups.length > 0} aria-label={`${word} of ${spec.element} ${number}`} onClick={() => setIsOpen(!isOpen)}>{word}</Button>}
        {groups.length === 0 && <span className="form-note">{said.map((column) => `${column.title.toLowerCase()} ${column.show(element)}`).join(" · ")}</span>}
        {unshown.length > 0 && <span className="form-note"> In “All members”: {unshown.join(", ")}</span>}
        {groups.map((group) => <CellGroup key={group.title} group={group} element={element} labelOf={(column) => `${column.title} of ${spec.element} ${number}`} disabled={disabled} onChange={onChange} />)}
      </td>
    </tr>
  );
}
