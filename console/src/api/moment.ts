/** The moment the console shows: now, or one of the past, which stands in the page's address (/console/at/TIME/...).
 *
 * Another moment is another page load, so what is shown and kept is always of one moment.
 */

export interface Moment {
  /** ISO 8601 with its zone. */
  readonly time: string;
  readonly revision: number;
}

const ROOT = "/console";
const PAST = /^\/console\/at\/([^/]+)(?=\/|$)/;

/** The time an address asks for; empty is now. */
export function timeIn(pathname: string): string {
  return decodeURIComponent(PAST.exec(pathname)?.[1] ?? "");
}

/** What addresses of all pages begin with. */
export function baseAt(time: string): string {
  return time === "" ? ROOT : `${ROOT}/at/${time}`;
}

/** The address of the same page at another time. */
export function sameAt(time: string, pathname: string, search: string): string {
  const page = pathname.replace(PAST, "").replace(/^\/console/, "");
  return `${baseAt(time)}${page === "" ? "/" : page}${search}`;
}

let shown: Moment | null = null;

/** Set once, before anything of the network is shown. */
export const moment = {
  get: (): Moment | null => shown,
  set: (found: Moment | null): void => {
    shown = found;
  },
};

/** How far back questions to history go, to choose from. */
export const RANGES = [
  { value: "now-10m", label: "10 minutes" },
  { value: "now-1h", label: "1 hour" },
  { value: "now-6h", label: "6 hours" },
  { value: "now-1d", label: "1 day" },
  { value: "now-2d", label: "2 days" },
  { value: "now-7d", label: "7 days" },
] as const;

const RELATIVE = /^now(?:-(\d+)([smhd]))?$/;
const SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };

/** A time of analytics as of a moment, in microseconds: `now-1h` is an hour before it, and none is after it. */
export function timeAsOf(text: string, at: Moment | null): string | number {
  const given = text.trim();
  const found = RELATIVE.exec(given);
  if (at === null) return text;
  const last = Date.parse(at.time) * 1000;
  if (found !== null) {
    const [, count = "0", unit = "s"] = found;
    return last - Number(count) * (SECONDS[unit] ?? 1) * 1_000_000;
  }
  const asked = /^\d+$/.test(given) ? Number(given) : Date.parse(given) * 1000;
  return asked > last ? last : text;
}

const AGAIN_MS = 10_000;

/** For questions to analytics about what changes by itself: asked again, but neither in the past nor where they are refused. */
export function againUnlessFailed(query: { readonly state: { readonly status: string } }): number | false {
  return shown === null && query.state.status !== "error" ? AGAIN_MS : false;
}
