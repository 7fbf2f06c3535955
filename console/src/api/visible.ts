/** Whether anybody can see the page: what nobody sees holds no connection, of which a browser has few for all its pages. */

const HIDDEN_MS = 30_000;

function until(event: "visible" | "hidden", signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const look = () => {
      if (document.visibilityState !== event && !signal.aborted) return;
      document.removeEventListener("visibilitychange", look);
      signal.removeEventListener("abort", look);
      resolve();
    };
    document.addEventListener("visibilitychange", look);
    signal.addEventListener("abort", look);
    look();
  });
}

/** Resolves when the page is seen, or the wait is over. */
export function whenSeen(signal: AbortSignal): Promise<void> {
  return until("visible", signal);
}

/** Aborts when the page has not been seen for half a minute. */
export function whileSeen(signal: AbortSignal): AbortSignal {
  const unseen = new AbortController();
  const watch = async () => {
    while (!signal.aborted && !unseen.signal.aborted) {
      await until("hidden", signal);
      const seen = new AbortController();
      const timer = setTimeout(() => seen.abort(), HIDDEN_MS);
      await until("visible", AbortSignal.any([signal, seen.signal]));
      clearTimeout(timer);
      if (seen.signal.aborted) unseen.abort();
    }
  };
  void watch();
  return AbortSignal.any([signal, unseen.signal]);
}
