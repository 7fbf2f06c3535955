/** What is wrong anywhere within a member that a table shows, named by its place. */

import { fieldTitle } from "../model/catalog";
import type { Faults } from "../model/check";
import { type Path, pointer } from "../model/document";

interface Props {
  readonly path: Path;
  readonly faults: Faults;
}

export function FaultsBelow({ path, faults }: Props) {
  const place = pointer(path);
  const below = [...faults].filter(([each]) => each.startsWith(`${place}/`) || each === place);
  return below.map(([each, fault]) => (
    <div key={each} className="form-fault" role="alert">{worded(each.slice(place.length + 1))}{fault}</div>
  ));
}

/** `/policy_rule/0/dst_ports/0/start_port` -> `Policy rule 1, dst ports: `. */
function worded(place: string): string {
  const parts = place.split("/").filter((each) => each !== "" && !["start_port", "end_port", "attr"].includes(each));
  if (parts.length === 0) return "";
  const words = parts.map((each, at) => (/^\d+$/.test(each) ? (at === 1 || at === 0 ? String(Number(each) + 1) : "") : fieldTitle(each)));
  return `${words.filter(Boolean).join(" ")}: `;
}
