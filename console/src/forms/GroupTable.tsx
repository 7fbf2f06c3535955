/** Rules of a security group as a table: whatever no rule lets through is dropped. */

import { DeleteOutlined, PlusOutlined } from "@ant-design/icons";
import { Button, Select } from "antd";

import type { Document } from "../model/document";
import { FaultsBelow } from "./FaultsBelow";
import type { EditorProps } from "./PropertyEditor";
import { PROTOCOLS } from "./RuleTable";
import { entriesOf, groupRuleOf, newGroupRule, portsOf, portsText, remoteFault, rulesOf, withEnds } from "./rules";
import { ChoiceCell, NameCell, TextCell } from "./TableCell";

export function GroupRuleTable({ value, path, faults, onChange, disabled = false }: EditorProps) {
  const rules = rulesOf(value);
  const put = (next: readonly Document[]) => onChange(entriesOf(next));
  return (
    <div className="rules">
      {rules.length > 0 && (
        <table>
          <thead>
            <tr>
              <th scope="col">Direction</th><th scope="col">Family</th><th scope="col">Protocol</th><th scope="col">Ports</th>
              <th scope="col">From or to</th><th scope="col"><span className="unseen">Remove</span></th>
            </tr>
          </thead>
          <tbody>
            {rules.map((rule, index) => (
              // oxlint-disable-next-line react/no-array-index-key -- rules have no names until they are stored
              <tr key={index} aria-label={`Rule ${index + 1}`}>
                <GroupCells rule={rule} number={index + 1} disabled={disabled} onChange={(next) => put(rules.map((each, at) => (at === index ? next : each)))} />
                <td className="rules-tools">
                  <Button size="small" type="text" icon={<DeleteOutlined />} disabled={disabled} aria-label={`Remove rule ${index + 1}`} onClick={() => put(rules.filter((_, at) => at !== index))} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <FaultsBelow path={path} faults={faults} />
      {rules.length === 0 && <p className="form-note">No rules: nothing gets in or out.</p>}
      <Button size="small" icon={<PlusOutlined />} disabled={disabled} onClick={() => put([...rules, newGroupRule()])}>Add rule</Button>
    </div>
  );
}

interface CellsProps {
  readonly rule: Document;
  readonly number: number;
  readonly disabled: boolean;
  readonly onChange: (rule: Document) => void;
}

function GroupCells({ rule, number, disabled, onChange }: CellsProps) {
  const { isIngress, remote } = groupRuleOf(rule);
  const family = typeof rule["ethertype"] === "string" ? rule["ethertype"] : "";
  const fault = remoteFault(remote, family);
  const ofRule = (what: string) => `${what} of rule ${number}`;
  const turned = (next: string) => {
    const everybody = remote === "0.0.0.0/0" || remote === "::/0";
    const changed = { ...rule, ethertype: next };
    onChange(everybody ? withEnds(changed, { isIngress, remote: next === "IPv6" ? "::/0" : "0.0.0.0/0" }) : changed);
  };
  return (
    <>
      <td>
        <Select
          aria-label={ofRule("Direction")}
          value={isIngress}
          disabled={disabled}
          style={{ width: 90 }}
          options={[{ value: true, label: "in" }, { value: false, label: "out" }]}
          onChange={(next: boolean) => onChange(withEnds(rule, { isIngress: next, remote }))}
        />
      </td>
      <td>
        <Select
          aria-label={ofRule("Family")}
          value={family || null}
          disabled={disabled}
          style={{ width: 90 }}
          options={[{ value: "IPv4", label: "IPv4" }, { value: "IPv6", label: "IPv6" }]}
          onChange={turned}
        />
      </td>
      <td>
        <ChoiceCell label={ofRule("Protocol")} width={90} value={String(rule["protocol"] ?? "")} choices={PROTOCOLS} disabled={disabled} onChange={(protocol) => onChange({ ...rule, protocol: protocol.trim() })} />
      </td>
      <td>
        <TextCell label={ofRule("Ports")} width={110} value={portsText(rule["dst_ports"])} disabled={disabled} onChange={(text) => onChange({ ...rule, dst_ports: portsOf(text) })} />
      </td>
      <td>
        <NameCell
          label={ofRule("Remote")}
          type="security-group"
          before="security group "
          value={remote}
          choices={family === "IPv6" ? ["::/0"] : ["0.0.0.0/0"]}
          disabled={disabled}
          isWrong={fault !== ""}
          onChange={(text) => onChange(withEnds(rule, { isIngress, remote: text }))}
        />
        {fault !== "" && <div className="form-fault" role="alert">{fault}</div>}
      </td>
    </>
  );
}
