/** Editors of texts, numbers, yes and no, words of an enumeration, and lists of these. */

import { Input, Select } from "antd";

import type { Field } from "../model/catalog";
import { isList, type Json, pointer } from "../model/document";
import { numberOf } from "./numbers";
import type { EditorProps } from "./PropertyEditor";

export function ScalarEditor({ field, value, path, faults, onChange, disabled = false }: EditorProps) {
  const id = pointer(path);
  const fault = faults.has(id);
  const common = {
    id,
    disabled,
    "aria-invalid": fault,
    ...(fault ? { status: "error" as const, "aria-describedby": `${id}-fault` } : {}),
  };
  if (field.base === "boolean") {
    const chosen = value === true ? "yes" : value === false ? "no" : null;
    return (
      <Select
        {...common}
        allowClear
        value={chosen}
        style={{ width: 120 }}
        options={[{ value: "yes", label: "yes" }, { value: "no", label: "no" }]}
        onChange={(next: string | null | undefined) => onChange(next ? next === "yes" : undefined)}
      />
    );
  }
  if (field.enum !== undefined) {
    return (
      <Select
        {...common}
        allowClear
        showSearch
        value={typeof value === "string" && value !== "" ? value : null}
        style={{ width: "100%", maxWidth: 360 }}
        options={field.enum.map((each) => ({ value: each, label: each }))}
        onChange={(next: string | undefined) => onChange(next)}
      />
    );
  }
  const text = value === undefined || value === null ? "" : String(value);
  if (field.base === "integer") {
    return (
      <Input
        {...common}
        inputMode="numeric"
        value={text}
        style={{ maxWidth: 200 }}
        onChange={(event) => onChange(numberOf(event.target.value))}
      />
    );
  }
  const onText = (next: string) => onChange(next === "" ? undefined : next);
  if (field.secret) {
    return <Input.Password {...common} value={text} autoComplete="new-password" onChange={(event) => onText(event.target.value)} />;
  }
  return <Input {...common} value={text} onChange={(event) => onText(event.target.value)} />;
}

export function ScalarListEditor({ name, field, value, path, faults, onChange, disabled = false }: EditorProps) {
  const id = pointer(path);
  const held = isList(value) ? value.map(String) : [];
  const wrong = [...faults].filter(([place]) => place.startsWith(`${id}/`));
  return (
    <>
      <Select
        id={id}
        mode={field.enum === undefined ? "tags" : "multiple"}
        aria-label={name}
        disabled={disabled}
        value={held}
        style={{ width: "100%" }}
        placeholder={field.enum === undefined ? "Type a value, then Enter" : "Choose"}
        tokenSeparators={[",", " "]}
        {...(field.maxItems === undefined ? {} : { maxCount: field.maxItems })}
        {...(wrong.length > 0 ? { status: "error" as const } : {})}
        options={(field.enum ?? []).map((each) => ({ value: each, label: each }))}
        onChange={(next: string[]) => onChange(next.length === 0 ? undefined : next.map((each) => typed(field, each)))}
      />
      {wrong.map(([place, fault]) => (
        <div key={place} className="form-fault" role="alert">
          {held[Number(place.slice(id.length + 1))]}: {fault}
        </div>
      ))}
    </>
  );
}

function typed(field: Field, text: string): Json {
  return field.base === "integer" ? (numberOf(text) ?? text) : text;
}
