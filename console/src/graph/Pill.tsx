/** A label on a line: the line does not run through it. */

import { type Label, LABEL } from "./labels";
import type { Point } from "./layers";

export function Pill({ at, label: { lines, width, height } }: { readonly at: Point; readonly label: Label }) {
  return (
    <g transform={`translate(${at.x - width / 2} ${at.y - height / 2})`}>
      <rect width={width} height={height} rx={6} className="map-pill" />
      {lines.map((line, index) => (
        <text key={line} x={width / 2} y={15 + index * LABEL.line} textAnchor="middle" className={index === 0 ? "map-label" : "map-small"}>{line}</text>
      ))}
    </g>
  );
}
