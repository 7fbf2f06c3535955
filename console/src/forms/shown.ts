/** What tables of editors hold, to be read only: headings, texts, and what of an element has no column. Pure. */

import { SETTINGS } from "./alarmTimes";
import { at, elementsOf, type ListSpec } from "./columns";
import { LISTS } from "./lists";
import { peerOf, referencesOf } from "./peers";
import { addressesText, groupRuleOf, portsText, rulesOf } from "./rules";
import { poolsText, prefixText } from "./subnets";
import { type Document, documentsOf, isDocument, isEmpty, type Json, textsOf } from "../model/document";

export interface ShownCell {
  readonly text: string;
  /** The object that the text names. */
  readonly leads?: { readonly type: string; readonly to: readonly string[]; readonly uuid: string };
}

export interface ShownRow {
  readonly cells: readonly ShownCell[];
  /** In few words, what has no column. */
  readonly note?: string;
  /** Members that have no column, as they are. */
  readonly rest?: Document;
}

export interface Shown {
  readonly columns: readonly string[];
  readonly rows: readonly ShownRow[];
}

const plain = (text: string): ShownCell => ({ text });
const said = (value: Json | undefined): string => (value === undefined || value === null ? "" : String(value));

/** The members but these; what is empty or `false` says nothing. */
function without(held: Document, names: readonly string[]): Document {
  return Object.fromEntries(Object.entries(held).filter(([name, value]) => !names.includes(name) && !isEmpty(value) && value !== false));
}

function targetOf(reference: Document, type: string): ShownCell {
  const to = textsOf(reference["to"]);
  return { text: to.join(":"), leads: { type, to, uuid: said(reference["uuid"]) } };
}

function ofList(spec: ListSpec, value: Json | undefined): Shown {
  const rows = elementsOf(spec, value).map((element, index): ShownRow => {
    const more = (spec.more ?? []).flatMap((group) => group.columns).filter((column) => column.show(element) !== column.show(spec.fresh));
    const unshown = spec.beside?.(element) ?? [];
    return {
      cells: [
        ...(spec.isOrdered === true ? [plain(String(index + 1))] : []),
        ...spec.columns.map((column) => (column.picks === undefined ? plain(column.show(element)) : targetOf(element, column.picks))),
      ],
      note: [...more.map((column) => `${column.title.toLowerCase()} ${column.show(element)}`), ...(unshown.length === 0 ? [] : [`also ${unshown.join(", ")}`])].join(" · "),
    };
  });
  return { columns: [...(spec.isOrdered === true ? ["#"] : []), ...spec.columns.map((column) => column.title)], rows };
}

/** What the server notes of a rule, and what it has no use for. */
const NOTED = ["rule_uuid", "created", "last_modified", "rule_sequence"];
const WAYS: Readonly<Record<string, string>> = { "<>": "↔", ">": "→" };

function policyRules(value: Json | undefined): Shown {
  const rows = rulesOf(value).map((rule, index): ShownRow => {
    const action = isDocument(rule["action_list"]) ? rule["action_list"] : {};
    return {
      cells: [
        String(index + 1), said(action["simple_action"]), said(rule["protocol"]), addressesText(rule["src_addresses"]), portsText(rule["src_ports"]),
        WAYS[said(rule["direction"])] ?? said(rule["direction"]), addressesText(rule["dst_addresses"]), portsText(rule["dst_ports"]), textsOf(action["apply_service"]).join(", "),
      ].map(plain),
      rest: {
        ...without(rule, [...NOTED, "action_list", "protocol", "src_addresses", "src_ports", "direction", "dst_addresses", "dst_ports", "ethertype"]),
        ...without(action, ["simple_action", "apply_service"]),
      },
    };
  });
  return { columns: ["#", "Action", "Protocol", "Source", "Source ports", "Way", "Destination", "Ports", "Through services"], rows };
}

function groupRules(value: Json | undefined): Shown {
  const rows = rulesOf(value).map((rule): ShownRow => {
    const { isIngress, remote } = groupRuleOf(rule);
    const ownPorts = portsText(rule["src_ports"]);
    return {
      cells: [isIngress ? "in" : "out", said(rule["ethertype"]), said(rule["protocol"]), portsText(rule["dst_ports"]), remote].map(plain),
      ...(ownPorts === "any" ? {} : { note: `from ports ${ownPorts}` }),
      rest: without(rule, [...NOTED, "ethertype", "protocol", "dst_ports", "src_ports", "direction", "src_addresses", "dst_addresses"]),
    };
  });
  return { columns: ["Direction", "Family", "Protocol", "Ports", "From or to"], rows };
}

function subnetRow(subnet: Document, ipam?: ShownCell): ShownRow {
  return {
    cells: [
      plain(prefixText(subnet)), plain(said(subnet["default_gateway"])), plain(said(subnet["dns_server_address"])), plain(subnet["enable_dhcp"] === false ? "no" : "yes"),
      plain(poolsText(subnet) || "all"), ...(ipam === undefined ? [] : [ipam]),
    ],
    rest: without(subnet, ["subnet", "default_gateway", "dns_server_address", "enable_dhcp", "allocation_pools", "subnet_uuid", "created", "last_modified", "addr_from_start"]),
  };
}

const SUBNET_COLUMNS = ["Subnet", "Gateway", "DNS server", "DHCP", "Addresses given"];

function subnets(value: Json | undefined): Shown {
  const rows = documentsOf(value).flatMap((reference): ShownRow[] => {
    const ipam = targetOf(reference, "network-ipam");
    const own = documentsOf(at(reference, ["attr", "ipam_subnets"])).filter((each) => prefixText(each) !== "");
    if (own.length === 0) return [{ cells: [plain("those of the flat IPAM"), ...SUBNET_COLUMNS.slice(1).map(() => plain("")), ipam] }];
    return own.map((subnet) => subnetRow(subnet, ipam));
  });
  return { columns: [...SUBNET_COLUMNS, "IPAM"], rows };
}

function sharedSubnets(value: Json | undefined): Shown {
  return { columns: SUBNET_COLUMNS, rows: documentsOf(at(isDocument(value) ? value : {}, ["subnets"])).map((subnet) => subnetRow(subnet)) };
}

function peers(value: Json | undefined): Shown {
  const rows = referencesOf(value).map((reference): ShownRow => {
    const peer = peerOf(reference);
    return {
      cells: [targetOf(reference, "bgp-router"), ...[peer.isDown ? "no" : "yes", peer.isPassive ? "yes" : "no", peer.holdTime, peer.families.join(", "), peer.hasKey ? "set" : "none"].map(plain)],
      ...(peer.isMore ? { note: "more of one end, or of several sessions: under JSON" } : {}),
    };
  });
  return { columns: ["Peer", "Up", "Passive", "Hold time", "Families", "Key"], rows };
}

/** Conditions of an alarm rule: all of one group have to hold, of any group. */
function conditions(value: Json | undefined): Shown {
  const groups = documentsOf(isDocument(value) ? value["or_list"] : undefined);
  const rows = groups.flatMap((group, index) => documentsOf(group["and_list"]).map((each, place): ShownRow => {
    const right = isDocument(each["operand2"]) ? each["operand2"] : {};
    const when = place > 0 ? "and" : index > 0 ? "or when" : "when";
    return { cells: [when, said(each["operand1"]), said(each["operation"]), said(right["json_value"] ?? right["uve_attribute"]), textsOf(each["variables"]).join(", ")].map(plain) };
  }));
  return { columns: ["Raised", "Attribute", "Is", "Value or attribute", "Told with it"], rows };
}

function annotations(type: string, value: Json | undefined): Shown {
  const rows = documentsOf(isDocument(value) ? value["key_value_pair"] : undefined).map((pair): ShownRow => {
    const setting = type === "alarm" ? SETTINGS.find(({ key }) => key === pair["key"]) : undefined;
    return { cells: [setting?.title ?? said(pair["key"]), said(pair["value"]), setting?.note ?? ""].map(plain) };
  });
  return { columns: ["Name", "Value", "Means"], rows };
}

const READERS: Readonly<Record<string, (value: Json | undefined) => Shown>> = {
  "network-policy network_policy_entries": policyRules,
  "security-group security_group_entries": groupRules,
  "virtual-network network_ipam_refs": subnets,
  "network-ipam ipam_subnets": sharedSubnets,
  "bgp-router bgp_router_refs": peers,
  "alarm alarm_rules": conditions,
};

/** Columns that say something of some row; the first always does. */
function filled({ columns, rows }: Shown): Shown {
  const kept = columns.map((_, index) => index === 0 || rows.some(({ cells }) => (cells[index]?.text ?? "") !== ""));
  return { columns: columns.filter((_, index) => kept[index]), rows: rows.map((row) => ({ ...row, cells: row.cells.filter((_, index) => kept[index]) })) };
}

/** The table of a member as its editor has it; undefined where there is none, or nothing to be in it. */
export function shownOf(type: string, name: string, value: Json | undefined): Shown | undefined {
  const spec = LISTS[`${type} ${name}`];
  const read = READERS[`${type} ${name}`];
  const shown = name === "annotations" ? annotations(type, value) : spec !== undefined ? ofList(spec, value) : read?.(value);
  return shown === undefined || shown.rows.length === 0 ? undefined : filled(shown);
}
