/** One member that changes: what of a list goes and comes, else both values. */

import type { Json } from "../../model/document";
import { lineOf, listChangeOf, pathTitle } from "./planText";

export interface MemberChange {
  readonly path: string;
  readonly from?: Json | undefined;
  readonly to?: Json | undefined;
}

interface Props {
  readonly change: MemberChange;
  /** Of what goes, and of what comes; the others are counted. */
  readonly most?: number;
}

export function FieldChange({ change: { path, from, to }, most = Infinity }: Props) {
  const title = pathTitle(path);
  const list = listChangeOf(from, to);
  if (list === null) return <div className="plan-line">{title}: {lineOf(from)} → {lineOf(to)}</div>;
  return (
    <div>
      <div className="plan-line">{title}{list.gone.length + list.come.length === 0 ? ": in another order" : ""}</div>
      <Lines look="plan-gone" mark="−" lines={list.gone} most={most} />
      <Lines look="plan-come" mark="+" lines={list.come} most={most} />
    </div>
  );
}

interface LinesProps {
  readonly look: string;
  readonly mark: string;
  readonly lines: readonly string[];
  readonly most: number;
}

function Lines({ look, mark, lines, most }: LinesProps) {
  return (
    <>
      {lines.slice(0, most).map((line, index) => (
        // oxlint-disable-next-line react/no-array-index-key -- a list may have an element twice
        <div key={index} className={`plan-line ${look}`}>{mark} {line}</div>
      ))}
      {lines.length > most && <div className={`plan-line ${look}`}>{mark} {(lines.length - most).toLocaleString("en")} more</div>}
    </>
  );
}
