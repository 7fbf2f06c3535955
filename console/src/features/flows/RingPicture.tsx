/** Who talks to whom, on a ring; lines by verdict, each a button. */

import { fitted } from "../../app/fit";
import { pressed } from "../../app/keys";
import { type Edge, type FlowMap, nodeName, type Place, RING, ringOf, verdictOf } from "./flows";

interface Props {
  readonly map: FlowMap;
  readonly selected: string;
  readonly onSelect: (key: string) => void;
}

export function RingPicture({ map, selected, onSelect }: Props) {
  const places = ringOf(map.nodes);
  return (
    <svg viewBox={`0 0 ${RING.width} ${RING.height}`} className="flow-picture" role="group" aria-label="Who talks to whom">
      {map.edges.map((edge) => {
        const [from, to] = [places.get(edge.from), places.get(edge.to)];
        if (from === undefined || to === undefined) return null;
        return <EdgeLine key={edge.key} edge={edge} from={from} to={to} isSelected={edge.key === selected} onSelect={onSelect} />;
      })}
      {map.nodes.map((name) => {
        const { x, y, angle } = places.get(name) ?? { x: 0, y: 0, angle: 0 };
        const side = Math.cos(angle) < -0.3 ? "end" : Math.cos(angle) > 0.3 ? "start" : "middle";
        const [dx, dy] = side === "middle" ? [0, Math.sin(angle) < 0 ? -22 : 30] : [side === "end" ? -20 : 20, 5];
        return (
          <g key={name}>
            <circle cx={x} cy={y} r={11} className="flow-node" />
            <text x={x + dx} y={y + dy} textAnchor={side} className="map-name"><title>{nodeName(name)}</title>{fitted(nodeName(name), { width: roomAt(x + dx, side), size: 17, isBold: true, keepsEnd: true })}</text>
          </g>
        );
      })}
    </svg>
  );
}

/** Up to the edge of the picture. */
function roomAt(x: number, side: "start" | "middle" | "end"): number {
  const [left, right] = [x, RING.width - x];
  return side === "start" ? right : side === "end" ? left : 2 * Math.min(left, right);
}

interface LineProps {
  readonly edge: Edge;
  readonly from: Place;
  readonly to: Place;
  readonly isSelected: boolean;
  readonly onSelect: (key: string) => void;
}

function EdgeLine({ edge, from, to, isSelected, onSelect }: LineProps) {
  const { path, x, y } = edge.from === edge.to ? loopOf(from) : bowOf(from, to);
  const verdict = verdictOf(edge);
  const choose = () => onSelect(edge.key);
  const width = 1.5 + Math.min(5, Math.log10(1 + edge.passed + edge.denied) * 1.5);
  return (
    <g
      className={`flow-edge flow-${verdict}${isSelected ? " map-selected" : ""}`}
      role="button"
      tabIndex={0}
      aria-pressed={isSelected}
      aria-label={`From ${nodeName(edge.from)} to ${nodeName(edge.to)}: ${edge.passed} passed, ${edge.denied} denied`}
      onClick={choose}
      onKeyDown={pressed(choose)}
    >
      <path d={path} className="map-reach" />
      <path d={path} className="flow-line" strokeWidth={width} />
      <text x={x} y={y} textAnchor="middle" className="map-label">{edge.denied > 0 ? `${edge.denied.toLocaleString("en")} denied` : edge.passed.toLocaleString("en")}</text>
    </g>
  );
}

/** Bent to the left of its direction, so that both directions are seen; its end is pointed. */
function bowOf(from: Place, to: Place): { path: string; x: number; y: number } {
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  const length = Math.max(1, Math.hypot(dx, dy));
  const [nx, ny] = [dy / length, -dx / length];
  const bend = Math.min(70, length / 5);
  const [cx, cy] = [(from.x + to.x) / 2 + nx * bend, (from.y + to.y) / 2 + ny * bend];
  const [ex, ey] = [to.x - cx, to.y - cy];
  const reach = Math.max(1, Math.hypot(ex, ey));
  const [ux, uy] = [ex / reach, ey / reach];
  const [tx, ty] = [to.x - ux * 14, to.y - uy * 14];
  const head = `M${tx - ux * 11 - uy * 6} ${ty - uy * 11 + ux * 6} L${tx} ${ty} L${tx - ux * 11 + uy * 6} ${ty - uy * 11 - ux * 6}`;
  return { path: `M${from.x} ${from.y} Q${cx} ${cy} ${tx} ${ty} ${head}`, x: (from.x + to.x) / 2 + nx * bend * 0.55, y: (from.y + to.y) / 2 + ny * bend * 0.55 };
}

/** Within one node: a loop towards the middle of the ring. */
function loopOf({ x, y, angle }: Place): { path: string; x: number; y: number } {
  const at = (turn: number, far: number) => [x - Math.cos(angle + turn) * far, y - Math.sin(angle + turn) * far] as const;
  const [[ax, ay], [bx, by], [lx, ly]] = [at(0.7, 90), at(-0.7, 90), at(0, 62)];
  return { path: `M${x} ${y} C${ax} ${ay} ${bx} ${by} ${x} ${y}`, x: lx, y: ly };
}
