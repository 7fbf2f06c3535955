/** Objects into a file and out of one: JSON, one entry per object, that `skytrail apply -f` takes as well. */

import { list, type Operation, type Query } from "../../api/client";
import { csv } from "../../model/csv";
import { type ConfigObject, type Document, isDocument, isEmpty, isList, lastName, textsOf } from "../../model/document";
import { brief, changedAt, type Column } from "./columns";

const EXPORT_PAGE = 1000;
/** Made by the server: another one makes its own. */
const OWN = new Set(["uuid", "id_perms", "perms2", "parent_uuid", "href", "parent_href", "name", "etag"]);

export interface Entry extends Document {
  readonly type: string;
}

export function exported(type: string, object: ConfigObject): Entry {
  const members = Object.entries(object).filter(([name, value]) => !OWN.has(name) && !isEmpty(value));
  return { type, ...Object.fromEntries(members.map(([name, value]) => [name, portable(value)])) };
}

/** References lead by name: uuids mean nothing elsewhere. */
function portable(value: Document[string]): Document[string] {
  if (!isList(value)) return value;
  return value.map((each) => {
    if (!isDocument(each) || !isList(each["to"])) return each;
    const { uuid: _uuid, href: _href, ...rest } = each;
    return rest;
  });
}

/** All that a list shows, page by page. */
async function allOf(type: string, query: Query): Promise<ConfigObject[]> {
  const found: ConfigObject[] = [];
  let cursor: string | null = "";
  while (cursor !== null) {
    // oxlint-disable-next-line no-await-in-loop -- each page names the next
    const page: Awaited<ReturnType<typeof list>> = await list(type, { sort: "fq_name", ...query, limit: EXPORT_PAGE, cursor });
    found.push(...page.items);
    cursor = page.next;
  }
  return found;
}

export async function exportAll(type: string, query: Query): Promise<Entry[]> {
  const { fields: _shown, ...whole } = query;
  return (await allOf(type, whole)).map((object) => exported(type, object));
}

/** What the list shows, as a table for other programs. */
export async function exportTable(type: string, query: Query, columns: readonly Column[]): Promise<{ readonly text: string; readonly count: number }> {
  const objects = await allOf(type, query);
  const rows = objects.map((object) => [lastName(object.fq_name), object.fq_name.slice(0, -1).join(":"), ...columns.map(({ name }) => brief(object[name])), changedAt(object), object.uuid]);
  return { text: csv([["Name", "Parent", ...columns.map(({ title }) => title), "Changed", "UUID"], ...rows]), count: objects.length };
}

export function download(name: string, text: string, type = "application/json"): void {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

/** The operations that a file asks for; Error with what is wrong with it. */
export function operationsOf(text: string, known: (type: string) => boolean): Operation[] {
  let given: unknown;
  try {
    given = JSON.parse(text);
  } catch (error) {
    throw new Error(`This is not JSON: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
  const entries = Array.isArray(given) ? given : [given];
  if (entries.length === 0) throw new Error("There is nothing in it");
  return entries.map((entry: unknown, index) => {
    const place = `Entry ${index + 1}`;
    if (!isDocument(entry)) throw new Error(`${place} is not an object`);
    const { type, ...object } = entry;
    if (typeof type !== "string" || !known(type)) throw new Error(`${place} has no known type: ${String(type)}`);
    const name = textsOf(object["fq_name"]);
    if (name.length === 0) throw new Error(`${place} has no fq_name`);
    return { op: "apply", type, name, object };
  });
}
