/** How many addresses a subnet has to give, and who has which. Pure. */

import { prefixText } from "../../../forms/subnets";
import { type ConfigObject, type Document, isDocument, isList, lastName, textsOf } from "../../../model/document";

/** The number that an address is; undefined if the text is none. */
export function addressNumber(text: string): bigint | undefined {
  if (text.includes(":")) return v6Number(text);
  const parts = text.split(".");
  if (parts.length !== 4 || parts.some((each) => !/^\d{1,3}$/.test(each) || Number(each) > 255)) return undefined;
  return parts.reduce((sum, each) => sum * 256n + BigInt(each), 0n);
}

function groups(part: string): string[] {
  return part === "" ? [] : part.split(":");
}

function v6Number(text: string): bigint | undefined {
  const [head = "", tail, ...more] = text.split("::");
  const [front, back] = [groups(head), tail === undefined ? [] : groups(tail)];
  const missing = 8 - front.length - back.length;
  if (more.length > 0 || (tail === undefined ? missing !== 0 : missing < 1)) return undefined;
  const all = [...front, ...Array.from({ length: missing }, () => "0"), ...back];
  if (all.some((each) => !/^[0-9a-f]{1,4}$/i.test(each))) return undefined;
  return all.reduce((sum, each) => sum * 65_536n + BigInt(`0x${each}`), 0n);
}

type Range = readonly [bigint, bigint];

/** First and last address that may be given out, of the prefix or of each pool that narrows it. */
function rangesOf(subnet: Document): Range[] {
  const pools = isList(subnet["allocation_pools"]) ? subnet["allocation_pools"].filter(isDocument) : [];
  if (pools.length > 0) {
    return pools.flatMap((each): Range[] => {
      const [start, end] = [addressNumber(String(each["start"])), addressNumber(String(each["end"]))];
      return start === undefined || end === undefined || end < start ? [] : [[start, end]];
    });
  }
  const [address = "", length = "0"] = prefixText(subnet).split("/");
  const bits = BigInt((address.includes(":") ? 128 : 32) - Number(length));
  const first = ((addressNumber(address) ?? 0n) >> bits) << bits;
  const last = first + (1n << bits) - 1n;
  return bits > 1n ? [[first + 1n, last - 1n]] : [[first, last]];
}

/** How many addresses ports may get: network and broadcast address, gateway and DNS server's are none of them. */
export function capacityOf(subnet: Document): bigint {
  const ranges = rangesOf(subnet);
  const own = new Set([subnet["default_gateway"], subnet["dns_server_address"]].map((each) => addressNumber(String(each ?? ""))));
  const whole = ranges.reduce((sum, [start, end]) => sum + end - start + 1n, 0n);
  return whole - BigInt([...own].filter((each) => each !== undefined && ranges.some(([start, end]) => each >= start && each <= end)).length);
}

/** Whether the address is one of the subnet's prefix. */
export function isWithin(subnet: Document, address: string): boolean {
  const [prefix = "", length = "0"] = prefixText(subnet).split("/");
  const [base, number] = [addressNumber(prefix), addressNumber(address)];
  if (base === undefined || number === undefined || prefix.includes(":") !== address.includes(":")) return false;
  const bits = BigInt((prefix.includes(":") ? 128 : 32) - Number(length));
  return base >> bits === number >> bits;
}

export interface Use {
  readonly prefix: string;
  readonly uuid: string;
  readonly gateway: string;
  readonly pools: number;
  readonly capacity: bigint;
  readonly used: number;
}

/** A subnet's row, with the number that is used. */
export function fillOf(subnet: Document, used: number): Use {
  return {
    prefix: prefixText(subnet), uuid: String(subnet["subnet_uuid"] ?? ""), gateway: String(subnet["default_gateway"] ?? ""),
    pools: isList(subnet["allocation_pools"]) ? subnet["allocation_pools"].length : 0, capacity: capacityOf(subnet), used,
  };
}

/** In per cent, rounded to hundredths, of what fits a meter; only what is full is 100. */
export function shareOf({ used, capacity }: Use): number {
  if (BigInt(used) >= capacity) return 100;
  return Math.min(99.99, Number((BigInt(used) * 20_000n + capacity) / (2n * capacity)) / 100);
}

export function capacityText(capacity: bigint): string {
  if (capacity < 10n ** 7n) return Number(capacity).toLocaleString("en");
  // Rounded: the few addresses that are nobody's do not make half of it.
  return `2^${(capacity + (capacity >> 8n)).toString(2).length - 1}`;
}

export interface Held {
  readonly address: string;
  readonly kind: string;
  readonly uuid: string;
  readonly type: string;
  readonly ports: readonly { readonly uuid: string; readonly name: string }[];
}

export type AddressType = "instance-ip" | "floating-ip" | "alias-ip";
export const ADDRESS_MEMBERS: Readonly<Record<AddressType, string>> = { "instance-ip": "instance_ip_address", "floating-ip": "floating_ip_address", "alias-ip": "alias_ip_address" };

export function heldOf(type: AddressType, object: ConfigObject): Held {
  const refs = isList(object["virtual_machine_interface_refs"]) ? object["virtual_machine_interface_refs"].filter(isDocument) : [];
  const kind = type === "floating-ip" ? "floating" : type === "alias-ip" ? "alias" : object["service_instance_ip"] === true ? "shared by a service" : object["instance_ip_secondary"] === true ? "secondary" : refs.length === 0 ? "no port has it" : "of a port";
  return {
    address: String(object[ADDRESS_MEMBERS[type]] ?? ""), kind, uuid: object.uuid, type,
    ports: refs.map((each) => ({ uuid: String(each["uuid"]), name: lastName(textsOf(each["to"])) })),
  };
}

export function inOrder(held: readonly Held[]): Held[] {
  return held.toSorted((one, other) => {
    const [first, second] = [addressNumber(one.address) ?? 0n, addressNumber(other.address) ?? 0n];
    return first < second ? -1 : first > second ? 1 : 0;
  });
}
