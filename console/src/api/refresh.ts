/** Reads anew what is shown and concerned by changes. */

import type { QueryClient } from "@tanstack/react-query";

import type { Change } from "./shared";
import { isSeen } from "./visible";

const REFRESH_MS = 700;
const SHOWN: ReadonlySet<unknown> = new Set(["list", "object", "related"]);

/** Gathers changes for a moment, so that a burst of them reads a list once; on a page that nobody sees, until it is seen. */
export class Refresher {
  readonly #queries: QueryClient;
  #types = new Set<string>();
  #uuids = new Set<string>();
  #isAll = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(queries: QueryClient) {
    this.#queries = queries;
  }

  note(changes: readonly Change[]): void {
    for (const change of changes) {
      this.#types.add(change.type);
      this.#uuids.add(change.uuid);
    }
    this.#timer ??= setTimeout(() => this.#flush(), REFRESH_MS);
  }

  all(): void {
    this.#isAll = true;
    if (isSeen()) this.#flush();
  }

  /** The page is seen again. */
  seen(): void {
    if (this.#isAll || this.#types.size > 0) this.#flush();
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (!isSeen()) return;
    const [types, uuids, isAll] = [this.#types, this.#uuids, this.#isAll];
    [this.#types, this.#uuids, this.#isAll] = [new Set(), new Set(), false];
    void this.#queries.invalidateQueries({
      predicate: ({ queryKey: [what, type, uuid] }) =>
        (isAll && SHOWN.has(what)) ||
        (what === "list" && types.has(String(type))) ||
        (what === "object" && uuids.has(String(uuid))) ||
        (what === "related" && types.has(String(type))) ||
        what === "history",
    });
  }
}
