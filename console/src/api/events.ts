/** One stream tells what changes anywhere; what is on the screen and concerned is read anew. */

import { type QueryClient, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";

import { headersOf } from "./client";

export type Liveness = "connecting" | "live" | "broken" | "refused" | "past";

export interface Change {
  readonly kind: "create" | "update" | "delete";
  readonly type: string;
  readonly uuid: string;
  readonly fq_name: readonly string[];
}

export interface Line {
  readonly kind: "start" | "changes" | "bookmark" | "lost";
  readonly revision: number;
  readonly history: string;
  readonly changes?: readonly Change[];
}

const REFRESH_MS = 700;
const AGAIN_MS = 2000;
/** The server says something at least every ten seconds. */
const SILENT_MS = 30_000;

/** Splits a stream of bytes into its lines; an unfinished last one is left out. */
export async function* linesOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Line> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of chunks) {
    const parts = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = parts.pop() ?? "";
    for (const part of parts) if (part !== "") yield JSON.parse(part) as Line;
  }
}

/** Gathers changes for a moment, so that a burst of them reads a list once. */
class Refresher {
  readonly #queries: QueryClient;
  #types = new Set<string>();
  #uuids = new Set<string>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(queries: QueryClient) {
    this.#queries = queries;
  }

  note(changes: readonly Change[]): void {
    for (const change of changes) {
      this.#types.add(change.type);
      this.#uuids.add(change.uuid);
    }
    if (changes.length > 0) this.#timer ??= setTimeout(() => this.flush(), REFRESH_MS);
  }

  flush(): void {
    const [types, uuids] = [this.#types, this.#uuids];
    [this.#types, this.#uuids, this.#timer] = [new Set(), new Set(), undefined];
    void this.#queries.invalidateQueries({
      predicate: ({ queryKey: [what, type, uuid] }) =>
        (what === "list" && types.has(String(type))) ||
        (what === "object" && uuids.has(String(uuid))) ||
        (what === "related" && types.has(String(type))) ||
        what === "history",
    });
  }

  all(): void {
    void this.#queries.invalidateQueries({
      predicate: ({ queryKey: [what] }) => what === "list" || what === "object" || what === "related",
    });
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}

export function useEventStream(enabled: boolean): Liveness {
  const queries = useQueryClient();
  const [liveness, setLiveness] = useState<Liveness>(enabled ? "connecting" : "past");
  useEffect(() => {
    if (!enabled) return;
    const refresher = new Refresher(queries);
    const stop = new AbortController();
    void follow(refresher, stop.signal, setLiveness);
    return () => {
      stop.abort();
      refresher.stop();
    };
  }, [enabled, queries]);
  return liveness;
}

async function follow(refresher: Refresher, signal: AbortSignal, tell: (liveness: Liveness) => void): Promise<void> {
  let resume = "";
  while (!signal.aborted) {
    const silence = new AbortController();
    const ended = AbortSignal.any([signal, silence.signal]);
    let timer = setTimeout(() => silence.abort(), SILENT_MS);
    try {
      const reply = await fetch(`/api/v1/events${resume}`, { credentials: "omit", headers: headersOf(), signal: ended });
      if (reply.status === 401 || reply.status === 403) {
        tell("refused");
        return;
      }
      if (reply.ok && reply.body !== null) {
        tell("live");
        for await (const line of linesOf(reply.body)) {
          clearTimeout(timer);
          timer = setTimeout(() => silence.abort(), SILENT_MS);
          resume = `?from_revision=${line.revision + 1}&history=${line.history}`;
          if (line.kind === "lost") refresher.all();
          refresher.note(line.changes ?? []);
        }
      }
    } catch {
      // The server went away, or was silent too long: told below, tried again.
    } finally {
      clearTimeout(timer);
    }
    if (signal.aborted) return;
    tell("broken");
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  }
}
