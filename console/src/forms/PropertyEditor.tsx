/** One member of an object: what it is called, its value, what is wrong with it. */

import { Tag, Tooltip } from "antd";
import type { ReactNode } from "react";

import { type Field, fieldTitle, isForAdministrators } from "../model/catalog";
import type { Faults } from "../model/check";
import { type Json, type Path, pointer } from "../model/document";
import { FieldEditor } from "./FieldEditor";

export interface EditorProps {
  readonly name: string;
  /** The object type, of a member of the object itself: its name is not repeated. */
  readonly type?: string;
  readonly field: Field;
  readonly value: Json | undefined;
  readonly path: Path;
  readonly faults: Faults;
  readonly onChange: (value: Json | undefined) => void;
  readonly disabled?: boolean;
}

export function PropertyEditor(props: EditorProps) {
  const { name, field, path, faults } = props;
  const place = pointer(path);
  return (
    <Row place={place} title={fieldTitle(name, props.type)} fault={faults.get(place)} note={noteOf(field)} wire={name} field={field}>
      <FieldEditor {...props} />
    </Row>
  );
}

interface RowProps {
  readonly place: string;
  readonly title: string;
  readonly wire: string;
  readonly note: string;
  readonly fault: string | undefined;
  readonly field?: Pick<Field, "presence" | "deprecated" | "guard">;
  readonly children: ReactNode;
}

export function Row({ place, title, wire, note, fault, field, children }: RowProps) {
  return (
    <div className="form-row" data-field={place}>
      <label htmlFor={place}>
        <Tooltip title={wire}>{title}</Tooltip> {field?.presence === "required" && <Tag color="blue">needed</Tag>}
        {(field?.presence === "admin-only" || isForAdministrators(field?.guard)) && <Tag>administrators</Tag>}
        {field?.deprecated !== undefined && <Tag color="orange">deprecated</Tag>}
      </label>
      <div>
        {children}
        {fault !== undefined && (
          <div className="form-fault" role="alert" id={`${place}-fault`}>
            {fault}
          </div>
        )}
        {note !== "" && <div className="form-note">{note}</div>}
      </div>
    </div>
  );
}

export function noteOf(field: Field): string {
  const parts = [field.description ?? ""];
  if (field.minimum !== undefined || field.maximum !== undefined) {
    parts.push(`${field.minimum ?? "…"} to ${field.maximum ?? "…"}.`);
  }
  if (field.default !== undefined) parts.push(`When not set: ${String(field.default)}.`);
  if (field.deprecated !== undefined) parts.push(`Deprecated: ${field.deprecated}`);
  return parts.filter(Boolean).join(" ");
}
