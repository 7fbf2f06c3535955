/** Tables for other programs, by RFC 4180. Pure. */

/** A spreadsheet takes a text that begins with one of these for a formula. */
function quoted(text: string): string {
  const isFormula = /^[=+\-@\t]/.test(text) && Number.isNaN(Number(text));
  return `"${(isFormula ? `'${text}` : text).replaceAll('"', '""')}"`;
}

export function csv(lines: readonly (readonly string[])[]): string {
  return `${lines.map((cells) => cells.map(quoted).join(",")).join("\r\n")}\r\n`;
}
