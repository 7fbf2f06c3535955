/** Editors made by hand for members that people work with most; every member can still be had. */

import { Segmented } from "antd";
import { type ReactNode, useState } from "react";

import { AlarmTimesTable } from "./AlarmTimesTable";
import { FaultsBelow } from "./FaultsBelow";
import { GroupRuleTable } from "./GroupTable";
import { LISTS } from "./lists";
import { ListTable } from "./ListTable";
import { memberFaults } from "./made";
import { PeerTable } from "./PeerTable";
import type { EditorProps } from "./PropertyEditor";
import { PolicyRuleTable } from "./RuleTable";
import { StructCells } from "./StructCells";
import { STRUCTS } from "./structs";
import { SubnetTable } from "./SubnetTable";
import { TagPicker } from "./TagPicker";

type Made = Omit<EditorProps, "field" | "type"> & Pick<Partial<EditorProps>, "field">;

interface Editor {
  readonly title: string;
  readonly show: (props: Made) => ReactNode;
}

const EDITORS: Readonly<Record<string, Editor>> = {
  "alarm annotations": { title: "Times", show: (props) => <AlarmTimesTable {...props} /> },
  "network-policy network_policy_entries": { title: "Rules", show: (props) => <PolicyRuleTable {...(props as EditorProps)} /> },
  "security-group security_group_entries": { title: "Rules", show: (props) => <GroupRuleTable {...(props as EditorProps)} /> },
  "bgp-router bgp_router_refs": { title: "Peers", show: (props) => <PeerTable {...props} /> },
  "virtual-network network_ipam_refs": { title: "Subnets", show: (props) => <SubnetTable {...props} /> },
};

/** Of every type. */
const OF_ALL: Readonly<Record<string, Editor>> = {
  tag_refs: { title: "Tags", show: ({ value, disabled, onChange }) => <TagPicker value={value} onChange={onChange} {...(disabled === undefined ? {} : { disabled })} /> },
};

function editorOf(type: string, name: string): Editor | undefined {
  const spec = LISTS[`${type} ${name}`];
  if (spec !== undefined) return { title: spec.title, show: (props) => <ListTable {...props} spec={spec} /> };
  const struct = STRUCTS[`${type} ${name}`];
  if (struct !== undefined) return { title: struct.title, show: (props) => <StructCells {...props} spec={struct} /> };
  return EDITORS[`${type} ${name}`] ?? OF_ALL[name];
}

export function isHandMade(type: string, name: string): boolean {
  return editorOf(type, name) !== undefined;
}

/** Whether the editor is for this very type: then it stands with the type's own members. */
export function isOfType(type: string, name: string): boolean {
  return isHandMade(type, name) && OF_ALL[name] === undefined;
}

interface Props extends Made {
  readonly type: string;
  /** The editor that the model makes. */
  readonly whole: ReactNode;
}

export function HandMade({ type, whole, ...props }: Props) {
  const [isWhole, setIsWhole] = useState(false);
  const editor = editorOf(type, props.name);
  if (editor === undefined) return whole;
  return (
    <section aria-label={editor.title} className="form-wide">
      <div className="page-head">
        <h2 style={{ fontSize: 15, margin: 0 }}>{editor.title}</h2>
        <Segmented
          size="small"
          aria-label={`How ${editor.title.toLowerCase()} are edited`}
          options={["Table", "All members"]}
          value={isWhole ? "All members" : "Table"}
          onChange={(next) => setIsWhole(next !== "Table")}
        />
      </div>
      {isWhole ? whole : editor.show(props)}
      {isWhole && <FaultsBelow path={props.path} faults={memberFaults(type, props.name, props.value)} />}
    </section>
  );
}
