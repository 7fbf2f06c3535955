/** Numbers as people read them. */

const UNITS = ["B", "kB", "MB", "GB", "TB", "PB"] as const;

export function bytesText(count: number): string {
  const step = count < 1 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log10(count) / 3));
  return `${(count / 1000 ** step).toFixed(step === 0 ? 0 : 1)} ${UNITS[step] ?? ""}`;
}
