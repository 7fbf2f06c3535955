/** Columns of tables for lists: what each shows of an element, and the element with another text there. Pure. */

import { numberOf } from "./numbers";
import { prefixFault } from "./subnets";
import type { Faults } from "../model/check";
import { numberOf as addressNumber } from "../model/prefix";
import { type Document, isDocument, isList, type Json, type Path, pointer, textsOf } from "../model/document";

export interface ListColumn {
  readonly title: string;
  readonly width: number;
  readonly show: (element: Document) => string;
  /** The element with this text there; a text that means nothing stays in it for the check of the form to refuse. */
  readonly put: (element: Document, text: string) => Document;
  readonly fault?: (text: string, element: Document) => string;
  /** Words to choose from; others may be typed unless it is closed. */
  readonly choices?: readonly string[];
  readonly isClosed?: boolean;
  /** Several of the choices, separated by commas in the text. */
  readonly isMany?: boolean;
  /** Objects of this type are chosen; the text is the full name. */
  readonly picks?: string;
  /** Several objects of this type are chosen; the text is their uuids, separated by commas. */
  readonly picksMany?: string;
  /** The type of objects whose full names are offered in an element; empty: none. */
  readonly offers?: (element: Document) => string;
  readonly hint?: string;
}

export interface ColumnGroup {
  readonly title: string;
  readonly columns: readonly ListColumn[];
}

export interface ListSpec {
  readonly title: string;
  readonly element: string;
  /** Member of the value that holds the list; none: the value is the list. */
  readonly wrapper?: string;
  readonly fresh: Document;
  /** What an empty list means. */
  readonly none: string;
  readonly isOrdered?: boolean;
  /** Of a list whose elements say their place themselves: where an element stands, and the element at a place. */
  readonly places?: { readonly of: (element: Document) => number; readonly at: (element: Document, place: number) => Document };
  readonly columns: readonly ListColumn[];
  /** Shown below an element when asked for; what they say is told in few words otherwise. */
  readonly more?: readonly ColumnGroup[];
  /** What an element says that no column shows. */
  readonly beside?: (element: Document) => readonly string[];
}

export function elementsOf(spec: ListSpec, value: Json | undefined): Document[] {
  const held = spec.wrapper === undefined ? value : isDocument(value) ? value[spec.wrapper] : undefined;
  const elements = isList(held) ? held.map((each) => (isDocument(each) ? each : {})) : [];
  const { places } = spec;
  return places === undefined ? elements : elements.toSorted((one, other) => places.of(one) - places.of(other));
}

export function valueOf(spec: ListSpec, elements: readonly Document[], before: Json | undefined): Json | undefined {
  if (elements.length === 0) return undefined;
  const { places, wrapper } = spec;
  const placed = places === undefined ? elements : elements.map((each, index) => places.at(each, index));
  return wrapper === undefined ? placed : { ...(isDocument(before) ? before : {}), [wrapper]: placed };
}

/** What is at a way of members; nothing of what is not there. */
export function at(element: Document, way: readonly string[]): Json | undefined {
  return way.reduce<Json | undefined>((held, name) => (isDocument(held) ? held[name] : undefined), element);
}

export function withAt(element: Document, [name = "", ...rest]: readonly string[], value: Json | undefined): Document {
  const held = element[name];
  const next = rest.length === 0 ? value : withAt(isDocument(held) ? held : {}, rest, value);
  if (next === undefined || (rest.length > 0 && isDocument(next) && Object.keys(next).length === 0)) {
    return Object.fromEntries(Object.entries(element).filter(([each]) => each !== name));
  }
  return { ...element, [name]: next };
}

export type Rest = Partial<Omit<ListColumn, "title" | "width" | "show" | "put">>;

export function text(title: string, way: string, width: number, rest: Rest = {}): ListColumn {
  const names = way.split(".");
  return { title, width, show: (each) => String(at(each, names) ?? ""), put: (each, given) => withAt(each, names, given.trim() || undefined), ...rest };
}

export function number(title: string, way: string, width: number, rest: Rest = {}): ListColumn {
  const names = way.split(".");
  return { title, width, show: (each) => String(at(each, names) ?? ""), put: (each, given) => withAt(each, names, numberOf(given)), ...rest };
}

export function split(given: string): string[] {
  return given.split(",").map((each) => each.trim()).filter(Boolean);
}

export function texts(title: string, way: string, width: number, rest: Rest = {}): ListColumn {
  const names = way.split(".");
  return {
    title, width,
    show: (each) => textsOf(at(each, names)).join(", "),
    put: (each, given) => withAt(each, names, split(given).length === 0 ? undefined : split(given)),
    ...rest,
  };
}

/** Whole numbers of 32 bits, separated by commas. */
export function numbers(title: string, way: string, width: number, rest: Rest = {}): ListColumn {
  const names = way.split(".");
  const held = (each: Document) => at(each, names);
  return {
    title, width,
    show: (each) => {
      const value = held(each);
      return isList(value) ? value.map(String).join(", ") : "";
    },
    put: (each, given) => withAt(each, names, split(given).length === 0 ? undefined : split(given).map((one) => numberOf(one) ?? one)),
    fault: (given) => split(given).filter((one) => !/^\d{1,10}$/.test(one) || Number(one) > 0xffff_ffff).map((one) => `${one}: a number up to 4294967295`)[0] ?? "",
    ...rest,
  };
}

/** One of two words; the first is what holds when nothing is said. */
export function either(title: string, way: string, width: number, [no, yes]: readonly [string, string], rest: Rest = {}): ListColumn {
  const names = way.split(".");
  return {
    title, width, choices: [no, yes], isClosed: true,
    show: (each) => (at(each, names) === true ? yes : no),
    put: (each, given) => withAt(each, names, given === yes),
    ...rest,
  };
}

/** A prefix as the model has it, in two members; an address alone is the longest prefix. */
export function prefix(title: string, way: string, width: number, rest: Rest = {}): ListColumn {
  const names = way === "" ? [] : way.split(".");
  return {
    title, width, fault: prefixFault,
    show: (each) => {
      const held = at(each, names);
      return isDocument(held) ? [held["ip_prefix"], held["ip_prefix_len"]].filter((one) => one !== undefined).map(String).join("/") : "";
    },
    put: (each, given) => {
      const [ip_prefix = "", length = addressNumber(given.trim()) === undefined ? undefined : given.includes(":") ? "128" : "32"] = given.trim().split("/");
      const held: Document = { ip_prefix, ...(length === undefined ? {} : { ip_prefix_len: numberOf(length) ?? length }) };
      if (names.length === 0) return { ...withAt(each, ["ip_prefix_len"], undefined), ...held };
      return withAt(each, names, given.trim() === "" ? undefined : held);
    },
    ...rest,
  };
}

/** The object that a reference leads to. */
export function target(title: string, type: string, width: number): ListColumn {
  return {
    title, width, picks: type,
    show: (each) => textsOf(each["to"]).join(":"),
    put: (each, given) => ({ ...withAt(each, ["uuid"], undefined), to: given.split(":") }),
  };
}

/** All columns, those below an element too. */
export function columnsOf(spec: ListSpec): readonly ListColumn[] {
  return [...spec.columns, ...(spec.more ?? []).flatMap((group) => group.columns)];
}

/** What is wrong with a list, by the pointer of its member and the column. */
export function listFaults(spec: ListSpec, value: Json | undefined, path: Path): Faults {
  const base = spec.wrapper === undefined ? path : [...path, spec.wrapper];
  return new Map(elementsOf(spec, value).flatMap((element, index) => columnsOf(spec)
    .map((column): [string, string] => [pointer([...base, index, column.title]), column.fault?.(column.show(element), element) ?? ""])
    .filter(([, fault]) => fault !== "")));
}

/** A structure as groups of cells. */
export interface StructSpec {
  readonly title: string;
  readonly groups: readonly ColumnGroup[];
  /** What a structure says that no cell shows. */
  readonly beside?: (held: Document) => readonly string[];
}

/** What is wrong with a structure that is there, by the pointer of its member and the cell. */
export function structFaults(spec: StructSpec, value: Json | undefined, path: Path): Faults {
  const columns = isDocument(value) ? spec.groups.flatMap((group) => group.columns) : [];
  return new Map(columns
    .map((column): [string, string] => [pointer([...path, column.title]), column.fault?.(column.show(value as Document), value as Document) ?? ""])
    .filter(([, fault]) => fault !== ""));
}
