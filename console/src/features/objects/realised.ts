/** How far the last change of an object has come, in one word: the last stage that was reached. Pure. */

export interface Condition {
  readonly type: string;
  readonly status: "true" | "false" | "unknown";
  readonly reason: string;
  readonly detail: string;
}

export interface Realised {
  readonly stage: string;
  /** Whether the stage after it failed, is waited for, is not known of, or there is none. */
  readonly next: "false" | "pending" | "unknown" | "none";
  readonly why: string;
}

export function realisedOf(conditions: readonly Condition[]): Realised {
  const short = conditions.findIndex(({ status }) => status !== "true");
  const reached = conditions.at(short === -1 ? -1 : short - 1);
  const stage = short === 0 ? "" : (reached?.type ?? "");
  const lacking = conditions[short];
  if (lacking === undefined) return { stage, next: "none", why: reached?.detail ?? "" };
  const next = lacking.status === "unknown" ? "unknown" : lacking.reason === "pending" ? "pending" : "false";
  return { stage, next, why: `${lacking.type}: ${lacking.detail}` };
}
