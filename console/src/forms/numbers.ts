/** Numbers as people type them. Pure. */

import type { Json } from "../model/document";

const DECIMAL = /^-?(0|[1-9][0-9]*)$/;

/** Numbers as numbers while a browser can hold them exactly; anything else stays the text it is. */
export function numberOf(text: string): Json | undefined {
  const trimmed = text.trim();
  if (trimmed === "") return undefined;
  const number = Number(trimmed);
  return DECIMAL.test(trimmed) && Number.isSafeInteger(number) ? number : trimmed;
}
