/** The server's rules of form, tried as people type: types, enumerations, ranges, needed values.
 *
 * What only shows beside other objects (a taken address, a quota) the server tells when it is asked.
 */

import type { Catalog, Field } from "./catalog";
import { type Document, type Json, type Path, isDocument, isEmpty, isList, pointer } from "./document";
import { misleadingIn } from "./plain";

/** JSON pointer to what is wrong there. */
export type Faults = ReadonlyMap<string, string>;

// oxlint-disable-next-line no-control-regex -- these are what XML cannot carry
const ILLEGAL = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/;
const DECIMAL = /^-?(0|[1-9][0-9]{0,19})$/;

export function checkObject(catalog: Catalog, typeName: string, object: Document): Faults {
  const faults = new Map<string, string>();
  const entry = catalog.objects[typeName];
  for (const [name, field] of Object.entries(entry?.properties ?? {})) {
    checkValue(catalog, field, object[name], [name], faults);
  }
  for (const [name, reference] of Object.entries(entry?.references ?? {})) {
    const given = object[name];
    if (!isList(given)) continue;
    given.forEach((each, index) => {
      if (!isDocument(each) || (isEmpty(each["to"]) && isEmpty(each["uuid"]))) {
        faults.set(pointer([name, index]), `choose a ${reference.target}`);
      } else if (reference.attr !== undefined && isDocument(each["attr"])) {
        checkCompound(catalog, reference.attr, each["attr"], [name, index, "attr"], faults);
      }
    });
  }
  return faults;
}

/** What is wrong with a name: colons separate names where only one text is possible. */
export function nameFault(name: string): string {
  if (name.trim() === "") return "a name is needed";
  if (name.includes(":")) return "a name has no colon: colons separate the names of parents";
  const misleading = misleadingIn(name);
  if (misleading !== "") return `the name has ${misleading}, which is not seen or turns the text after it around`;
  return ILLEGAL.test(name) ? "the name has characters that XML cannot carry" : "";
}

export function checkValue(
  catalog: Catalog,
  field: Field,
  value: Json | undefined,
  path: Path,
  faults: Map<string, string>,
): void {
  if (isEmpty(value) || value === undefined) return;
  if (field.list) {
    if (!isList(value)) faults.set(pointer(path), "a list is expected");
    else value.forEach((each, index) => checkItem(catalog, field, each, [...path, index], faults));
    return;
  }
  checkItem(catalog, field, value, path, faults);
}

function checkItem(catalog: Catalog, field: Field, value: Json, path: Path, faults: Map<string, string>): void {
  if (field.base === "compound") {
    if (isDocument(value)) checkCompound(catalog, field.type, value, path, faults);
    else faults.set(pointer(path), "an object is expected");
    return;
  }
  const fault = scalarFault(field, value);
  if (fault !== "") faults.set(pointer(path), fault);
}

function checkCompound(
  catalog: Catalog,
  typeName: string,
  value: Document,
  path: Path,
  faults: Map<string, string>,
): void {
  for (const [name, field] of Object.entries(catalog.types[typeName]?.fields ?? {})) {
    checkValue(catalog, field, value[name], [...path, name], faults);
  }
}

export function scalarFault(field: Field, value: Json): string {
  if (field.base === "boolean") return typeof value === "boolean" ? "" : "true or false is expected";
  if (field.base === "integer") return integerFault(field, value);
  if (typeof value !== "string") return "a text is expected";
  if (field.enum !== undefined && !field.enum.includes(value)) return `one of ${field.enum.join(", ")}`;
  if (ILLEGAL.test(value)) return "there are characters that XML cannot carry";
  if (field.pattern !== undefined && !new RegExp(`^(?:${field.pattern})$`, "u").test(value)) {
    return `must match ${field.pattern}`;
  }
  return "";
}

function integerFault(field: Field, value: Json): string {
  const isNumber = typeof value === "number" && Number.isInteger(value);
  if (!isNumber && !(typeof value === "string" && DECIMAL.test(value))) return "a whole number is expected";
  const number = Number(value);
  const low = field.minimum ?? -(2 ** 63);
  const high = field.maximum ?? 2 ** 64 - 1;
  return number >= low && number <= high ? "" : `between ${low} and ${high}`;
}
