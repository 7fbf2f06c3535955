/** Values of a plan as people read them: what of a list goes and comes, each in one line. Pure. */

import { fieldTitle } from "../../model/catalog";
import { type Document, isDocument, isEmpty, isList, type Json, textsOf } from "../../model/document";

/** Given by the server; says nothing to people. */
const NUMBERS = new Set(["rule_uuid", "tag_ids", "protocol_id", "subnet_uuid", "created", "last_modified"]);

/** `/network_policy_entries/policy_rule/0/dst_ports` -> `Rules › policy rule 1 › dst ports`. */
export function pathTitle(path: string): string {
  const steps: string[] = [];
  for (const part of path.split("/").filter((each) => each !== "")) {
    const before = steps.pop();
    if (before === undefined) steps.push(fieldTitle(part));
    else if (/^\d+$/.test(part)) steps.push(`${before} ${Number(part) + 1}`);
    else steps.push(before, part.replaceAll("_", " "));
  }
  return steps.join(" › ");
}

function isSaid([name, value]: readonly [string, Json | undefined]): boolean {
  return !NUMBERS.has(name) && value !== false && !isEmpty(value);
}

/** `direction >, protocol tcp, src addresses default-domain:red:front, dst ports 23, action list pass`. */
export function lineOf(value: Json | undefined): string {
  if (value === undefined || isEmpty(value)) return "—";
  if (isList(value)) return value.map(lineOf).join(", ");
  if (!isDocument(value)) return String(value);
  if ("start_port" in value || "end_port" in value) return portsOf(value);
  if ("ip_prefix" in value && "ip_prefix_len" in value) return `${String(value["ip_prefix"])}/${String(value["ip_prefix_len"])}`;
  if (isList(value["to"])) return `${textsOf(value["to"]).join(":")}${isEmpty(value["attr"]) ? "" : ` (${lineOf(value["attr"])})`}`;
  const said = Object.entries(value).filter(isSaid);
  const [only] = said;
  if (said.length === 1 && only !== undefined) return lineOf(only[1]);
  return said.map(([name, each]) => `${name.replaceAll("_", " ")} ${isDocument(each) && Object.entries(each).filter(isSaid).length > 1 ? `(${lineOf(each)})` : lineOf(each)}`).join(", ");
}

function portsOf(value: Document): string {
  const [start, end] = [Number(value["start_port"] ?? 0), Number(value["end_port"] ?? 65535)];
  if (start <= 0 && (end === 65535 || end === -1)) return "any";
  return start === end ? String(start) : `${start}-${end}`;
}

export interface ListChange {
  readonly gone: readonly string[];
  readonly come: readonly string[];
}

/** The list of a structure that says nothing else, such as the rules of an access list; others as they are. */
function listIn(value: Json | undefined): Json {
  if (!isDocument(value)) return value ?? [];
  const said = Object.entries(value).filter(isSaid);
  const [only] = said;
  if (said.length === 0) return [];
  return said.length === 1 && only !== undefined && isList(only[1]) ? only[1] : value;
}

/** What of a list goes and comes; null when the values are no lists of structures. Alike are those that read alike. */
export function listChangeOf(from: Json | undefined, to: Json | undefined): ListChange | null {
  const [one, other] = [listIn(from), listIn(to)];
  if (!isList(one) || !isList(other) || ![...one, ...other].some((each) => isDocument(each))) return null;
  const [before, after] = [one.map(lineOf), other.map(lineOf)];
  return { gone: without(before, after), come: without(after, before) };
}

function without(lines: readonly string[], taken: readonly string[]): string[] {
  const left = [...taken];
  return lines.filter((line) => {
    const at = left.indexOf(line);
    if (at >= 0) left.splice(at, 1);
    return at < 0;
  });
}
