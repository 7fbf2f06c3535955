/** Which analytics nodes' part was missing in the latest answer of history: several nodes may each keep a part. */

const MISSING = "x-skytrail-missing-nodes";
/** Answers that say so; others say nothing about it. */
const TELLING = /^\/api\/v1\/analytics\/(query|logs|flows|metrics)(\?|$)/;

let nodes = "";
const listeners = new Set<() => void>();

export const partial = {
  get: (): string => nodes,
  /** Take note of an answer to a request for a path. */
  note: (path: string, headers: Headers): void => {
    const missing = headers.get(MISSING) ?? "";
    if ((missing === "" && !TELLING.test(path)) || missing === nodes) return;
    nodes = missing;
    for (const each of listeners) each();
  },
  subscribe: (listener: () => void): (() => void) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  },
};
