/** Subnets of a network as a table, whichever IPAM each is of. */

import { DeleteOutlined, PlusOutlined } from "@ant-design/icons";
import { Button, Switch } from "antd";

import { type Document, isEmpty } from "../model/document";
import { FaultsBelow } from "./FaultsBelow";
import { ObjectPicker } from "./ObjectPicker";
import type { EditorProps } from "./PropertyEditor";
import { poolsText, prefixFault, prefixText, referencesOf, rowsOf, type SubnetRow, USUAL_IPAM, withPools, withPrefix } from "./subnets";
import { TextCell } from "./TableCell";

export function SubnetTable({ value, path, faults, onChange, disabled = false }: Omit<EditorProps, "field">) {
  const rows = rowsOf(value);
  const put = (next: readonly SubnetRow[]) => onChange(referencesOf(next, value));
  const change = (index: number, row: SubnetRow) => put(rows.map((each, at) => (at === index ? row : each)));
  const add = () => put([...rows, { ipam: rows.at(-1)?.ipam ?? USUAL_IPAM, subnet: { subnet: { ip_prefix: "" }, addr_from_start: true } }]);
  return (
    <div className="rules">
      {rows.length > 0 && (
        <table>
          <thead>
            <tr>
              <th scope="col">Subnet</th><th scope="col">Gateway</th><th scope="col">DNS server</th><th scope="col">DHCP</th>
              <th scope="col">Addresses given</th><th scope="col">IPAM</th><th scope="col"><span className="unseen">Remove</span></th>
            </tr>
          </thead>
          <tbody>
            {rows.map((row, index) => (
              // oxlint-disable-next-line react/no-array-index-key -- subnets have no names until they are stored
              <tr key={index} aria-label={`Subnet ${index + 1}`}>
                <SubnetCells row={row} number={index + 1} disabled={disabled} onChange={(next) => change(index, next)} />
                <td className="rules-tools">
                  <Button size="small" type="text" icon={<DeleteOutlined />} disabled={disabled} aria-label={`Remove subnet ${index + 1}`} onClick={() => put(rows.filter((_, at) => at !== index))} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <FaultsBelow path={path} faults={faults} />
      {rows.length === 0 && <p className="form-note">No subnets of its own: ports get no address, unless the network uses a flat IPAM.</p>}
      <Button size="small" icon={<PlusOutlined />} disabled={disabled} onClick={add}>Add subnet</Button>
    </div>
  );
}

interface CellsProps {
  readonly row: SubnetRow;
  readonly number: number;
  readonly disabled: boolean;
  readonly onChange: (row: SubnetRow) => void;
}

function SubnetCells({ row, number, disabled, onChange }: CellsProps) {
  const { ipam, subnet } = row;
  const isStored = !isEmpty(subnet["subnet_uuid"]);
  const prefix = prefixText(subnet);
  const fault = prefixFault(prefix);
  const ofSubnet = (what: string) => `${what} of subnet ${number}`;
  const set = (next: Document) => onChange({ ipam, subnet: next });
  const text = (name: string) => ({
    value: String(subnet[name] ?? ""),
    onChange: (given: string) => set({ ...subnet, [name]: given.trim() === "" ? undefined : given.trim() }),
    disabled,
  });
  return (
    <>
      <td>
        <TextCell label={ofSubnet("Prefix")} width={165} placeholder="10.0.0.0/24" value={prefix} disabled={disabled || isStored} isWrong={fault !== "" && prefix !== ""} onChange={(given) => set(withPrefix(subnet, given))} />
        {fault !== "" && <div className="form-fault" role="alert">{fault}</div>}
      </td>
      <td><TextCell label={ofSubnet("Gateway")} width={120} placeholder="first address" {...text("default_gateway")} /></td>
      <td><TextCell label={ofSubnet("DNS server")} width={120} placeholder="the host's" {...text("dns_server_address")} /></td>
      <td>
        <Switch size="small" aria-label={ofSubnet("DHCP")} checked={subnet["enable_dhcp"] !== false} disabled={disabled} onChange={(on) => set({ ...subnet, enable_dhcp: on })} />
      </td>
      <td><TextCell label={ofSubnet("Pools")} width={190} placeholder="all; or 10.0.0.10-10.0.0.99" value={poolsText(subnet)} disabled={disabled} onChange={(given) => set(withPools(subnet, given))} /></td>
      <td style={{ width: 210, minWidth: 150, maxWidth: 210 }}>
        <ObjectPicker id={`subnet-${number}-ipam`} type="network-ipam" label={ofSubnet("IPAM")} value={ipam} disabled={disabled || isStored} onChange={(name) => onChange({ ipam: name, subnet })} />
      </td>
    </>
  );
}
