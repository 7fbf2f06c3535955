/** Addresses of both families and the prefixes they are in. Pure. */

export function familyOf(address: string): "IPv4" | "IPv6" {
  return address.includes(":") ? "IPv6" : "IPv4";
}

/** An address as a number of 32 or 128 bits; undefined of a text that is none. */
export function numberOf(address: string): bigint | undefined {
  return familyOf(address) === "IPv6" ? numberOf6(address) : numberOf4(address);
}

function numberOf4(address: string): bigint | undefined {
  const parts = address.split(".");
  if (parts.length !== 4 || parts.some((part) => !/^\d{1,3}$/.test(part) || Number(part) > 255)) return undefined;
  return parts.reduce((sum, part) => sum * 256n + BigInt(part), 0n);
}

function groupsOf(text: string | undefined): string[] {
  return text === undefined || text === "" ? [] : text.split(":");
}

function numberOf6(address: string): bigint | undefined {
  const [head = "", tail, ...more] = address.split("::");
  const [front, back] = [groupsOf(head), groupsOf(tail)];
  const missing = 8 - front.length - back.length;
  if (more.length > 0 || (tail === undefined ? missing !== 0 : missing < 1)) return undefined;
  const groups = [...front, ...Array.from({ length: missing }, () => "0"), ...back];
  if (groups.some((group) => !/^[\da-fA-F]{1,4}$/.test(group))) return undefined;
  return groups.reduce((sum, group) => sum * 65_536n + BigInt(`0x${group}`), 0n);
}

/** Whether an address is in a prefix: `10.0.0.0/8`, `fd00::/64`. */
export function isIn(address: string, prefix: string): boolean {
  const [net = "", length = ""] = prefix.split("/");
  const [one, other] = [numberOf(net), numberOf(address)];
  const bits = familyOf(net) === "IPv6" ? 128 : 32;
  if (one === undefined || other === undefined || familyOf(net) !== familyOf(address) || !/^\d{1,3}$/.test(length)) return false;
  const shift = BigInt(Math.max(0, bits - Number(length)));
  return one >> shift === other >> shift;
}
