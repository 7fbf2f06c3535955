/** BGP peers of a router as a table, with how their sessions stand; keys are written and never shown. */

import { DeleteOutlined, PlusOutlined } from "@ant-design/icons";
import { useQuery } from "@tanstack/react-query";
import { Button, Input, Select, Switch, Tag } from "antd";
import { useState } from "react";

import { call } from "../api/client";
import { type Document, isDocument, type Json } from "../model/document";
import { FaultsBelow } from "./FaultsBelow";
import { ObjectPicker } from "./ObjectPicker";
import { FAMILIES, familiesOf, holdTimeOf, keyOf, peerOf, referencesOf, withAttributes } from "./peers";
import type { EditorProps } from "./PropertyEditor";
import { TextCell } from "./TableCell";

/** The state of each session by the peer's name, as control nodes tell it. */
function useStates(): ReadonlyMap<string, string> {
  const told = useQuery({
    queryKey: ["uves", "bgp-peer", "states"],
    queryFn: async () => (await call<{ value: { name: string; value: Document }[] }>("GET", "/api/v1/analytics/uves/bgp-peer/*?flat")).value,
    retry: false,
  });
  return new Map((told.data ?? []).map(({ name, value }) => [name.split(":").at(-1) ?? "", stateOf(value)]));
}

function stateOf(value: Document): string {
  const data = value["BgpPeerInfoData"];
  const info = isDocument(data) ? data["state_info"] : undefined;
  const state: Json | undefined = isDocument(info) ? info["state"] : undefined;
  return typeof state === "string" ? state : "";
}

export function PeerTable({ value, path, faults, onChange, disabled = false }: Omit<EditorProps, "field">) {
  const references = referencesOf(value);
  const states = useStates();
  const put = (next: readonly Document[]) => onChange(next.length === 0 ? undefined : next);
  return (
    <div className="rules">
      {references.length > 0 && (
        <table>
          <thead>
            <tr><th scope="col">Peer</th><th scope="col">Up</th><th scope="col">Passive</th><th scope="col">Hold time</th><th scope="col">Families</th><th scope="col">Key</th><th scope="col">Session</th><th scope="col"><span className="unseen">Remove</span></th></tr>
          </thead>
          <tbody>
            {references.map((reference, index) => (
              // oxlint-disable-next-line react/no-array-index-key -- a peer has no name until it is chosen
              <tr key={index} aria-label={`Peer ${index + 1}`}>
                <Cells reference={reference} number={index + 1} state={states.get(peerOf(reference).name.at(-1) ?? "") ?? ""} disabled={disabled} onChange={(next) => put(references.map((each, at) => (at === index ? next : each)))} />
                <td className="rules-tools"><Button size="small" type="text" icon={<DeleteOutlined />} disabled={disabled} aria-label={`Remove peer ${index + 1}`} onClick={() => put(references.filter((_, at) => at !== index))} /></td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <FaultsBelow path={path} faults={faults} />
      {references.length === 0 && <p className="form-note">No peers of its own: routers of the installation&apos;s AS are meshed by themselves, others are joined here.</p>}
      <Button size="small" icon={<PlusOutlined />} disabled={disabled} onClick={() => put([...references, { attr: { session: [{ attributes: [] }] } }])}>Add peer</Button>
    </div>
  );
}

interface CellsProps {
  readonly reference: Document;
  readonly number: number;
  readonly state: string;
  readonly disabled: boolean;
  readonly onChange: (reference: Document) => void;
}

function Cells({ reference, number, state, disabled, onChange }: CellsProps) {
  const peer = peerOf(reference);
  const [key, setKey] = useState("");
  const set = (changed: Document) => onChange(withAttributes(reference, changed));
  const ofPeer = (what: string) => `${what} of peer ${number}`;
  const { uuid: _uuid, ...rest } = reference;
  return (
    <>
      <td style={{ width: 210, minWidth: 150, maxWidth: 210 }}>
        <ObjectPicker id={`peer-${number}`} type="bgp-router" label={ofPeer("Router")} value={peer.name.slice(-1)} disabled={disabled} onChange={(to) => onChange({ ...rest, to })} />
        {peer.isMore && <div className="form-note">more in “All members”</div>}
      </td>
      <td><Switch size="small" aria-label={ofPeer("Up")} checked={!peer.isDown} disabled={disabled} onChange={(on) => set({ admin_down: on ? undefined : true })} /></td>
      <td><Switch size="small" aria-label={ofPeer("Passive")} checked={peer.isPassive} disabled={disabled} onChange={(on) => set({ passive: on || undefined })} /></td>
      <td><TextCell label={ofPeer("Hold time")} width={80} placeholder="router's" value={peer.holdTime} disabled={disabled} onChange={(text) => set(holdTimeOf(text))} /></td>
      <td>
        <Select mode="multiple" aria-label={ofPeer("Families")} value={[...peer.families]} disabled={disabled} placeholder="router's" style={{ width: 190 }} options={FAMILIES.map((each) => ({ value: each, label: each }))} onChange={(next: string[]) => set(familiesOf(next))} />
      </td>
      <td>
        <Input.Password
          aria-label={ofPeer("New key")}
          value={key}
          disabled={disabled}
          autoComplete="new-password"
          placeholder={peer.hasKey ? "set" : "none"}
          style={{ width: 120 }}
          onChange={(event) => {
            setKey(event.target.value);
            set(keyOf(event.target.value));
          }}
        />
        {peer.hasKey && <Button size="small" type="link" disabled={disabled} style={{ padding: 0 }} aria-label={`no key for peer ${number}`} onClick={() => { setKey(""); set(keyOf("")); }}>no key</Button>}
      </td>
      <td>{state === "" ? <span className="form-note">not told</span> : <Tag color={state === "Established" ? "green" : "orange"}>{state}</Tag>}</td>
    </>
  );
}
