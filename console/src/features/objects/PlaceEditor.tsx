/** The name of a new object and what it is below. */

import { Input, Select } from "antd";

import { ObjectPicker } from "../../forms/ObjectPicker";
import { Row } from "../../forms/PropertyEditor";
import { type ObjectType, ROOT, typeTitle } from "../../model/catalog";

export interface Place {
  readonly name: string;
  /** Empty: below nothing. */
  readonly parent: readonly string[];
  readonly parentType: string;
}

const KEPT = "skytrail.parent.";
const DEFAULTS: Readonly<Record<string, string>> = { project: "default-domain:default-project", domain: "default-domain" };

/** The next object of the same kind of parent begins there. */
export function remember(place: Place): void {
  if (place.parent.length > 0) sessionStorage.setItem(KEPT + place.parentType, place.parent.join(":"));
}

/** Where a new object begins: below what the link named, else where the last one was. */
export function startOf(entry: ObjectType, search: URLSearchParams): Place {
  const [first = ROOT] = entry.parents;
  const given = search.get("parent_type");
  const parentType = given !== null && entry.parents.includes(given) ? given : first;
  const usual = sessionStorage.getItem(KEPT + parentType) ?? DEFAULTS[parentType] ?? "";
  const parent = (search.get("parent") ?? usual).split(":").filter(Boolean);
  return { name: "", parent: parentType === ROOT ? [] : parent, parentType: entry.parents.length === 0 ? "" : parentType };
}

interface Props {
  readonly entry: ObjectType;
  readonly place: Place;
  readonly fault: string;
  readonly onChange: (place: Place) => void;
}

export function PlaceEditor({ entry, place, fault, onChange }: Props) {
  const kinds = entry.parents.map((kind) => ({ value: kind, label: kind === ROOT ? "nothing" : typeTitle(kind) }));
  return (
    <section aria-label="Name and place">
      <Row place="/fq_name" title="Name" wire="fq_name" note="It cannot be changed later." fault={fault === "" ? undefined : fault}>
        <Input
          id="/fq_name"
          autoFocus
          value={place.name}
          aria-invalid={fault !== ""}
          onChange={(event) => onChange({ ...place, name: event.target.value })}
        />
      </Row>
      {kinds.length > 0 && (
        <Row place="/parent" title="Parent" wire="parent" note="" fault={undefined}>
          <div style={{ display: "flex", gap: 8 }}>
            {kinds.length > 1 && (
              <Select
                aria-label="Kind of parent"
                value={place.parentType}
                options={kinds}
                style={{ minWidth: 180 }}
                onChange={(parentType: string) => onChange({ ...place, parentType, parent: [] })}
              />
            )}
            {place.parentType !== ROOT && place.parentType !== "" && (
              <ObjectPicker
                key={place.parentType}
                id="/parent"
                type={place.parentType}
                label={typeTitle(place.parentType)}
                value={place.parent}
                onChange={(parent) => onChange({ ...place, parent })}
              />
            )}
          </div>
        </Row>
      )}
    </section>
  );
}
