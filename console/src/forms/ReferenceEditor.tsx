/** References to other objects: each chosen by its name, with what belongs to the pair. */

import { DeleteOutlined, PlusOutlined } from "@ant-design/icons";
import { Button } from "antd";

import { midSentence, typeTitle, fieldTitle, type Field, type Reference } from "../model/catalog";
import type { Faults } from "../model/check";
import { type Document, isDocument, isList, type Json, pointer, textsOf } from "../model/document";
import { FieldEditor } from "./FieldEditor";
import { ObjectPicker } from "./ObjectPicker";
import { Row } from "./PropertyEditor";

interface Props {
  readonly name: string;
  readonly type?: string;
  readonly reference: Reference;
  readonly value: Json | undefined;
  readonly faults: Faults;
  readonly onChange: (value: Json | undefined) => void;
  readonly disabled?: boolean;
}

export function ReferenceEditor({ name, reference, value, faults, onChange, disabled = false }: Props) {
  const place = pointer([name]);
  const items = isList(value) ? value.map((each): Document => (isDocument(each) ? each : {})) : [];
  const put = (index: number, next: Document) => onChange(items.map((each, at) => (at === index ? next : each)));
  const remove = (index: number) => onChange(items.filter((_, at) => at !== index));
  return (
    <Row place={place} title={fieldTitle(name)} wire={name} fault={faults.get(place)} note={reference.description ?? ""} field={reference}>
      {items.map((item, index) => (
        // oxlint-disable-next-line react/no-array-index-key -- a reference has no name of its own until it is chosen
        <div key={index} className="form-item" role="group" aria-label={`${fieldTitle(name)} ${index + 1}`}>
          <ReferenceItem {...{ name, reference, item, index, faults, disabled }} onChange={(next) => put(index, next)} />
          <Button size="small" icon={<DeleteOutlined />} disabled={disabled} onClick={() => remove(index)}>
            Remove {index + 1}
          </Button>
        </div>
      ))}
      <Button size="small" icon={<PlusOutlined />} disabled={disabled} onClick={() => onChange([...items, {}])}>
        Add {midSentence(typeTitle(reference.target))}
      </Button>
    </Row>
  );
}

interface ItemProps {
  readonly name: string;
  readonly reference: Reference;
  readonly item: Document;
  readonly index: number;
  readonly faults: Faults;
  readonly disabled: boolean;
  readonly onChange: (item: Document) => void;
}

function ReferenceItem({ name, reference, item, index, faults, disabled, onChange }: ItemProps) {
  const place = pointer([name, index]);
  const attribute: Field | undefined =
    reference.attr === undefined ? undefined : { type: reference.attr, base: "compound" };
  return (
    <>
      <ObjectPicker
        id={place}
        type={reference.target}
        label={`${fieldTitle(name)} ${index + 1}`}
        value={textsOf(item["to"])}
        disabled={disabled}
        isWrong={faults.has(place)}
        onChange={(to) => onChange({ ...without(item, "uuid"), to })}
      />
      {faults.has(place) && <div className="form-fault" role="alert">{faults.get(place)}</div>}
      {attribute !== undefined && (
        <div style={{ marginTop: 6 }}>
          <FieldEditor
            name="attr"
            field={attribute}
            value={item["attr"]}
            path={[name, index, "attr"]}
            faults={faults}
            disabled={disabled}
            onChange={(attr) => onChange({ ...item, attr })}
          />
        </div>
      )}
    </>
  );
}

function without(item: Document, name: string): Document {
  return Object.fromEntries(Object.entries(item).filter(([each]) => each !== name));
}
