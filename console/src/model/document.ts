/** Objects as the API has them: plain JSON. Every change makes a new one. */

export type Json = string | number | boolean | null | readonly Json[] | Document;
export interface Document {
  readonly [name: string]: Json | undefined;
}
export type Path = readonly (string | number)[];

export interface ConfigObject extends Document {
  readonly uuid: string;
  readonly fq_name: readonly string[];
}

export function isDocument(value: unknown): value is Document {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function isList(value: unknown): value is readonly Json[] {
  return Array.isArray(value);
}

/** The JSON pointer of a path, as the server's problems have them. */
export function pointer(path: Path): string {
  return path.map((key) => `/${String(key).replaceAll("~", "~0").replaceAll("/", "~1")}`).join("");
}

/** A value that says nothing: it is left out of what is sent. */
export function isEmpty(value: Json | undefined): boolean {
  if (value === undefined || value === null || value === "") return true;
  if (isList(value)) return value.length === 0;
  return isDocument(value) && Object.values(value).every(isEmpty);
}

/** The document without members that say nothing; lists keep their elements. */
export function pruned(value: Json): Json {
  if (isList(value)) return value.filter((each) => !isEmpty(each)).map(pruned);
  if (!isDocument(value)) return value;
  const kept = Object.entries(value).filter(([, each]) => !isEmpty(each));
  return Object.fromEntries(kept.map(([name, each]) => [name, pruned(each as Json)]));
}

export function equal(one: Json | undefined, other: Json | undefined): boolean {
  if (one === other) return true;
  if (isList(one) && isList(other)) {
    return one.length === other.length && one.every((each, index) => equal(each, other[index]));
  }
  if (!isDocument(one) || !isDocument(other)) return false;
  const names = new Set([...Object.keys(one), ...Object.keys(other)]);
  return [...names].every((name) => equal(one[name], other[name]));
}

/** The merge patch (RFC 7396) on top level members that leads from one document to another. */
export function mergePatch(before: Document, after: Document): Document {
  const names = new Set([...Object.keys(before), ...Object.keys(after)]);
  const patch: Record<string, Json> = {};
  for (const name of names) {
    const [from, to] = [before[name], after[name]];
    if (equal(from, to) || (isEmpty(from) && isEmpty(to))) continue;
    if (to === undefined || isEmpty(to)) patch[name] = null;
    else if (isDocument(from) && isDocument(to)) patch[name] = mergePatch(from, to);
    else patch[name] = to;
  }
  return patch;
}

export function lastName(names: readonly string[]): string {
  return names.at(-1) ?? "";
}

export function textsOf(value: Json | undefined): string[] {
  return isList(value) ? value.filter((each): each is string => typeof each === "string") : [];
}

export function documentsOf(value: Json | undefined): Document[] {
  return isList(value) ? value.filter(isDocument) : [];
}

/** Full names of what references lead to. */
export function namesOf(references: Json | undefined): string[] {
  return documentsOf(references).map((each) => textsOf(each["to"]).join(":"));
}

/** A full name as people of a project say it: the last part of what is theirs, the whole way to others. */
export function nameWithin(name: string, project: readonly string[]): string {
  const parts = name.split(":");
  return parts.slice(0, -1).join(":") === project.join(":") ? lastName(parts) : parts.join(" › ");
}
