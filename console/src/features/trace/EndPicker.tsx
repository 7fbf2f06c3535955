/** One end of a way: a port by a part of its name, or an address where that is allowed. */

import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { AutoComplete } from "antd";
import { useDeferredValue, useState } from "react";

import { list } from "../../api/client";
import { lastName } from "../../model/document";
import { areNamed } from "./trace";

const SHOWN_COUNT = 30;
/** Ports of other projects with that name are asked for too, as the server compares the last part of names. */
const ASKED_COUNT = 500;

interface Props {
  readonly label: string;
  readonly anywhere: boolean;
  readonly value: string;
  readonly onChange: (value: string) => void;
}

export function EndPicker({ label, anywhere, value, onChange }: Props) {
  const [isOpen, setIsOpen] = useState(false);
  const [typed, setTyped] = useState("");
  const wanted = useDeferredValue(typed.split(":").at(-1)?.trim() ?? "");
  const filter = wanted === "" ? [] : [`name:contains:${wanted}`];
  const found = useQuery({
    queryKey: ["list", "virtual-machine-interface", "ends", wanted],
    queryFn: ({ signal }) =>
      list("virtual-machine-interface", { filter, fields: ["virtual_network_refs"], sort: "fq_name", limit: ASKED_COUNT }, signal),
    enabled: isOpen,
    placeholderData: keepPreviousData,
  });
  const options = areNamed(found.data?.items ?? [], typed).slice(0, SHOWN_COUNT).map((port) => ({
    value: port.fq_name.join(":"),
    label: (
      <>
        {lastName(port.fq_name)} <span className="form-note">{port.fq_name.slice(0, -1).join(" › ")}</span>
      </>
    ),
  }));
  return (
    <AutoComplete
      aria-label={label}
      style={{ flex: "1 1 240px", maxWidth: 380 }}
      value={value}
      options={options}
      placeholder={anywhere ? `${label}: a port or an address` : `${label}: a port of your project`}
      showSearch={{ filterOption: false, onSearch: setTyped }}
      onOpenChange={setIsOpen}
      onChange={(next: string | undefined) => onChange((next ?? "").trim())}
    />
  );
}
