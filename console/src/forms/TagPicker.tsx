/** Tags of an object, chosen from those that its project and everybody have. */

import { useQuery } from "@tanstack/react-query";
import { Select } from "antd";
import { useState } from "react";

import { list } from "../api/client";
import { type Document, isDocument, isList, type Json, textsOf } from "../model/document";

const LIMIT = 10_000;

interface Props {
  readonly value: Json | undefined;
  readonly disabled?: boolean;
  readonly onChange: (value: Json | undefined) => void;
}

/** `tier=web (global)`, `tier=web (red)` */
export function tagTitle(name: readonly string[]): string {
  return `${name.at(-1) ?? ""} (${name.length === 1 ? "global" : (name.at(-2) ?? "")})`;
}

export function TagPicker({ value, disabled = false, onChange }: Props) {
  const [isOpen, setIsOpen] = useState(false);
  const found = useQuery({
    queryKey: ["list", "tag", "picker"],
    queryFn: ({ signal }) => list("tag", { fields: [], sort: "fq_name", limit: LIMIT }, signal),
    enabled: isOpen,
    retry: false,
  });
  const held = (isList(value) ? value.filter(isDocument) : []).map((each): Document => ({ to: textsOf(each["to"]) }));
  const names = new Map([...(found.data?.items ?? []).map((each) => each.fq_name), ...held.map((each) => textsOf(each["to"]))].map((name) => [name.join(":"), name]));
  const types = [...new Set([...names.values()].map((name) => (name.at(-1) ?? "").split("=")[0] ?? ""))];
  const options = types.toSorted().map((type) => ({
    label: type,
    title: type,
    options: [...names].filter(([, name]) => (name.at(-1) ?? "").startsWith(`${type}=`)).map(([key, name]) => ({ value: key, label: tagTitle(name) })),
  }));
  return (
    <>
      <Select
        mode="multiple"
        aria-label="Tags"
        disabled={disabled}
        value={held.map((each) => textsOf(each["to"]).join(":"))}
        placeholder="Such as tier=web"
        style={{ width: "100%", maxWidth: 620 }}
        optionFilterProp="label"
        options={options}
        notFoundContent={found.isFetching ? "Looking…" : "There are no tags yet: make them as objects of type tag"}
        onOpenChange={setIsOpen}
        onChange={(keys: string[]) => onChange(keys.length === 0 ? undefined : keys.map((key) => ({ to: [...(names.get(key) ?? key.split(":"))] })))}
      />
      <p className="form-note">What the object is: rules of application policies match it, and ports have the tags of their machine, network and project too.</p>
    </>
  );
}
