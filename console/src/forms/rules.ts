/** Rules of network policies and security groups as a row of a table has them: in few words. Pure. */

import { type Document, isDocument, isList, type Json } from "../model/document";

const ANY_PORTS = [0, 65535] as const;
const ALL_PORTS = [{ start_port: ANY_PORTS[0], end_port: ANY_PORTS[1] }];
const PREFIX = /^([0-9a-f:.]+)\/(\d{1,3})$/i;
const GROUP = "security group ";
const POLICY = "policy ";

/** `any`, `local`, `domain:project:network`, `10.0.0.0/8`, `security group NAME`, `policy NAME`. */
export function addressText(address: Json | undefined): string {
  if (!isDocument(address)) return "";
  const network = address["virtual_network"];
  if (typeof network === "string" && network !== "") return network;
  if (typeof address["security_group"] === "string" && address["security_group"] !== "") {
    const group = address["security_group"];
    return group === "local" || group === "any" ? group : `${GROUP}${group}`;
  }
  if (typeof address["network_policy"] === "string" && address["network_policy"] !== "") return `${POLICY}${address["network_policy"]}`;
  const subnets = [address["subnet"], ...(isList(address["subnet_list"]) ? address["subnet_list"] : [])].filter(isDocument);
  return subnets.map((each) => `${String(each["ip_prefix"])}/${String(each["ip_prefix_len"])}`).join(", ");
}

export function addressesText(addresses: Json | undefined): string {
  return isList(addresses) ? addresses.map(addressText).filter(Boolean).join(", ") : "";
}

/** The addresses that a text means; a text that is of no other kind names a network. */
export function addressesOf(text: string): Document[] {
  return text.split(",").map((each) => each.trim()).filter(Boolean).map((each) => {
    const prefix = PREFIX.exec(each);
    if (prefix !== null) return { subnet: { ip_prefix: prefix[1] ?? "", ip_prefix_len: Number(prefix[2]) } };
    if (each.startsWith(GROUP)) return { security_group: each.slice(GROUP.length).trim() };
    if (each.startsWith(POLICY)) return { network_policy: each.slice(POLICY.length).trim() };
    return { virtual_network: each };
  });
}

/** What is no address of a rule; empty when all is well. */
export function addressFault(text: string): string {
  if (text.trim() === "") return "from where, or to where?";
  for (const each of addressesOf(text)) {
    const network = each["virtual_network"];
    if (typeof network !== "string" || network === "any" || network === "local") continue;
    if (/^[0-9.]+$/.test(network)) return `${network}: an address needs a prefix length, such as /32`;
    if (network.split(":").length !== 3) return `${network}: any, local, a prefix, or a network as domain:project:name`;
  }
  return "";
}

function isAny(start: number, end: number): boolean {
  return start <= 0 && (end === ANY_PORTS[1] || end === -1);
}

export function portsText(ports: Json | undefined): string {
  const [first] = isList(ports) ? ports : [];
  const raw = isDocument(first) && first["end_port"] === undefined ? first["start_port"] : undefined;
  if (typeof raw === "string") return raw;
  const ranges = (isList(ports) ? ports.filter(isDocument) : []).map((each) => [Number(each["start_port"] ?? 0), Number(each["end_port"] ?? 65535)] as const);
  if (ranges.length === 0 || ranges.some(([start, end]) => isAny(start, end))) return "any";
  return ranges.map(([start, end]) => (start === end ? String(start) : `${start}-${end}`)).join(", ");
}

/** The ranges that a text means; of a text that means none, what the check of the form refuses. */
export function portsOf(text: string): Document[] {
  const wanted = text.trim();
  if (wanted === "" || wanted === "any") return [...ALL_PORTS];
  const found: Document[] = [];
  for (const each of wanted.split(",").map((part) => part.trim()).filter(Boolean)) {
    const match = /^(\d{1,5})(?:\s*-\s*(\d{1,5}))?$/.exec(each);
    const [start, end] = [Number(match?.[1]), Number(match?.[2] ?? match?.[1])];
    if (match === null || start > 65535 || end > 65535 || start > end) return [{ start_port: text }];
    found.push({ start_port: start, end_port: end });
  }
  return found;
}

export function rulesOf(entries: Json | undefined): Document[] {
  const held = isDocument(entries) ? entries["policy_rule"] : undefined;
  return isList(held) ? held.map((each) => (isDocument(each) ? each : {})) : [];
}

export function entriesOf(rules: readonly Document[]): Json | undefined {
  return rules.length === 0 ? undefined : { policy_rule: rules };
}

export function newPolicyRule(): Document {
  return {
    direction: "<>",
    protocol: "any",
    src_addresses: [{ virtual_network: "any" }],
    src_ports: ALL_PORTS,
    dst_addresses: [{ virtual_network: "any" }],
    dst_ports: ALL_PORTS,
    action_list: { simple_action: "pass" },
  };
}

/** A rule of a security group: what the group's ports (`local`) take in or send out. */
export interface GroupRule {
  readonly isIngress: boolean;
  readonly remote: string;
}

const LOCAL: Document = { security_group: "local" };

export function groupRuleOf(rule: Document): GroupRule {
  const isLocal = (addresses: Json | undefined) => addressesText(addresses) === "local";
  const isIngress = isLocal(rule["dst_addresses"]);
  return { isIngress, remote: addressesText(rule[isIngress ? "src_addresses" : "dst_addresses"]) };
}

export function withEnds(rule: Document, { isIngress, remote }: GroupRule): Document {
  const others = addressesOf(remote).map((each) => (each["virtual_network"] === "any" ? { security_group: "any" } : each));
  return { ...rule, src_addresses: isIngress ? others : [LOCAL], dst_addresses: isIngress ? [LOCAL] : others };
}

export function newGroupRule(): Document {
  const rule = { direction: ">", ethertype: "IPv4", protocol: "tcp", src_ports: ALL_PORTS, dst_ports: ALL_PORTS };
  return withEnds(rule, { isIngress: true, remote: "0.0.0.0/0" });
}

/** What is wrong with a group rule's remote end. */
export function remoteFault(remote: string, ethertype: string): string {
  if (remote.trim() === "") return "from whom, or to whom?";
  for (const each of addressesOf(remote)) {
    if (typeof each["virtual_network"] === "string" && each["virtual_network"] !== "any") return `${each["virtual_network"]}: a prefix, any, or security group NAME`;
    const subnet = each["subnet"];
    const isV6 = isDocument(subnet) && String(subnet["ip_prefix"]).includes(":");
    if (isDocument(subnet) && isV6 !== (ethertype === "IPv6")) return `a prefix of ${ethertype} is needed`;
  }
  return "";
}
