/** What pages know of the stream: types shown are wished for, what is told goes into the query cache.
 *
 *     a page shows a type --> follow(type) --> line --> the browser's stream --> cache --> pages
 *                                                        `-- broken: pages ask every 5 s, a gap is noted
 */

import type { QueryClient } from "@tanstack/react-query";

import type { Document } from "../model/document";
import { Line } from "./line";
import { Refresher } from "./refresh";
import type { Liveness, Standing, ToPage } from "./shared";
import type { Uve } from "./uveTables";
import { isSeen, onSeen } from "./visible";

const FORGET_MS = 60_000;
/** How long a page waits for a stream that does not begin. */
const PATIENCE_MS = 3000;
const ALARMS = "alarms";

type Told = Extract<ToPage, { readonly kind: "uves" }>;

export class Live {
  readonly #queries: QueryClient;
  readonly #alarmsOf: (told: Document) => unknown;
  readonly #refresher: Refresher;
  readonly #line: Line;
  readonly #begun = Date.now();
  readonly #wanted = new Map<string, number>();
  readonly #listeners = new Set<() => void>();
  readonly #uves = new Map<string, Map<string, Document>>();
  /** Types whose news wait for the page to be seen. */
  readonly #unseen = new Set<string>();
  #alarms: Document | undefined;
  #standing: Standing = { phase: "idle", since: Date.now(), gaps: [] };
  #liveness: Liveness = "connecting";
  #isAdmitted = false;
  #forgetSeen: () => void = () => undefined;

  /** Pages of the same `who` share a stream. */
  constructor(queries: QueryClient, who: string, alarmsOf: (told: Document) => unknown) {
    this.#queries = queries;
    this.#alarmsOf = alarmsOf;
    this.#refresher = new Refresher(queries);
    this.#line = new Line(who, (told) => this.#hear(told));
  }

  start(): void {
    this.#line.start();
    this.#forgetSeen = onSeen(() => {
      this.#refresher.seen();
      for (const type of this.#unseen) this.#write(type);
    });
  }

  stop(): void {
    this.#line.stop();
    this.#refresher.stop();
    this.#forgetSeen();
  }

  /** How UVEs come. */
  standing = (): Standing => this.#standing;

  /** How changes of the configuration come. */
  liveness = (): Liveness => this.#liveness;

  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** Whether changes of a type come by themselves. */
  feeds(type: string): boolean {
    return this.#standing.phase === "live" && (type === ALARMS ? this.#alarms !== undefined : this.#uves.has(type));
  }

  /** Shows a type (or `alarms`) until the answer is called. */
  follow(type: string): () => void {
    this.#wanted.set(type, (this.#wanted.get(type) ?? 0) + 1);
    this.#wish();
    return () => {
      const left = (this.#wanted.get(type) ?? 1) - 1;
      this.#wanted.set(type, left);
      // Whoever comes back soon finds it there.
      if (left === 0) setTimeout(() => this.#forget(type), FORGET_MS);
    };
  }

  #forget(type: string): void {
    if (this.#wanted.get(type) !== 0) return;
    this.#wanted.delete(type);
    this.#uves.delete(type);
    if (type === ALARMS) this.#alarms = undefined;
    this.#wish();
  }

  #wish(): void {
    this.#line.wish([...this.#wanted.keys()].toSorted());
    this.#stand(this.#standing);
  }

  /** What the stream says of a type, as soon as it has said everything; null: it does not. */
  async told(type: string, signal: AbortSignal): Promise<readonly Uve[] | Document | null> {
    const began = Date.now();
    while (!signal.aborted) {
      if (this.feeds(type)) return type === ALARMS ? (this.#alarms ?? null) : this.#rows(type);
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

  #hear(told: ToPage): void {
    if (told.kind === "changes") this.#refresher.note(told.changes);
    else if (told.kind === "anew") {
      // Before it is admitted a page has read nothing.
      if (this.#isAdmitted) this.#refresher.all();
    } else if (told.kind === "alarms") {
      this.#alarms = told.told;
      this.#news(ALARMS);
    } else if (told.kind === "uves") this.#take(told);
    else {
      this.#isAdmitted = true;
      this.#liveness = told.changes;
      this.#stand(told.uves);
      // Who one is, is looked at anew: that leads to the log-in.
      if (told.isOver) void this.#queries.invalidateQueries({ queryKey: ["whoami"] });
    }
  }

  #take({ type, isWhole, entities }: Told): void {
    const held = isWhole ? new Map<string, Document>() : this.#uves.get(type);
    if (held === undefined) return;
    for (const [name, value] of entities) {
      if (value === null) held.delete(name);
      else held.set(name, value);
    }
    this.#uves.set(type, held);
    this.#news(type);
  }

  #news(type: string): void {
    if (isSeen()) this.#write(type);
    else this.#unseen.add(type);
  }

  #write(type: string): void {
    this.#unseen.delete(type);
    if (type !== ALARMS) this.#queries.setQueryData(["uves", type], this.#rows(type));
    else if (this.#alarms !== undefined) this.#queries.setQueryData(["alarms"], this.#alarmsOf(this.#alarms));
  }

  #rows(type: string): Uve[] {
    return [...(this.#uves.get(type) ?? [])].map(([name, value]) => ({ name, value }));
  }

  #stand({ phase, since, gaps }: Standing): void {
    const isIdle = this.#wanted.size === 0;
    this.#standing = { phase: isIdle ? "idle" : phase, since, gaps: gaps.filter(({ to }) => to > this.#begun) };
    for (const listener of this.#listeners) listener();
  }
}
