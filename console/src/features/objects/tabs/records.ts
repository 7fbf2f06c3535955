/** Records of a virtual DNS server: what is right for each type. Pure. */

import { numberOf } from "../../../forms/numbers";
import { type ConfigObject, type Document, isDocument, type Json } from "../../../model/document";
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

function textOf(value: Json | undefined): string {
  return value === undefined || value === null ? "" : String(value);
}

/** A record as it is edited; the rest of it stays as it is. */
export function recordOf(object: ConfigObject): NewRecord {
  const data = isDocument(object["virtual_DNS_record_data"]) ? object["virtual_DNS_record_data"] : {};
  return {
    name: textOf(data["record_name"]), type: textOf(data["record_type"]), data: textOf(data["record_data"]),
    ttl: textOf(data["record_ttl_seconds"]), preference: textOf(data["record_mx_preference"]),
  };
}

/** What a record says, over what it said before. */
export function recordData(edited: NewRecord, before: Document = { record_class: "IN" }): Document {
  const { record_ttl_seconds: _ttl, record_mx_preference: _preference, ...kept } = before;
  return {
    ...kept, record_name: edited.name.trim(), record_type: edited.type, record_data: edited.data.trim(),
    ...(edited.ttl.trim() === "" ? {} : { record_ttl_seconds: numberOf(edited.ttl) ?? null }),
    ...(edited.type === "MX" ? { record_mx_preference: numberOf(edited.preference) ?? null } : {}),
  };
}

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
