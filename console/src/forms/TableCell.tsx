/** A text in a table of a form; what is typed stays as typed until one leaves the cell. */

import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { AutoComplete, Input, Select } from "antd";
import { useDeferredValue, useState } from "react";

import { list } from "../api/client";

interface Props {
  readonly label: string;
  readonly value: string;
  readonly onChange: (text: string) => void;
  readonly disabled?: boolean;
  readonly isWrong?: boolean;
  readonly placeholder?: string;
  readonly width?: number;
}

function useTyping(value: string, onChange: (text: string) => void) {
  const [typing, setTyping] = useState<string | null>(null);
  const type = (text: string) => {
    setTyping(text);
    onChange(text);
  };
  return { shown: typing ?? value, type, leave: () => setTyping(null) };
}

export function TextCell({ label, value, onChange, disabled = false, isWrong = false, placeholder = "", width }: Props) {
  const { shown, type, leave } = useTyping(value, onChange);
  return (
    <Input
      aria-label={label}
      aria-invalid={isWrong}
      value={shown}
      disabled={disabled}
      placeholder={placeholder}
      style={{ width: width ?? "100%" }}
      {...(isWrong ? { status: "error" as const } : {})}
      onChange={(event) => type(event.target.value)}
      onBlur={leave}
    />
  );
}

interface ChoiceProps extends Props {
  readonly choices: readonly string[];
}

export function ChoiceCell({ label, value, onChange, disabled = false, isWrong = false, choices, width }: ChoiceProps) {
  const { shown, type, leave } = useTyping(value, onChange);
  return (
    <AutoComplete
      aria-label={label}
      value={shown}
      disabled={disabled}
      style={{ width: width ?? "100%" }}
      popupMatchSelectWidth={false}
      {...(isWrong ? { status: "error" as const } : {})}
      options={choices.map((each) => ({ value: each, label: each }))}
      onChange={(text: string | undefined) => type(text ?? "")}
      onBlur={leave}
    />
  );
}

interface NameProps extends ChoiceProps {
  /** Objects of this type are offered by a part of their name. */
  readonly type: string;
  /** Stands before the name of such an object. */
  readonly before?: string;
}

const OFFERED_COUNT = 20;

/** Words that mean something of themselves, or an object's full name. */
export function NameCell({ type, before = "", choices, ...props }: NameProps) {
  const [isIn, setIsIn] = useState(false);
  const wanted = useDeferredValue(props.value.replace(before, "").split(":").at(-1)?.trim() ?? "");
  const isWord = choices.includes(props.value) || /[/,]/.test(wanted);
  const filter = wanted === "" || isWord ? [] : [`name:contains:${wanted}`];
  const found = useQuery({
    queryKey: ["list", type, "cell", filter.join()],
    queryFn: ({ signal }) => list(type, { filter, fields: [], sort: "fq_name", limit: OFFERED_COUNT }, signal),
    enabled: isIn && !props.disabled,
    placeholderData: keepPreviousData,
    retry: false,
  });
  const names = (found.data?.items ?? []).map((each) => `${before}${each.fq_name.join(":")}`);
  return (
    <div onFocus={() => setIsIn(true)}>
      <ChoiceCell {...props} choices={[...choices, ...names]} />
    </div>
  );
}

const CHOICES_COUNT = 1000;

/** Objects of a type by their names; the text is their uuids, separated by commas. */
export function UuidsCell({ label, type, value, disabled = false, placeholder = "", width, onChange }: Omit<Props, "isWrong"> & { readonly type: string }) {
  const found = useQuery({
    queryKey: ["list", type, "uuids"],
    queryFn: ({ signal }) => list(type, { fields: [], sort: "fq_name", limit: CHOICES_COUNT }, signal),
    retry: false,
  });
  const options = (found.data?.items ?? []).map((each) => ({ value: each.uuid, label: each.fq_name.join(":") }));
  return (
    <Select
      mode="multiple"
      aria-label={label}
      disabled={disabled}
      loading={found.isLoading}
      placeholder={placeholder}
      style={{ width: width ?? "100%" }}
      optionFilterProp="label"
      popupMatchSelectWidth={false}
      options={options}
      value={value.split(", ").filter(Boolean)}
      onChange={(uuids: string[]) => onChange(uuids.join(", "))}
    />
  );
}
