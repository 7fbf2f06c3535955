/** All members of an object: its own first, then what every object has. */

import { Collapse, Input } from "antd";
import { useState } from "react";

import { PropertyEditor } from "../../forms/PropertyEditor";
import { ReferenceEditor } from "../../forms/ReferenceEditor";
import { canWrite, COMMON, fieldTitle, type ObjectType } from "../../model/catalog";
import type { Faults } from "../../model/check";
import type { Document, Json } from "../../model/document";

interface Props {
  readonly entry: ObjectType;
  readonly document: Document;
  readonly faults: Faults;
  readonly isNew: boolean;
  readonly onChange: (name: string, value: Json | undefined) => void;
}

/** Needed members first; what is old goes last. */
function weight(presence: string | undefined, deprecated: string | undefined): number {
  if (deprecated !== undefined) return 2;
  return presence === "required" ? 0 : 1;
}

function isCommon([name]: readonly [string, unknown]): boolean {
  return COMMON.has(name);
}

export function ObjectForm({ entry, document, faults, isNew, onChange }: Props) {
  const [text, setText] = useState("");
  const wanted = text.trim().toLowerCase();
  const fits = (name: string) => wanted === "" || name.includes(wanted) || fieldTitle(name).toLowerCase().includes(wanted);
  const properties = Object.entries(entry.properties)
    .filter(([name, field]) => fits(name) && field.presence !== "system-only" && name !== "id_perms")
    .toSorted(([, one], [, other]) => weight(one.presence, one.deprecated) - weight(other.presence, other.deprecated));
  const references = Object.entries(entry.references ?? {}).filter(([name]) => fits(name));
  const property = ([name, field]: (typeof properties)[number]) => (
    <PropertyEditor
      key={name}
      name={name}
      field={field}
      value={document[name]}
      path={[name]}
      faults={faults}
      disabled={!canWrite(field.operations, isNew)}
      onChange={(value) => onChange(name, value)}
    />
  );
  const reference = ([name, each]: (typeof references)[number]) => (
    <ReferenceEditor
      key={name}
      name={name}
      reference={each}
      value={document[name]}
      faults={faults}
      onChange={(value) => onChange(name, value)}
    />
  );
  const common = [...properties.filter(isCommon).map(property), ...references.filter(isCommon).map(reference)];
  return (
    <section aria-label="Members">
      <Input
        allowClear
        value={text}
        placeholder="Show members with this in their name"
        aria-label="Show members with this in their name"
        style={{ maxWidth: 360, marginBottom: 8 }}
        onChange={(event) => setText(event.target.value)}
      />
      {properties.filter((each) => !isCommon(each)).map(property)}
      {references.filter((each) => !isCommon(each)).map(reference)}
      <Collapse
        ghost
        {...(wanted === "" ? {} : { activeKey: "common" })}
        items={[{ key: "common", label: "What every object has: display name, annotations, tags, permissions", children: common }]}
      />
    </section>
  );
}
