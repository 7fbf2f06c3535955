/** BGP sessions of a router as rows: one for each peer, what is asked of the session for both ends. Pure. */

import { numberOf } from "./numbers";
import { type Document, isDocument, isList, type Json, textsOf } from "../model/document";

export const FAMILIES = ["inet", "inet-labeled", "inet-vpn", "e-vpn", "erm-vpn", "route-target", "inet6", "inet-mvpn", "inet6-vpn"] as const;

export interface Peer {
  readonly name: readonly string[];
  readonly isPassive: boolean;
  readonly isDown: boolean;
  readonly holdTime: string;
  readonly families: readonly string[];
  readonly hasKey: boolean;
  /** What is said of one end, or of several sessions: only the form of all members shows it. */
  readonly isMore: boolean;
}

export function referencesOf(value: Json | undefined): Document[] {
  return isList(value) ? value.filter(isDocument) : [];
}

function sessions(reference: Document): Document[] {
  const attr = reference["attr"];
  return isDocument(attr) && isList(attr["session"]) ? attr["session"].filter(isDocument) : [];
}

function attributesOf(reference: Document): Document[] {
  const attributes = sessions(reference)[0]?.["attributes"];
  return isList(attributes) ? attributes.filter(isDocument) : [];
}

/** The attributes that hold for both ends. */
function common(reference: Document): Document {
  return attributesOf(reference).find((each) => !each["bgp_router"]) ?? {};
}

export function peerOf(reference: Document): Peer {
  const held = common(reference);
  const families = held["address_families"];
  const keys = isDocument(held["auth_data"]) ? held["auth_data"]["key_items"] : undefined;
  return {
    name: textsOf(reference["to"]),
    isPassive: held["passive"] === true,
    isDown: held["admin_down"] === true,
    holdTime: String(held["hold_time"] ?? ""),
    families: isDocument(families) ? textsOf(families["family"]) : [],
    hasKey: isList(keys) && keys.length > 0,
    isMore: sessions(reference).length > 1 || attributesOf(reference).some((each) => Boolean(each["bgp_router"])),
  };
}

/** The reference with some attributes for both ends changed; undefined takes one away, others stay. */
export function withAttributes(reference: Document, changed: Document): Document {
  const merged = Object.fromEntries(Object.entries({ ...common(reference), ...changed }).filter(([, value]) => value !== undefined));
  const ends = attributesOf(reference).filter((each) => Boolean(each["bgp_router"]));
  const attributes = Object.keys(merged).length === 0 ? ends : [merged, ...ends];
  const [first = {}, ...rest] = sessions(reference);
  const session = [{ ...first, attributes }, ...rest];
  return { ...reference, attr: { ...(isDocument(reference["attr"]) ? reference["attr"] : {}), session } };
}

export function holdTimeOf(text: string): Document {
  return { hold_time: numberOf(text) };
}

export function familiesOf(families: readonly string[]): Document {
  return { address_families: families.length === 0 ? undefined : { family: families } };
}

/** A new key in place of the old one; an empty text takes it away. */
export function keyOf(key: string): Document {
  return { auth_data: key === "" ? undefined : { key_type: "md5", key_items: [{ key_id: 0, key }] } };
}
