/** Chooses an object of a type by a part of its name; the server looks, however many there are. */

import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { Select } from "antd";
import { useDeferredValue, useState } from "react";

import { list } from "../api/client";
import { typeTitle } from "../model/catalog";
import { lastName } from "../model/document";

const SHOWN_COUNT = 50;

interface Props {
  readonly id: string;
  readonly type: string;
  readonly label: string;
  readonly value: readonly string[];
  readonly onChange: (name: readonly string[], uuid: string) => void;
  readonly isWrong?: boolean;
  readonly disabled?: boolean;
}

export function ObjectPicker({ id, type, label, value, onChange, isWrong = false, disabled = false }: Props) {
  const [text, setText] = useState("");
  const [isOpen, setIsOpen] = useState(false);
  const wanted = useDeferredValue(text.trim());
  const filter = wanted === "" ? [] : [`name:contains:${wanted}`];
  const found = useQuery({
    queryKey: ["list", type, "picker", wanted],
    queryFn: ({ signal }) => list(type, { filter, fields: [], sort: "fq_name", limit: SHOWN_COUNT }, signal),
    enabled: isOpen,
    placeholderData: keepPreviousData,
  });
  const options = (found.data?.items ?? []).map((object) => ({
    value: object.uuid,
    name: object.fq_name,
    label: (
      <>
        {lastName(object.fq_name)} <span className="form-note">{object.fq_name.slice(0, -1).join(" › ")}</span>
      </>
    ),
  }));
  return (
    <Select
      id={id}
      aria-label={label}
      showSearch={{ filterOption: false, onSearch: setText }}
      disabled={disabled}
      style={{ width: "100%" }}
      placeholder={`${typeTitle(type)}: part of its name`}
      value={value.length === 0 ? null : value.join(" › ")}
      loading={found.isFetching}
      options={options}
      notFoundContent={found.isFetching ? "Looking…" : "None has this in its name"}
      {...(isWrong ? { status: "error" as const } : {})}
      onOpenChange={setIsOpen}
      onChange={(uuid: string) => {
        const chosen = options.find((option) => option.value === uuid);
        if (chosen !== undefined) onChange(chosen.name, uuid);
      }}
    />
  );
}
