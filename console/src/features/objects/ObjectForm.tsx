/** All members of an object: its own first, then what every object has. */

import { Collapse, Input } from "antd";
import { useState } from "react";

import { isAdministrator } from "../../api/session";
import { useConsole } from "../../app/context";
import { HandMade, isHandMade, isOfType } from "../../forms/HandMade";
import { PropertyEditor } from "../../forms/PropertyEditor";
import { ReferenceEditor } from "../../forms/ReferenceEditor";
import { canWrite, COMMON, type Field, fieldTitle, isForAdministrators, type ObjectType, type Reference } from "../../model/catalog";
import type { Faults } from "../../model/check";
import type { Document, Json } from "../../model/document";
import { CHOSEN } from "./columns";

interface Props {
  readonly type: string;
  readonly entry: ObjectType;
  readonly document: Document;
  readonly faults: Faults;
  readonly isNew: boolean;
  readonly onChange: (name: string, value: Json | undefined) => void;
}

/** What people look for first, then tables made for people and needed members, then the model's order; what is old goes last. */
function weight(type: string, name: string, member: Member): number {
  const place = (CHOSEN[type] ?? []).indexOf(name);
  if (place >= 0) return place;
  if ("deprecated" in member) return 300;
  if (isHandMade(type, name) && !COMMON.has(name)) return 50;
  return member.presence === "required" ? 100 : 200;
}

type Member = Field | Reference;

function isReference(member: Member): member is Reference {
  return "target" in member;
}

export function ObjectForm({ type, entry, document, faults, isNew, onChange }: Props) {
  const [text, setText] = useState("");
  const { identity } = useConsole();
  const isMember = !isAdministrator(identity);
  const wanted = text.trim().toLowerCase();
  const fits = ([name]: readonly [string, Member]) =>
    wanted === "" || name.includes(wanted) || fieldTitle(name).toLowerCase().includes(wanted);
  const members: [string, Member][] = [...Object.entries(entry.properties), ...Object.entries(entry.references ?? {})];
  const isCommon = ([name]: readonly [string, Member]) => COMMON.has(name) && !isOfType(type, name);
  const shown = members
    .filter(([name, member]) => member.presence !== "system-only" && name !== "id_perms")
    .filter(fits)
    .toSorted(([one, first], [other, second]) => weight(type, one, first) - weight(type, other, second));
  const editor = ([name, member]: [string, Member]) => {
    const own = { name, type, value: document[name], faults, disabled: !canWrite(member.operations, isNew) || (isMember && isForAdministrators(member.guard)) };
    const change = (value: Json | undefined) => onChange(name, value);
    const whole = isReference(member) ? (
      <ReferenceEditor key={name} {...own} reference={member} onChange={change} />
    ) : (
      <PropertyEditor key={name} {...own} field={member} path={[name]} onChange={change} />
    );
    return isHandMade(type, name) ? <HandMade key={name} {...own} path={[name]} whole={whole} onChange={change} /> : whole;
  };
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
      {shown.filter((each) => !isCommon(each)).map(editor)}
      <Collapse
        ghost
        {...(wanted === "" ? {} : { activeKey: "common" })}
        items={[{ key: "common", label: "What every object has: display name, annotations, tags, permissions", children: shown.filter(isCommon).map(editor) }]}
      />
    </section>
  );
}
