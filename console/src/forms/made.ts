/** What tables and cells find wrong with members: the server takes any text in some of them. Pure. */

import { listFaults, structFaults } from "./columns";
import { LISTS } from "./lists";
import { STRUCTS } from "./structs";
import type { Faults } from "../model/check";
import { type Document, equal, type Json } from "../model/document";

export function memberFaults(type: string, name: string, value: Json | undefined): Faults {
  const [list, struct] = [LISTS[`${type} ${name}`], STRUCTS[`${type} ${name}`]];
  if (list !== undefined) return listFaults(list, value, [name]);
  return struct === undefined ? new Map() : structFaults(struct, value, [name]);
}

/** Of members that changed only: nobody is kept from saving the rest by what was there before. */
export function madeFaults(type: string, before: Document, after: Document): Faults {
  return new Map(Object.keys(after).flatMap((name) => (equal(before[name], after[name]) ? [] : [...memberFaults(type, name, after[name])])));
}
