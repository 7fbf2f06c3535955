/** Texts of drawings cut to the room they have: letters differ in width, and names in letters. */

export interface Room {
  readonly width: number;
  readonly size: number;
  readonly isBold?: boolean;
  /** Names that begin alike are told apart by their ends. */
  readonly keepsEnd?: boolean;
}

/** As much of a text as there is room for, in pixels. */
export function fitted(text: string, { width, size, isBold = false, keepsEnd = false }: Room): string {
  const pen = document.createElement("canvas").getContext("2d");
  if (pen === null) return text;
  pen.font = `${isBold ? "600 " : ""}${size}px ${getComputedStyle(document.body).fontFamily}`;
  return cut(text, (part) => pen.measureText(part).width <= width, keepsEnd);
}

/** The longest part that fits, at most `text`; what is left out is a "…". No letter is cut in two. */
export function cut(text: string, fits: (part: string) => boolean, keepsEnd = false): string {
  if (fits(text)) return text;
  const letters = [...text];
  const part = (count: number) => (keepsEnd ? `…${letters.slice(letters.length - count).join("")}` : `${letters.slice(0, count).join("")}…`);
  let [most, tooMany] = [0, letters.length];
  while (tooMany - most > 1) {
    const middle = (most + tooMany) >> 1;
    if (fits(part(middle))) most = middle;
    else tooMany = middle;
  }
  return part(most);
}

/** How wide a text is drawn, in pixels. */
export function widthOf(text: string, { size, isBold = false }: Omit<Room, "width">): number {
  const pen = document.createElement("canvas").getContext("2d");
  if (pen === null) return text.length * size * 0.6;
  pen.font = `${isBold ? "600 " : ""}${size}px ${getComputedStyle(document.body).fontFamily}`;
  return pen.measureText(text).width;
}
