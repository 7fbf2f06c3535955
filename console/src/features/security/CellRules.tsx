/** The rules that decide between two headings, edited as a table. */

import { ArrowDownOutlined, ArrowUpOutlined, DeleteOutlined, PlusOutlined } from "@ant-design/icons";
import { Button, Select, Tooltip } from "antd";
import { useState } from "react";

import { USUAL_SERVICES } from "../../forms/services";
import { ChoiceCell } from "../../forms/TableCell";
import { type ConfigObject, type Document, isDocument, lastName } from "../../model/document";
import { matchOf, ordered, type Policy, withNewRule, withObject, withOrder, withoutRule } from "../../policy/firewall";
import { cellOf, type CellRule, endText, type Heading, servicesText, withServices } from "./matrix";

interface Props {
  readonly policy: Policy;
  readonly set: string;
  readonly type: string;
  readonly from: Heading;
  readonly to: Heading;
  readonly matchTypes: readonly string[];
  readonly disabled: boolean;
  readonly onChange: (policy: Policy) => void;
  readonly onFault: (rule: string, fault: string) => void;
}

export function CellRules({ policy, set, type, from, to, matchTypes, disabled, onChange, onFault }: Props) {
  const rules = cellOf(policy, set, from, to, type);
  const title = `${from.title}-to-${to.title}`.replaceAll(/[^\w.-]+/g, "-");
  const swap = (one: CellRule, other: CellRule | undefined) => {
    const names = ordered(policy["firewall-policy"].get(one.policy)?.["firewall_rule_refs"]);
    if (other === undefined) return;
    const turned = names.map((name) => (name === one.rule ? other.rule : name === other.rule ? one.rule : name));
    onChange(withOrder(policy, one.policy, turned));
  };
  const beside = (index: number, step: number) => {
    const other = rules[index + step];
    return other?.policy === rules[index]?.policy ? other : undefined;
  };
  return (
    <section className="form-wide" aria-label="Rules of the chosen pair">
      <h2>From {from.title} to {to.title}</h2>
      {rules.length === 0 ? (
        <p className="form-note">No rule of this set is about this pair: nothing passes, unless a set that comes before lets it. Add a rule to let something through.</p>
      ) : (
        <div className="rules">
          <table>
            <thead>
              <tr>
                <th scope="col">#</th><th scope="col">Action</th><th scope="col">Services</th><th scope="col">Who begins</th><th scope="col">Only with the same</th>
                <th scope="col">Rule</th><th scope="col"><span className="unseen">Order</span></th>
              </tr>
            </thead>
            <tbody>
              {rules.map((each, index) => (
                <tr key={`${each.policy} ${each.rule}`} aria-label={`Rule ${index + 1}`}>
                  <td>{index + 1}</td>
                  <Cells {...{ policy, each, from, to, matchTypes, disabled, onFault }} number={index + 1} onChange={(rule) => onChange(withObject(policy, "firewall-rule", each.rule, rule))} />
                  <td className="rules-tools">
                    <Button size="small" type="text" icon={<ArrowUpOutlined />} aria-label={`Rule ${index + 1} up`} disabled={disabled || beside(index, -1) === undefined} onClick={() => swap(each, beside(index, -1))} />
                    <Button size="small" type="text" icon={<ArrowDownOutlined />} aria-label={`Rule ${index + 1} down`} disabled={disabled || beside(index, 1) === undefined} onClick={() => swap(each, beside(index, 1))} />
                    <Button size="small" type="text" icon={<DeleteOutlined />} aria-label={`Remove rule ${index + 1}`} disabled={disabled} onClick={() => onChange(withoutRule(policy, each))} />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
          <p className="form-note">The first rule that fits decides; what none lets through is dropped.</p>
        </div>
      )}
      <Button size="small" icon={<PlusOutlined />} disabled={disabled} onClick={() => onChange(withNewRule(policy, set, [from.end, to.end], title).policy)}>Add rule</Button>
    </section>
  );
}

interface CellsProps {
  readonly policy: Policy;
  readonly each: CellRule;
  readonly from: Heading;
  readonly to: Heading;
  readonly number: number;
  readonly matchTypes: readonly string[];
  readonly disabled: boolean;
  readonly onChange: (rule: ConfigObject) => void;
  readonly onFault: (rule: string, fault: string) => void;
}

function Cells({ policy, each, from, to, number, matchTypes, disabled, onChange, onFault }: CellsProps) {
  const rule = policy["firewall-rule"].get(each.rule);
  const [typed, setTyped] = useState<string | null>(null);
  if (rule === undefined) return null;
  const groups = [...policy["service-group"].keys()];
  const services = typed ?? servicesText(rule);
  const wrong = withServices(rule, services, groups);
  const set = (part: Document) => onChange({ ...rule, ...part });
  const action = isDocument(rule["action_list"]) ? rule["action_list"] : {};
  const ofRule = (what: string) => `${what} of rule ${number}`;
  const onServices = (text: string) => {
    const next = withServices(rule, text, groups);
    onFault(each.rule, typeof next === "string" ? next : "");
    setTyped(typeof next === "string" ? text : null);
    if (typeof next !== "string") onChange(next as ConfigObject);
  };
  const ways = [
    { value: each.isTurned ? "<" : ">", label: from.title },
    { value: "<>", label: "either" },
  ];
  const [one, other] = [endText(rule["endpoint_1"]), endText(rule["endpoint_2"])];
  const isBroader = new Set([one, other]).size !== new Set([from.key, to.key]).size || ![one, other].every((end) => end === from.key || end === to.key);
  return (
    <>
      <td>
        <Select
          aria-label={ofRule("Action")}
          value={String(action["simple_action"] ?? "pass")}
          disabled={disabled}
          style={{ width: 80 }}
          options={[{ value: "pass", label: "pass" }, { value: "deny", label: "deny" }]}
          onChange={(simple_action: string) => set({ action_list: { ...action, simple_action } })}
        />
      </td>
      <td>
        <ChoiceCell label={ofRule("Services")} width={220} value={services} choices={[...USUAL_SERVICES, ...groups.map((name) => lastName(name.split(":")))]} disabled={disabled} isWrong={typeof wrong === "string"} onChange={onServices} />
        {typeof wrong === "string" && <div className="form-fault" role="alert">{wrong}</div>}
      </td>
      <td>
        <Select aria-label={ofRule("Who begins")} value={String(rule["direction"] ?? "<>")} disabled={disabled} style={{ width: 110 }} options={ways} onChange={(direction: string) => set({ direction })} />
      </td>
      <td>
        <Select
          mode="multiple"
          aria-label={ofRule("Same tags")}
          value={matchOf(rule)}
          disabled={disabled}
          placeholder="nothing"
          style={{ width: 190 }}
          options={matchTypes.map((name) => ({ value: name, label: name }))}
          onChange={(tag_list: string[]) => set({ match_tags: { tag_list } })}
        />
      </td>
      <td>
        {lastName(each.rule.split(":"))} <span className="form-note">of {lastName(each.policy.split(":"))}</span>
        {isBroader && (
          <Tooltip title={`${one} ${String(rule["direction"] ?? "<>")} ${other}`}>
            <div className="form-note" tabIndex={0}>also decides for other pairs: {one}, {other}</div>
          </Tooltip>
        )}
      </td>
    </>
  );
}
