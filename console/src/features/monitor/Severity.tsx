/** How bad an alarm is, as a word with a colour. */

import { Tag } from "antd";

const SEVERITIES: Readonly<Record<number, readonly [string, string]>> = {
  0: ["red", "critical"],
  1: ["orange", "major"],
  2: ["gold", "minor"],
};

export function Severity({ severity }: { readonly severity: number }) {
  const [colour, word] = SEVERITIES[severity] ?? ["default", String(severity)];
  return <Tag color={colour}>{word}</Tag>;
}
