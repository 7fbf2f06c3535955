/** Requests to the API of the server this page came from. No other server is ever asked. */

import type { ConfigObject, Document } from "../model/document";
import { bodyText, readJson, sentPath } from "../model/plain";
import { moment } from "./moment";
import { partial } from "./partial";

const TOKEN = "skytrail.token";

export interface FieldProblem {
  readonly pointer: string;
  readonly detail: string;
}

/** A refusal: what is wrong, and at which members of the body. */
export class Refused extends Error {
  readonly status: number;
  readonly errors: readonly FieldProblem[];

  constructor(status: number, detail: string, errors: readonly FieldProblem[] = []) {
    super(detail);
    this.status = status;
    this.errors = errors;
  }
}

/** The token lives as long as the tab: it is in no cookie, so no other site can use it. */
export const token = {
  get: (): string | null => sessionStorage.getItem(TOKEN),
  set: (value: string): void => sessionStorage.setItem(TOKEN, value),
  clear: (): void => sessionStorage.removeItem(TOKEN),
};

export function headersOf(extra: Readonly<Record<string, string>> = {}): Record<string, string> {
  const held = token.get();
  return held === null ? { ...extra } : { ...extra, "x-auth-token": held };
}

export interface Asked {
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

/** Questions whose body is too long for an address. */
const READING_POSTS: ReadonlySet<string> = new Set(["/api/v1/analytics/query", "/api/v1/analytics/alarms/dry-run", "/api/v1/login"]);

export async function send(method: string, path: string, asked: Asked = {}): Promise<Response> {
  if (moment.get() !== null && method !== "GET" && !READING_POSTS.has(path)) {
    throw new Refused(409, "The past cannot be changed: go back to now first.");
  }
  const { body, headers = {}, signal } = asked;
  const typed = body === undefined ? headers : { "content-type": "application/json", ...headers };
  const reply = await fetch(sentPath(path), {
    method,
    // With them the browser itself would ask for a password when the server refuses.
    credentials: "omit",
    headers: headersOf(typed),
    ...(body === undefined ? {} : { body: bodyText(body) }),
    ...(signal === undefined ? {} : { signal }),
  });
  if (!reply.ok) throw await refusalOf(reply);
  partial.note(path, reply.headers);
  return reply;
}

export async function call<T>(method: string, path: string, asked: Asked = {}): Promise<T> {
  const reply = await send(method, path, asked);
  return readJson(await reply.text()) as T;
}

async function refusalOf(reply: Response): Promise<Refused> {
  const text = await reply.text();
  try {
    const problem = readJson(text) as { detail?: string; errors?: FieldProblem[] };
    return new Refused(reply.status, problem.detail ?? text, problem.errors ?? []);
  } catch {
    return new Refused(reply.status, text || reply.statusText);
  }
}

export interface Page {
  readonly revision: number;
  readonly count: number;
  readonly next: string | null;
  readonly items: readonly ConfigObject[];
}

export interface Query {
  readonly filter?: readonly string[];
  readonly parent?: string;
  /** How far the last change of objects has come: words separated by commas; of now only. */
  readonly realised?: string;
  readonly sort?: string;
  readonly fields?: readonly string[];
  readonly limit?: number;
  readonly cursor?: string;
}

export function listPath(type: string, query: Query): string {
  const given = new URLSearchParams();
  for (const each of query.filter ?? []) given.append("filter", each);
  if (query.parent) given.set("parent", query.parent);
  if (query.realised) given.set("realised", query.realised);
  if (query.sort) given.set("sort", query.sort);
  if (query.fields) given.set("fields", query.fields.join(","));
  if (query.limit !== undefined) given.set("limit", String(query.limit));
  const past = moment.get();
  if (query.cursor) given.set("cursor", query.cursor);
  else if (past !== null) given.set("revision", String(past.revision));
  return `/api/v1/${type}?${given.toString()}`;
}

export function list(type: string, query: Query, signal?: AbortSignal): Promise<Page> {
  return call<Page>("GET", listPath(type, query), signal === undefined ? {} : { signal });
}

export async function count(type: string, filter: readonly string[] = []): Promise<number> {
  const path = `${listPath(type, { filter })}&count=true`;
  return (await call<{ count: number }>("GET", path)).count;
}

export interface Found {
  readonly object: ConfigObject;
  readonly etag: string;
}

/** `?revision=N` in the past, nothing now; `first` is what stands before it. */
export function asOf(first: "?" | "&"): string {
  const past = moment.get();
  return past === null ? "" : `${first}revision=${past.revision}`;
}

export async function read(type: string, uuid: string): Promise<Found> {
  const reply = await send("GET", `/api/v1/${type}/${encodeURIComponent(uuid)}${asOf("?")}`);
  return { object: readJson(await reply.text()) as ConfigObject, etag: reply.headers.get("etag") ?? "" };
}

/** The uuid of an object by its name; undefined when there is none. */
export async function uuidOf(type: string, name: readonly string[]): Promise<string | undefined> {
  const found = await list(type, { filter: [`fq_name:eq:${name.join(":")}`], fields: [], limit: 1 });
  return found.items[0]?.uuid;
}

export interface Operation {
  readonly op: "create" | "patch" | "delete" | "apply";
  readonly type: string;
  readonly uuid?: string;
  readonly name?: readonly string[];
  readonly object?: Document;
  readonly if_match?: string;
  readonly cascade?: boolean;
}

/** All of them or none; `dryRun` says what would change and changes nothing. */
export function transact(operations: readonly Operation[], dryRun = false): Promise<Document> {
  return call<Document>("POST", `/api/v1/transaction${dryRun ? "?dry_run=true" : ""}`, { body: { operations } });
}

/** For an operation: it is refused when somebody changed the object since it was read with its tag. */
export function ifUnchanged(object: ConfigObject): { readonly if_match?: string } {
  return typeof object["etag"] === "string" ? { if_match: object["etag"] } : {};
}
