/** What pages and the stream of their browser tell each other. */

import type { Document } from "../model/document";

export type Liveness = "connecting" | "live" | "broken" | "refused" | "past";

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

export interface Change {
  readonly kind: "create" | "update" | "delete";
  readonly type: string;
  readonly uuid: string;
  readonly fq_name: readonly string[];
}

/** What a page wants to be told: all of it, whenever it changes, and again and again as a sign of life. */
export interface Wish {
  readonly kind: "wish";
  /** Pages of the same person, with the same rights, are told by the same stream. */
  readonly who: string;
  readonly token: string | null;
  /** Of UVEs, or `alarms`. */
  readonly types: readonly string[];
  /** Name of a lock that the page holds for as long as it lives, where the browser has locks. */
  readonly life?: string;
}

export type FromPage = Wish | { readonly kind: "leave" };

export type ToPage =
  | { readonly kind: "standing"; readonly changes: Liveness; readonly uves: Standing; /** The log-in is over. */ readonly isOver: boolean }
  | { readonly kind: "changes"; readonly changes: readonly Change[] }
  /** More was missed than is told: what is shown is read anew. */
  | { readonly kind: "anew" }
  /** null: it is gone. `isWhole`: what is not told is gone. */
  | { readonly kind: "uves"; readonly type: string; readonly isWhole: boolean; readonly entities: readonly (readonly [string, Document | null])[] }
  | { readonly kind: "alarms"; readonly told: Document };

/** One end of a channel, as a `MessagePort` has it. */
export interface Port {
  postMessage(message: ToPage): void;
}

/** How often pages give a sign of life. */
export const SIGN_MS = 30_000;
