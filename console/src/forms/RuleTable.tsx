/** Rules of a network policy as a table: read from the top, the first that fits decides. */

import { ArrowDownOutlined, ArrowUpOutlined, DeleteOutlined, PlusOutlined } from "@ant-design/icons";
import { useQuery } from "@tanstack/react-query";
import { Button, Select } from "antd";
import { useState } from "react";

import { list } from "../api/client";
import { type Document, isDocument, isEmpty, textsOf } from "../model/document";
import { FaultsBelow } from "./FaultsBelow";
import type { EditorProps } from "./PropertyEditor";
import { addressesOf, addressesText, addressFault, entriesOf, newPolicyRule, portsOf, portsText, rulesOf } from "./rules";
import { ChoiceCell, NameCell, TextCell } from "./TableCell";

export const PROTOCOLS = ["any", "tcp", "udp", "icmp", "icmp6", "sctp"] as const;
const WORDS = ["any", "local"];
/** What the table shows of a rule's action; more is told of. */
const SHOWN = new Set(["simple_action", "apply_service"]);

export function PolicyRuleTable({ value, path, faults, onChange, disabled = false }: EditorProps) {
  const rules = rulesOf(value);
  const put = (next: readonly Document[]) => onChange(entriesOf(next));
  const change = (index: number, part: Document) => put(rules.map((each, at) => (at === index ? { ...each, ...part } : each)));
  const swap = (index: number, other: number) =>
    put(rules.map((each, at) => (at === index ? (rules[other] ?? each) : at === other ? (rules[index] ?? each) : each)));
  return (
    <div className="rules">
      {rules.length > 0 && (
        <table>
          <thead>
            <tr>
              <th scope="col">#</th><th scope="col">Action</th><th scope="col">Protocol</th><th scope="col">Source</th><th scope="col">Ports</th>
              <th scope="col">Way</th><th scope="col">Destination</th><th scope="col">Ports</th><th scope="col">Through services</th><th scope="col"><span className="unseen">Order</span></th>
            </tr>
          </thead>
          <tbody>
            {rules.map((rule, index) => (
              // oxlint-disable-next-line react/no-array-index-key -- rules have no names until they are stored
              <tr key={index} aria-label={`Rule ${index + 1}`}>
                <td>{index + 1}</td>
                <RuleCells rule={rule} number={index + 1} disabled={disabled} onChange={(part) => change(index, part)} />
                <td className="rules-tools">
                  <Button size="small" type="text" icon={<ArrowUpOutlined />} disabled={disabled || index === 0} aria-label={`Rule ${index + 1} up`} onClick={() => swap(index, index - 1)} />
                  <Button size="small" type="text" icon={<ArrowDownOutlined />} disabled={disabled || index === rules.length - 1} aria-label={`Rule ${index + 1} down`} onClick={() => swap(index, index + 1)} />
                  <Button size="small" type="text" icon={<DeleteOutlined />} disabled={disabled} aria-label={`Remove rule ${index + 1}`} onClick={() => put(rules.filter((_, at) => at !== index))} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <FaultsBelow path={path} faults={faults} />
      {rules.length === 0 && <p className="form-note">No rules: networks with this policy reach nothing by it.</p>}
      <Button size="small" icon={<PlusOutlined />} disabled={disabled} onClick={() => put([...rules, newPolicyRule()])}>Add rule</Button>
    </div>
  );
}

interface CellsProps {
  readonly rule: Document;
  readonly number: number;
  readonly disabled: boolean;
  readonly onChange: (part: Document) => void;
}

function RuleCells({ rule, number, disabled, onChange }: CellsProps) {
  const action = isDocument(rule["action_list"]) ? rule["action_list"] : {};
  const [source, destination] = [addressesText(rule["src_addresses"]), addressesText(rule["dst_addresses"])];
  const more = Object.keys(action).filter((name) => !SHOWN.has(name) && !isEmpty(action[name]) && action[name] !== false);
  const ofRule = (what: string) => `${what} of rule ${number}`;
  const act = (part: Document) => onChange({ action_list: { ...action, ...part } });
  return (
    <>
      <td>
        <Select
          aria-label={ofRule("Action")}
          value={typeof action["simple_action"] === "string" ? action["simple_action"] : null}
          disabled={disabled}
          style={{ width: 76 }}
          options={[{ value: "pass", label: "pass" }, { value: "deny", label: "deny" }]}
          onChange={(next: string) => act({ simple_action: next })}
        />
      </td>
      <td>
        <ChoiceCell label={ofRule("Protocol")} width={70} value={String(rule["protocol"] ?? "")} choices={PROTOCOLS} disabled={disabled} onChange={(protocol) => onChange({ protocol: protocol.trim() })} />
      </td>
      <td>
        <NameCell label={ofRule("Source")} type="virtual-network" value={source} choices={WORDS} disabled={disabled} isWrong={addressFault(source) !== ""} onChange={(text) => onChange({ src_addresses: addressesOf(text) })} />
        {addressFault(source) !== "" && <div className="form-fault" role="alert">{addressFault(source)}</div>}
      </td>
      <td>
        <TextCell label={ofRule("Source ports")} width={64} value={portsText(rule["src_ports"])} disabled={disabled} onChange={(text) => onChange({ src_ports: portsOf(text) })} />
      </td>
      <td>
        <Select
          aria-label={ofRule("Way")}
          value={typeof rule["direction"] === "string" ? rule["direction"] : null}
          disabled={disabled}
          style={{ width: 64 }}
          options={[{ value: "<>", label: "↔" }, { value: ">", label: "→" }]}
          onChange={(direction: string) => onChange({ direction })}
        />
      </td>
      <td>
        <NameCell label={ofRule("Destination")} type="virtual-network" value={destination} choices={WORDS} disabled={disabled} isWrong={addressFault(destination) !== ""} onChange={(text) => onChange({ dst_addresses: addressesOf(text) })} />
        {addressFault(destination) !== "" && <div className="form-fault" role="alert">{addressFault(destination)}</div>}
      </td>
      <td>
        <TextCell label={ofRule("Destination ports")} width={64} value={portsText(rule["dst_ports"])} disabled={disabled} onChange={(text) => onChange({ dst_ports: portsOf(text) })} />
      </td>
      <td>
        <Services label={ofRule("Services")} value={textsOf(action["apply_service"])} disabled={disabled} onChange={(names) => act({ apply_service: names })} />
        {more.length > 0 && <div className="form-note">also {more.join(", ")}</div>}
      </td>
    </>
  );
}

interface ServicesProps {
  readonly label: string;
  readonly value: readonly string[];
  readonly disabled: boolean;
  readonly onChange: (names: readonly string[]) => void;
}

function Services({ label, value, disabled, onChange }: ServicesProps) {
  const [isOpen, setIsOpen] = useState(false);
  const found = useQuery({
    queryKey: ["list", "service-instance", "cell"],
    queryFn: () => list("service-instance", { fields: [], sort: "fq_name", limit: 200 }),
    enabled: isOpen,
    retry: false,
  });
  return (
    <Select
      mode="multiple"
      aria-label={label}
      value={[...value]}
      disabled={disabled}
      placeholder="none"
      style={{ width: "100%", minWidth: 100 }}
      popupMatchSelectWidth={false}
      notFoundContent="There are no service instances"
      options={(found.data?.items ?? []).map(({ fq_name }) => ({ value: fq_name.join(":"), label: fq_name.join(" › ") }))}
      onOpenChange={setIsOpen}
      onChange={(names: string[]) => onChange(names)}
    />
  );
}
