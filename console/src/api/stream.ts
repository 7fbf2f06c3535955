/** The one connection over which the server tells all pages of a person what happens.
 *
 *     wishes of pages --> types that any of them shows --> /api/v1/live --> tables --> each page what it wishes
 *                                                            `-- ended: tried every 2 s, changes are resumed by revision
 */

import type { Document } from "../model/document";
import { readJson } from "../model/plain";
import type { Change, Liveness, Phase, Port, Standing, Wish } from "./shared";
import { eventsOf, type StreamEvent, TABLES, UveTables } from "./uveTables";

const FLUSH_MS = 500;
const GATHER_MS = 100;
const AGAIN_MS = 2000;
/** The server says something every few seconds. */
const SILENT_MS = 30_000;
const GAPS_MAX = 20;

/** A line of the configuration's changes. */
interface Line {
  readonly kind: "start" | "changes" | "bookmark" | "lost";
  readonly revision: number;
  readonly history: string;
  readonly changes?: readonly Change[];
}

interface Absent {
  readonly part: "config" | "analytics";
  readonly status: number;
}

interface Page {
  readonly wish: Wish;
  /** Types of which it was told everything. */
  readonly told: Set<string>;
}

type Ask = (path: string, token: string | null, signal: AbortSignal) => Promise<Response>;

export function askServer(path: string, token: string | null, signal: AbortSignal): Promise<Response> {
  return fetch(path, { credentials: "omit", headers: token === null ? {} : { "x-auth-token": token }, signal });
}

export class Stream {
  readonly #ask: Ask;
  readonly #pages = new Map<Port, Page>();
  readonly #expired = new Set<string | null>();
  #token: string | null | undefined;
  #asked: ReadonlySet<string> = new Set();
  #resume: Readonly<Record<string, string>> = {};
  #tables = new UveTables();
  /** What the tables were asked to hold. */
  #held: ReadonlySet<string> = new Set();
  #changes: Liveness = "connecting";
  #uves: Standing = { phase: "idle", since: Date.now(), gaps: [] };
  #connection = new AbortController();
  #isOpen = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #flushing: ReturnType<typeof setTimeout> | undefined;

  constructor(ask: Ask = askServer) {
    this.#ask = ask;
  }

  get isIdle(): boolean {
    return this.#pages.size === 0;
  }

  wish(port: Port, wish: Wish): void {
    const before = this.#pages.get(port);
    const told = new Set([...(before?.told ?? [])].filter((type) => wish.types.includes(type)));
    this.#pages.set(port, { wish, told });
    // A page that was forgotten has missed something; to a new one this means nothing yet.
    if (before === undefined) port.postMessage({ kind: "anew" });
    this.#flush(false);
    this.#stand(port);
    const isUnasked = wish.types.some((type) => !this.#asked.has(type));
    if (!this.#isOpen ? !this.#expired.has(wish.token) && this.#isWorthwhile(before, wish) : isUnasked) this.#again(GATHER_MS);
  }

  leave(port: Port): void {
    this.#pages.delete(port);
    if (this.isIdle) this.#end();
    // Nobody is told anything by the log-in of a page that is gone.
    else if (this.#isOpen && ![...this.#pages.values()].some(({ wish }) => wish.token === this.#token)) this.#again(0);
    else if (this.#types().size < this.#asked.size) this.#again(GATHER_MS);
  }

  #end(): void {
    clearTimeout(this.#timer);
    clearTimeout(this.#flushing);
    this.#timer = this.#flushing = undefined;
    this.#connection.abort();
    this.#isOpen = false;
  }

  /** A refused stream is tried again for somebody, or something, new. */
  #isWorthwhile(before: Page | undefined, wish: Wish): boolean {
    return this.#timer === undefined && (before === undefined || before.wish.token !== wish.token || before.wish.types.join() !== wish.types.join());
  }

  #types(): Set<string> {
    return new Set([...this.#pages.values()].flatMap(({ wish }) => wish.types));
  }

  #again(afterMs: number): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#connection.abort();
      this.#connection = new AbortController();
      this.#asked = this.#types();
      if (this.#asked.size === 0) this.#setPhase("idle");
      this.#isOpen = true;
      void this.#run(this.#connection.signal);
    }, afterMs);
  }

  async #run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const token = [...this.#pages.values()].map(({ wish }) => wish.token).find((each) => !this.#expired.has(each));
      if (token === undefined) {
        this.#refuse(true);
        return;
      }
      this.#token = token;
      const end = await this.#follow(token, signal);
      if (signal.aborted || end === "refused") return;
      if (end === "expired") {
        this.#expired.add(token);
        continue;
      }
      this.#setChanges("broken");
      if (this.#asked.size > 0) this.#setPhase("broken");
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    }
  }

  /** Reads until the stream ends. */
  async #follow(token: string | null, signal: AbortSignal): Promise<"ended" | "expired" | "refused"> {
    const silence = new AbortController();
    const wait = () => setTimeout(() => silence.abort(), SILENT_MS);
    let timer = wait();
    try {
      if (this.#asked.size > 0 && this.#uves.phase !== "broken" && this.#uves.phase !== "live") this.#setPhase("connecting");
      const reply = await this.#ask(this.#path(), token, AbortSignal.any([signal, silence.signal]));
      if (reply.status === 401) return "expired";
      if (reply.status === 403 || reply.status === 400) {
        this.#refuse(false);
        return "refused";
      }
      if (!reply.ok || reply.body === null) return "ended";
      const tables = new UveTables();
      const decoder = new TextDecoder();
      let rest = "";
      for await (const chunk of reply.body as unknown as AsyncIterable<Uint8Array>) {
        clearTimeout(timer);
        timer = wait();
        const found = eventsOf(rest + decoder.decode(chunk, { stream: true }));
        rest = found.rest;
        if (signal.aborted) return "ended";
        for (const event of found.events) this.#take(event, tables);
      }
    } catch {
      // The server went away, or was silent too long: the caller says so and tries again.
    } finally {
      clearTimeout(timer);
    }
    return "ended";
  }

  #take(event: StreamEvent, tables: UveTables): void {
    if (event.event === "config") this.#line(readJson(event.data) as Line);
    else if (event.event === "absent") this.#absent(readJson(event.data) as Absent);
    else {
      tables.take(event);
      // Until a stream has told everything, what the one before told stays.
      if (!tables.isWhole) return;
      if (this.#tables !== tables) {
        this.#tables = tables;
        this.#held = this.#asked;
        this.#flush(true);
      } else if (event.event === "synced") this.#flush(false);
      else this.#flushing ??= setTimeout(() => this.#flush(false), FLUSH_MS);
      this.#setPhase("live");
    }
  }

  #line(line: Line): void {
    const isFirst = this.#resume["history"] === undefined;
    this.#resume = { from_revision: String(line.revision + 1), history: line.history };
    if (line.kind === "lost" || isFirst) for (const port of this.#pages.keys()) port.postMessage({ kind: "anew" });
    const { changes = [] } = line;
    if (changes.length > 0) for (const port of this.#pages.keys()) port.postMessage({ kind: "changes", changes });
    this.#setChanges("live");
  }

  #absent({ part, status }: Absent): void {
    if (part === "config") this.#setChanges("refused");
    else this.#setPhase(status >= 500 ? "broken" : "refused");
  }

  #refuse(isOver: boolean): void {
    this.#isOpen = false;
    this.#changes = "refused";
    if (this.#uves.phase !== "idle") this.#uves = { ...this.#uves, phase: "refused", since: Date.now() };
    for (const port of this.#pages.keys()) this.#stand(port, isOver);
  }

  #setChanges(liveness: Liveness): void {
    if (liveness === this.#changes) return;
    this.#changes = liveness;
    for (const port of this.#pages.keys()) this.#stand(port);
  }

  #setPhase(phase: Phase): void {
    const { phase: before, since, gaps } = this.#uves;
    if (phase === before) return;
    const isOver = before === "broken" && phase === "live";
    this.#uves = { phase, since: Date.now(), gaps: isOver ? [...gaps, { from: since, to: Date.now() }].slice(-GAPS_MAX) : gaps };
    for (const port of this.#pages.keys()) this.#stand(port);
  }

  #stand(port: Port, isOver = false): void {
    port.postMessage({ kind: "standing", changes: this.#changes, uves: this.#uves, isOver });
  }

  /** Tells each page what changed of what it shows, or all of what it was not told yet. */
  #flush(isNew: boolean): void {
    clearTimeout(this.#flushing);
    this.#flushing = undefined;
    if (!this.#tables.isWhole) return;
    const changed = this.#tables.takeChanged();
    const areAlarmsNew = this.#tables.takeAlarmsNew() || isNew;
    let alarms: Document | undefined;
    for (const [port, { wish, told }] of this.#pages) {
      for (const type of wish.types) {
        if (!this.#held.has(type)) continue;
        const isWhole = isNew || !told.has(type);
        told.add(type);
        if (type === "alarms") {
          if (isWhole || areAlarmsNew) port.postMessage({ kind: "alarms", told: (alarms ??= this.#tables.alarms()) });
        } else this.#tellUves(port, type, isWhole, changed);
      }
    }
  }

  #tellUves(port: Port, type: string, isWhole: boolean, changed: ReadonlyMap<string, ReadonlySet<string>>): void {
    const table = TABLES[type] ?? "";
    const names = changed.get(table) ?? new Set();
    if (isWhole) port.postMessage({ kind: "uves", type, isWhole, entities: this.#tables.uves(type).map(({ name, value }) => [name, value] as const) });
    else if (names.size > 0) port.postMessage({ kind: "uves", type, isWhole, entities: [...names].map((name) => [name, this.#tables.uve(table, name)] as const) });
  }

  #path(): string {
    const types = [...this.#asked].filter((type) => type !== "alarms").toSorted().join(",");
    const query = { ...this.#resume, ...(types === "" ? {} : { types }), ...(this.#asked.has("alarms") ? { alarms: "all" } : {}) };
    return `/api/v1/live?${new URLSearchParams(query).toString()}`;
  }
}
