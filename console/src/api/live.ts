/** The one stream that tells pages what processes say. What is shown is asked for; what comes goes into the query cache.
 *
 *     a page shows a type --> follow(type) --> one stream of all types shown, and of alarms --> cache --> pages
 *                                                   `-- broken: pages ask every 5 s, a gap is noted
 */

import type { QueryClient } from "@tanstack/react-query";

import type { Document } from "../model/document";
import { headersOf } from "./client";
import { eventsOf, TABLES, type Uve, UveTables } from "./uveTables";
import { whenSeen, whileSeen } from "./visible";

export type Phase = "idle" | "connecting" | "live" | "broken" | "refused";

/** Between these moments changes did not show as they came. */
export interface Gap {
  readonly from: number;
  readonly to: number;
}

export interface Standing {
  readonly phase: Phase;
  readonly since: number;
  readonly gaps: readonly Gap[];
}

const FLUSH_MS = 500;
const GATHER_MS = 100;
const FORGET_MS = 60_000;
const AGAIN_MS = 2000;
/** The server says something every few seconds. */
const SILENT_MS = 30_000;
const GAPS_MAX = 20;
/** How long a page waits for a stream that does not begin. */
const PATIENCE_MS = 3000;

export class LiveUves {
  readonly #queries: QueryClient;
  readonly #alarmsOf: (told: Document) => unknown;
  readonly #wanted = new Map<string, number>();
  readonly #listeners = new Set<() => void>();
  #stop = new AbortController();
  #asked: ReadonlySet<string> = new Set();
  #tables = new UveTables();
  #standing: Standing = { phase: "idle", since: Date.now(), gaps: [] };
  #connection: AbortController | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #flushing: ReturnType<typeof setTimeout> | undefined;

  constructor(queries: QueryClient, alarmsOf: (told: Document) => unknown) {
    this.#queries = queries;
    this.#alarmsOf = alarmsOf;
  }

  standing = (): Standing => this.#standing;

  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** Whether changes of a type come by themselves. */
  feeds(type: string): boolean {
    return this.#standing.phase === "live" && this.#tables.isWhole && this.#asked.has(type);
  }

  /** Shows a type (or `alarms`) until the answer is called. */
  follow(type: string): () => void {
    this.#wanted.set(type, (this.#wanted.get(type) ?? 0) + 1);
    if (!this.#asked.has(type)) this.#again(GATHER_MS);
    return () => {
      const left = (this.#wanted.get(type) ?? 1) - 1;
      if (left > 0) {
        this.#wanted.set(type, left);
        return;
      }
      this.#wanted.delete(type);
      // Whoever comes back soon finds it there.
      setTimeout(() => {
        if (!this.#wanted.has(type) && this.#asked.has(type)) this.#again(0);
      }, FORGET_MS);
    };
  }

  /** What the stream says of a type, as soon as it has said everything; null: it does not. */
  async told(type: string, signal: AbortSignal): Promise<readonly Uve[] | Document | null> {
    const began = Date.now();
    while (!signal.aborted) {
      if (this.feeds(type)) return type === "alarms" ? this.#tables.alarms() : this.#tables.uves(type);
      const { phase } = this.#standing;
      if (phase === "refused" || phase === "broken") return null;
      if (phase !== "live" && Date.now() - began > PATIENCE_MS) return null;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(done, 250);
        const forget = this.subscribe(done);
        function done() {
          clearTimeout(timer);
          forget();
          resolve();
        }
      });
    }
    return null;
  }

  start(): void {
    this.#stop = new AbortController();
    this.#again(0);
  }

  stop(): void {
    this.#stop.abort();
    clearTimeout(this.#timer);
    clearTimeout(this.#flushing);
  }

  #tell(phase: Phase): void {
    const { phase: before, since, gaps } = this.#standing;
    if (phase === before) return;
    const isOver = before === "broken" && phase === "live";
    this.#standing = {
      phase,
      since: phase === "connecting" && before === "broken" ? since : Date.now(),
      gaps: isOver ? [...gaps, { from: since, to: Date.now() }].slice(-GAPS_MAX) : gaps,
    };
    for (const listener of this.#listeners) listener();
  }

  #again(afterMs: number): void {
    clearTimeout(this.#timer);
    if (this.#stop.signal.aborted) return;
    this.#timer = setTimeout(() => {
      const types = new Set(this.#wanted.keys());
      this.#connection?.abort();
      this.#asked = types;
      if (types.size === 0) {
        this.#tell("idle");
        return;
      }
      this.#connection = new AbortController();
      void this.#run(AbortSignal.any([this.#connection.signal, this.#stop.signal]));
    }, afterMs);
  }

  async #run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await whenSeen(signal);
      const seen = whileSeen(signal);
      const silence = new AbortController();
      let timer = setTimeout(() => silence.abort(), SILENT_MS);
      try {
        if (this.#standing.phase !== "broken") this.#tell("connecting");
        const reply = await fetch(this.#path(), { credentials: "omit", headers: headersOf(), signal: AbortSignal.any([seen, silence.signal]) });
        if (reply.status === 401 || reply.status === 403 || reply.status === 404) {
          this.#tell("refused");
          return;
        }
        if (reply.ok && reply.body !== null) {
          const tables = new UveTables();
          const decoder = new TextDecoder();
          let rest = "";
          for await (const chunk of reply.body as unknown as AsyncIterable<Uint8Array>) {
            clearTimeout(timer);
            timer = setTimeout(() => silence.abort(), SILENT_MS);
            const found = eventsOf(rest + decoder.decode(chunk, { stream: true }));
            rest = found.rest;
            for (const event of found.events) tables.take(event);
            if (signal.aborted) return;
            this.#took(tables);
          }
        }
      } catch {
        // The server went away, was silent too long, or nobody looks: told below, tried again.
      } finally {
        clearTimeout(timer);
      }
      if (signal.aborted) return;
      if (seen.aborted) {
        this.#tell("idle");
        continue;
      }
      this.#tell("broken");
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    }
  }

  /** Until a stream has told everything, what the one before told stays. */
  #took(tables: UveTables): void {
    if (!tables.isWhole) return;
    const isFirst = this.#tables !== tables;
    this.#tables = tables;
    this.#tell("live");
    if (isFirst) {
      clearTimeout(this.#flushing);
      this.#flush(true);
    } else this.#flushing ??= setTimeout(() => this.#flush(false), FLUSH_MS);
  }

  #flush(all: boolean): void {
    this.#flushing = undefined;
    if (!this.#tables.isWhole) return;
    const changed = this.#tables.takeChanged();
    for (const type of this.#asked) {
      if (type === "alarms") {
        if (all || changed.size > 0) this.#queries.setQueryData(["alarms"], this.#alarmsOf(this.#tables.alarms()));
      } else if (all || changed.has(TABLES[type] ?? "")) this.#queries.setQueryData(["uves", type], this.#tables.uves(type));
    }
    if (all) for (const listener of this.#listeners) listener();
  }

  #path(): string {
    const tables = [...this.#asked].filter((type) => type !== "alarms");
    if (tables.length === 0) return "/api/v1/analytics/alarm-stream";
    const query = new URLSearchParams({ tablefilt: tables.join(",") });
    if (this.#asked.has("alarms")) query.set("alarms", "all");
    return `/api/v1/analytics/uve-stream?${query.toString()}`;
  }
}
