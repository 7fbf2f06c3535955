/** What most ports differ in: network, MAC, addresses, groups; and the marks and routes that some have. */

import { DeleteOutlined, PlusOutlined } from "@ant-design/icons";
import { Button, Input, Select, Switch } from "antd";
import type { ReactNode } from "react";
import { Link } from "react-router";

import { ObjectPicker } from "../../forms/ObjectPicker";
import { ChoiceCell } from "../../forms/TableCell";
import { nameWithin } from "../../model/document";
import { type Address, addressFault, ANY_V4, ANY_V6, type Port } from "./ports";
import type { Choices } from "./usePorts";

interface Props {
  readonly port: Port;
  readonly choices: Choices;
  readonly project: readonly string[];
  readonly disabled: boolean;
  readonly onChange: (part: Partial<Port>) => void;
}

export function PortMembers({ port, choices, project, disabled, onChange }: Props) {
  const isNew = port.uuid === "";
  const options = (offered: readonly string[], held: readonly string[]) => [...new Set([...offered, ...held])].map((value) => ({ value, label: nameWithin(value, project) }));
  const many = (id: string, value: readonly string[], offered: readonly string[], none: string, missing: string, change: (next: string[]) => void) => (
    <Select id={id} mode="multiple" disabled={disabled} style={{ width: "100%" }} optionFilterProp="label" value={[...value]} placeholder={none} options={options(offered, value)} notFoundContent={missing} onChange={change} />
  );
  return (
    <>
      {isNew && <Line id="port-name" title="Name"><Input id="port-name" value={port.name} onChange={(event) => onChange({ name: event.target.value })} /></Line>}
      <Line id="port-network" title="Network" note={isNew ? "" : "It cannot be changed later."}>
        <ObjectPicker id="port-network" type="virtual-network" label="Network" value={port.network === "" ? [] : port.network.split(":")} disabled={disabled || !isNew} onChange={(name) => onChange({ network: name.join(":") })} />
      </Line>
      <Line id="port-mac" title="MAC" note={isNew ? "Made by the server when you give none." : ""}>
        <Input id="port-mac" className="mono" style={{ maxWidth: 220 }} value={port.mac} disabled={disabled || !isNew} onChange={(event) => onChange({ mac: event.target.value })} />
      </Line>
      <div className="form-row"><span id="port-addresses">Addresses</span><Addresses addresses={port.addresses} disabled={disabled} onChange={(addresses) => onChange({ addresses })} /></div>
      <Line id="port-groups" title="Security groups" note="Without any, nothing is filtered by groups.">
        {many("port-groups", port.groups, choices.groups, "no filter", "The project has no security groups", (groups) => onChange({ groups }))}
      </Line>
      <Line id="port-qos" title="Marks of (QoS)">
        <Select id="port-qos" allowClear disabled={disabled} style={{ width: "100%" }} showSearch={{ optionFilterProp: "label" }} value={port.qos || null} placeholder="the network's" options={options(choices.qos, port.qos === "" ? [] : [port.qos])} notFoundContent="There is no QoS configuration" onChange={(qos: string | undefined) => onChange({ qos: qos ?? "" })} />
      </Line>
      <Line id="port-tables" title="Prefixes behind it, of">
        {many("port-tables", port.tables, choices.tables, "no route table", "The project has no interface route tables", (tables) => onChange({ tables }))}
        <div className="form-note"><Link to={`/o/interface-route-table/new?parent_type=project&parent=${encodeURIComponent(project.join(":"))}`}>New interface route table</Link></div>
      </Line>
      <Line id="port-secured" title="Senders are checked" note="Off: it may send from any address, and its security groups do nothing.">
        <Switch id="port-secured" disabled={disabled} checked={port.isSecured} onChange={(isSecured) => onChange({ isSecured })} />
      </Line>
      <Line id="port-unpoliced" title="Packet mode" note="On: neither policy nor flows, for what needs neither and is fast without.">
        <Switch id="port-unpoliced" disabled={disabled} checked={port.isUnpoliced} onChange={(isUnpoliced) => onChange({ isUnpoliced })} />
      </Line>
    </>
  );
}

interface LineProps {
  readonly id: string;
  readonly title: string;
  readonly note?: string;
  readonly children: ReactNode;
}

function Line({ id, title, note = "", children }: LineProps) {
  return (
    <div className="form-row">
      <label htmlFor={id}>{title}</label>
      <div>{children}{note !== "" && <div className="form-note">{note}</div>}</div>
    </div>
  );
}

interface AddressesProps {
  readonly addresses: readonly Address[];
  readonly disabled: boolean;
  readonly onChange: (addresses: readonly Address[]) => void;
}

function Addresses({ addresses, disabled, onChange }: AddressesProps) {
  return (
    <div aria-labelledby="port-addresses" role="group">
      {addresses.map((address, index) => {
        const isWrong = address.uuid === "" && addressFault(address.text) !== "";
        return (
          // oxlint-disable-next-line react/no-array-index-key -- those to be taken have no names
          <div key={index} className="strip" style={{ marginBottom: 4 }}>
            {address.uuid === "" ? (
              <ChoiceCell label={`Address ${index + 1}`} width={260} value={address.text} choices={[ANY_V4, ANY_V6]} disabled={disabled} isWrong={isWrong} onChange={(text) => onChange(addresses.map((each, at) => (at === index ? { ...each, text } : each)))} />
            ) : (
              <Link className="mono" to={`/o/instance-ip/${address.uuid}`}>{address.text}</Link>
            )}
            {address.holders.length > 1 && <span className="form-note">shared with {address.holders.length - 1} more</span>}
            <Button size="small" type="text" icon={<DeleteOutlined />} disabled={disabled} aria-label={`Remove address ${index + 1}`} onClick={() => onChange(addresses.filter((_, at) => at !== index))} />
          </div>
        );
      })}
      <Button size="small" icon={<PlusOutlined />} disabled={disabled} onClick={() => onChange([...addresses, { uuid: "", text: ANY_V4, holders: [] }])}>Add address</Button>
    </div>
  );
}
