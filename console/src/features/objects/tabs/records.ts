/** Records of a virtual DNS server: what is right for each type. Pure. */

import { addressNumber } from "./addresses";

export const RECORD_TYPES = ["A", "AAAA", "CNAME", "MX", "NS", "PTR"] as const;

export interface NewRecord {
  readonly name: string;
  readonly type: string;
  readonly data: string;
  readonly ttl: string;
  readonly preference: string;
}

export const EMPTY_RECORD: NewRecord = { name: "", type: "A", data: "", ttl: "", preference: "" };

export function recordFault({ name, type, data, ttl, preference }: NewRecord): string {
  if (name.trim() === "") return "a name is needed, such as www";
  if (/\s/.test(name.trim())) return "a name has no spaces";
  const isV6 = data.includes(":");
  const isAddress = addressNumber(data.trim()) !== undefined;
  if (type === "A" && (!isAddress || isV6)) return "an A record leads to an IPv4 address";
  if (type === "AAAA" && (!isAddress || !isV6)) return "an AAAA record leads to an IPv6 address";
  if (data.trim() === "") return `${type === "MX" ? "an MX" : `a ${type}`} record leads to a name`;
  if (!/^\d*$/.test(ttl.trim())) return "seconds are a whole number";
  if (type === "MX" && !/^\d{1,5}$/.test(preference.trim())) return "an MX record has a preference, such as 10";
  return "";
}
