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

/** Addresses of a prefix, or of the pools that narrow it; network and broadcast addresses are none. */
export function capacityOf(subnet: Document): bigint {
  const pools = isList(subnet["allocation_pools"]) ? subnet["allocation_pools"].filter(isDocument) : [];
  if (pools.length > 0) {
    return pools.reduce((sum, each) => {
      const [start, end] = [addressNumber(String(each["start"])), addressNumber(String(each["end"]))];
      return start === undefined || end === undefined || end < start ? sum : sum + end - start + 1n;
    }, 0n);
  }
  const [address = "", length = "0"] = prefixText(subnet).split("/");
  const isV6 = address.includes(":");
  const bits = BigInt((isV6 ? 128 : 32) - Number(length));
  const whole = 1n << bits;
  return !isV6 && bits > 1n ? whole - 2n : whole;
}

export interface Use {
  readonly prefix: string;
  readonly uuid: string;
  readonly gateway: string;
  readonly pools: number;
  readonly capacity: bigint;
  readonly used: number;
}

/** A subnet's row, with the number that the server counts. */
export function fillOf(subnet: Document, used: number): Use {
  return {
    prefix: prefixText(subnet), uuid: String(subnet["subnet_uuid"] ?? ""), gateway: String(subnet["default_gateway"] ?? ""),
    pools: isList(subnet["allocation_pools"]) ? subnet["allocation_pools"].length : 0, capacity: capacityOf(subnet), used,
  };
}

/** In per cent, of what fits a meter. */
export function shareOf({ used, capacity }: Use): number {
  return capacity === 0n ? 100 : Math.min(100, Number((BigInt(used) * 10_000n) / capacity) / 100);
}

export function capacityText(capacity: bigint): string {
  if (capacity < 10n ** 7n) return Number(capacity).toLocaleString("en");
  return `2^${capacity.toString(2).length - 1}`;
}

export interface Held {
  readonly address: string;
  readonly kind: string;
  readonly uuid: string;
  readonly type: string;
  readonly ports: readonly { readonly uuid: string; readonly name: string }[];
}

export function heldOf(type: "instance-ip" | "floating-ip", object: ConfigObject): Held {
  const refs = isList(object["virtual_machine_interface_refs"]) ? object["virtual_machine_interface_refs"].filter(isDocument) : [];
  const kind = type === "floating-ip" ? "floating" : object["service_instance_ip"] === true ? "shared by a service" : object["instance_ip_secondary"] === true ? "secondary" : refs.length === 0 ? "no port has it" : "of a port";
  return {
    address: String(object[type === "floating-ip" ? "floating_ip_address" : "instance_ip_address"] ?? ""), kind, uuid: object.uuid, type,
    ports: refs.map((each) => ({ uuid: String(each["uuid"]), name: lastName(textsOf(each["to"])) })),
  };
}

export function inOrder(held: readonly Held[]): Held[] {
  return held.toSorted((one, other) => {
    const [first, second] = [addressNumber(one.address) ?? 0n, addressNumber(other.address) ?? 0n];
    return first < second ? -1 : first > second ? 1 : 0;
  });
}
