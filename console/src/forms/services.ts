/** A protocol with its ports as one says it: `tcp 80-90`, `udp 53 from 1024-65535`. Pure. */

import { type Document, isDocument, type Json } from "../model/document";

const PROTOCOLS = new Set([
  "any", "tcp", "udp", "icmp", "icmp6", "sctp", "gre", "esp", "ah", "igmp", "ospf", "vrrp", "pim", "l2tp", "ipip", "eigrp", "ipv6-icmp",
]);
export const USUAL_SERVICES = ["any", "tcp 80", "tcp 443", "tcp 22", "udp 53", "icmp"] as const;

function rangeText(ports: Json | undefined): string {
  if (!isDocument(ports)) return "";
  const [start, end] = [Number(ports["start_port"] ?? 0), Number(ports["end_port"] ?? 65535)];
  if (start <= 0 && (end === 65535 || end === -1)) return "";
  return start === end ? String(start) : `${start}-${end}`;
}

/** `any`, `tcp 80-90`, `udp 53 from 1024-65535`. */
export function serviceText(service: Json | undefined): string {
  if (!isDocument(service)) return "";
  const source = rangeText(service["src_ports"]);
  return [String(service["protocol"] ?? "any"), rangeText(service["dst_ports"]), source === "" ? "" : `from ${source}`].filter(Boolean).join(" ");
}

const SERVICE = /^(\S+)(?:\s+(\d{1,5}(?:\s*-\s*\d{1,5})?))?(?:\s+from\s+(\d{1,5}(?:\s*-\s*\d{1,5})?))?$/;

function rangeOf(text: string | undefined): Document | undefined {
  if (text === undefined) return { start_port: 0, end_port: 65535 };
  const [start, end = start] = text.split("-").map((each) => Number(each.trim()));
  if (start === undefined || end === undefined || start > end || end > 65535) return undefined;
  return { start_port: start, end_port: end };
}

/** The service that a text means; undefined if it means none. */
export function serviceOf(text: string): Document | undefined {
  const found = SERVICE.exec(text.trim());
  const protocol = found?.[1]?.toLowerCase() ?? "";
  const isNumber = /^\d{1,3}$/.test(protocol) && Number(protocol) < 256;
  if (found === null || !(PROTOCOLS.has(protocol) || isNumber)) return undefined;
  const [destination, source] = [rangeOf(found[2]), rangeOf(found[3])];
  return destination === undefined || source === undefined ? undefined : { protocol, dst_ports: destination, src_ports: source };
}
