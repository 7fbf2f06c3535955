/** How much goes between whom: clients on the left, servers on the right, ribbons as wide as their bytes. */

import { fitted } from "../../app/fit";
import { pressed } from "../../app/keys";
import { Canvas } from "../../graph/Canvas";
import type { Size } from "../../graph/viewport";
import { bytesText } from "../../model/units";
import { type Bar, type FlowMap, nodeName, SANKEY, sankeyOf, verdictOf } from "./flows";

interface Props {
  readonly map: FlowMap;
  readonly selected: string;
  readonly onSelect: (key: string) => void;
}

export function SankeyPicture({ map, selected, onSelect }: Props) {
  const draw = (_room: Size) => {
    const { height } = sankeyOf(map.edges);
    return { width: SANKEY.width, height, parts: <Parts map={map} selected={selected} onSelect={onSelect} /> };
  };
  return <Canvas label="How much goes between whom" name="Bytes between clients and servers" draw={draw} legend={<Legend />} />;
}

function Legend() {
  return (
    <>
      <span><svg width={28} height={12} aria-hidden><rect width={28} height={12} className="flow-ribbon" /></svg> passed</span>
      <span><svg width={28} height={12} aria-hidden><rect x={1} y={1} width={26} height={10} className="flow-ribbon flow-mixed" /></svg> some sessions denied</span>
      <span><svg width={28} height={12} aria-hidden><rect x={1} y={1} width={26} height={10} className="flow-ribbon flow-deny" /></svg> all denied</span>
      <span>As wide as the bytes both ways</span>
    </>
  );
}

function Parts({ map, selected, onSelect }: Props) {
  const { clients, servers, ribbons } = sankeyOf(map.edges);
  return (
    <>
      <text x={SANKEY.left} y={18} textAnchor="end" className="map-small">clients</text>
      <text x={SANKEY.right + SANKEY.bar} y={18} className="map-small">servers</text>
      {ribbons.map(({ edge, path }) => {
        const choose = () => onSelect(edge.key);
        return (
          <path
            key={edge.key}
            d={path}
            className={`flow-ribbon flow-${verdictOf(edge)}${edge.key === selected ? " map-selected" : ""}`}
            role="button"
            tabIndex={0}
            aria-pressed={edge.key === selected}
            aria-label={`From ${nodeName(edge.from)} to ${nodeName(edge.to)}: ${bytesText(edge.bytes)}`}
            onClick={choose}
            onKeyDown={pressed(choose)}
          >
            <title>{`${nodeName(edge.from)} → ${nodeName(edge.to)}: ${bytesText(edge.bytes)}`}</title>
          </path>
        );
      })}
      {clients.map((bar) => <BarOf key={bar.name} bar={bar} x={SANKEY.left} isLeft />)}
      {servers.map((bar) => <BarOf key={bar.name} bar={bar} x={SANKEY.right} isLeft={false} />)}
    </>
  );
}

function BarOf({ bar, x, isLeft }: { readonly bar: Bar; readonly x: number; readonly isLeft: boolean }) {
  return (
    <>
      <rect x={x} y={bar.y} width={SANKEY.bar} height={bar.height} className="flow-bar" />
      <text x={isLeft ? x - 8 : x + SANKEY.bar + 8} y={bar.y + bar.height / 2 + 4} textAnchor={isLeft ? "end" : "start"} className="map-label">
        <title>{nodeName(bar.name)}</title>
        {fitted(nodeName(bar.name), { width: SANKEY.left - 100, size: 12, keepsEnd: true })}, {bytesText(bar.bytes)}
      </text>
    </>
  );
}
