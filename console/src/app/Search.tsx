/** Ctrl-K: finds any object by its name or uuid, and any type. */

import { SearchOutlined } from "@ant-design/icons";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { Input, type InputRef, Modal, Tag } from "antd";
import { type KeyboardEvent, type Ref, useRef, useState } from "react";
import { useNavigate } from "react-router";

import { asOf, call } from "../api/client";
import { typesTitle, typeTitle } from "../model/catalog";
import { type ConfigObject, lastName } from "../model/document";
import { useConsole } from "./context";

interface Hit {
  readonly key: string;
  readonly to: string;
  readonly name: string;
  readonly kind: string;
  readonly below: string;
}

type FoundObject = Pick<ConfigObject, "uuid" | "fq_name"> & { readonly type: string };

const TYPES_SHOWN = 5;

function typeHits(names: readonly string[], text: string, short: (name: string) => readonly string[]): Hit[] {
  const wanted = text.toLowerCase().replaceAll(/[ _]/g, "-");
  return names
    .filter((name) => name.toLowerCase().includes(wanted) || short(name).includes(wanted))
    .toSorted((one, other) => one.length - other.length)
    .slice(0, TYPES_SHOWN)
    .map((name) => ({ key: `type ${name}`, to: `/o/${name}`, name: typesTitle(name), kind: "all of a type", below: "" }));
}

function objectHit({ type, uuid, fq_name }: FoundObject): Hit {
  const below = fq_name.slice(0, -1).join(" › ");
  return { key: uuid, to: `/o/${type}/${uuid}`, name: lastName(fq_name), kind: typeTitle(type), below };
}

export function Search({ open, onClose }: { readonly open: boolean; readonly onClose: () => void }) {
  const box = useRef<InputRef>(null);
  // A dialog takes the focus when it is there, and gives it to its first button.
  const focus = (isOpen: boolean) => {
    if (isOpen) box.current?.focus();
  };
  return (
    <Modal open={open} onCancel={onClose} afterOpenChange={focus} footer={null} title="Search" destroyOnHidden width={640}>
      <SearchBox box={box} onClose={onClose} />
    </Modal>
  );
}

function SearchBox({ box, onClose }: { readonly box: Ref<InputRef>; readonly onClose: () => void }) {
  const { catalog } = useConsole();
  const navigate = useNavigate();
  const [text, setText] = useState("");
  const [at, setAt] = useState(0);
  const wanted = text.trim();
  const { data } = useQuery({
    queryKey: ["search", wanted],
    queryFn: ({ signal }) =>
      call<{ items: FoundObject[] }>("GET", `/api/v1/search?q=${encodeURIComponent(wanted)}${asOf("&")}`, { signal }),
    enabled: wanted !== "",
    placeholderData: keepPreviousData,
  });
  const types = wanted === "" ? [] : typeHits(Object.keys(catalog.objects), wanted, (n) => catalog.objects[n]?.short ?? []);
  const hits = wanted === "" ? [] : [...types, ...(data?.items ?? []).map(objectHit)];
  const go = (hit: Hit | undefined) => {
    if (hit === undefined) return;
    onClose();
    void navigate(hit.to);
  };
  const onKey = (event: KeyboardEvent) => {
    if (event.key === "Enter") {
      // The focus goes back to where it was as this closes, and the rest of the key would press a button there.
      event.preventDefault();
      return go(hits[at]);
    }
    const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    if (step === 0) return undefined;
    event.preventDefault();
    return setAt((now) => Math.max(0, Math.min(hits.length - 1, now + step)));
  };
  return (
    <>
      <Input
        ref={box}
        size="large"
        prefix={<SearchOutlined />}
        placeholder="A name, a uuid, or a type such as vn"
        aria-label="Search objects and types"
        role="combobox"
        aria-expanded={hits.length > 0}
        aria-controls="found"
        aria-activedescendant={hits.length > 0 ? `found-${at}` : undefined}
        value={text}
        onChange={(event) => {
          setText(event.target.value);
          setAt(0);
        }}
        onKeyDown={onKey}
      />
      <div id="found" role="listbox" aria-label="Found" style={{ marginTop: 8, maxHeight: 420, overflow: "auto" }}>
        {hits.map((hit, index) => (
          <div
            key={hit.key}
            id={`found-${index}`}
            role="option"
            aria-selected={index === at}
            tabIndex={-1}
            className="found"
            onMouseEnter={() => setAt(index)}
            onClick={() => go(hit)}
          >
            <Tag>{hit.kind}</Tag>
            <span>{hit.name}</span>
            <span className="form-note">{hit.below}</span>
          </div>
        ))}
      </div>
      {wanted !== "" && data !== undefined && hits.length === 0 && <p className="form-note">Nothing has this in its name.</p>}
    </>
  );
}
