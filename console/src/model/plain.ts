/** Characters that mislead who reads them (controls, and what turns the text after them around), shown by their numbers: `⟨U+202E⟩`. Pure.
 *
 * Everything that the server says comes in by `readJson`, and what is sent goes out by `bodyText` and `sentPath`, which put the characters back.
 * A text that looks like such a number itself has the number of its bracket in place of it.
 */

const LINES = "\\t\\n\\r";
const MISLEADING = "\\u0000-\\u001f\\u007f-\\u009f\\u2028\\u2029\\u202a-\\u202e\\u2066-\\u2069";
const ANY = new RegExp(`[${MISLEADING}]`);
/** In a text of JSON: as they are, or by their escapes. Lines and tabs are escaped there, and stay. */
const COMING = /[\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]|\\(?:u(00[01][0-9a-f]|007f|00[89][0-9a-f]|202[89a-e]|206[6-9]|27e8(?=U\+[0-9A-F]{4}(?:⟩|\\u27e9)))|b|f|\\)|⟨(?=U\+[0-9A-F]{4}(?:⟩|\\u27e9))/gi;
const SUSPECT = /[\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069⟨]|\\[ubf]/i;
const SHOWN = /⟨U\+([0-9A-F]{4})⟩/g;
const IN_PATH = /%E2%9F%A8U%2B([0-9A-F]{4})%E2%9F%A9/gi;

function numbered(character: string): string {
  return `⟨U+${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0")}⟩`;
}

function made(found: string, escaped: string | undefined): string {
  if (found === "\\\\") return found;
  if (found === "\\b" || found === "\\f") return numbered(found === "\\b" ? "\b" : "\f");
  const character = escaped === undefined ? found : String.fromCodePoint(Number.parseInt(escaped, 16));
  return LINES.includes(JSON.stringify(character).slice(1, -1)) ? found : numbered(character);
}

/** What a text of JSON says, to be shown. */
export function readJson(text: string): unknown {
  return JSON.parse(SUSPECT.test(text) ? text.replaceAll(COMING, made) : text);
}

/** The body of a request, as the server knows it. */
export function bodyText(body: unknown): string {
  return JSON.stringify(body).replaceAll(SHOWN, (_, number: string) => `\\u${number}`);
}

/** The path of a request, as the server knows it. */
export function sentPath(path: string): string {
  return path.replaceAll(IN_PATH, (_, number: string) => encodeURIComponent(String.fromCodePoint(Number.parseInt(number, 16))));
}

/** The first such character of a name, or its number where that stands for it; empty: none. */
export function misleadingIn(name: string): string {
  const raw = ANY.exec(name)?.[0];
  return raw === undefined ? (new RegExp(SHOWN.source).exec(name)?.[0] ?? "") : numbered(raw);
}
