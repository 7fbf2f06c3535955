/** The underlay drawn: switches above hosts, cables between them, tunnels below. */

import { fitted } from "../../app/fit";
import { pressed } from "../../app/keys";
import { bytesText } from "../../model/units";
import type { Rate } from "./live";
import { BOX, type Cable, isOnWay, type Tunnel, type Underlay, type UnderlayNode, type Way } from "./underlay";

export interface Told {
  readonly underlay: Underlay;
  readonly hosts: ReadonlyMap<string, Rate>;
  readonly interfaces: ReadonlyMap<string, Rate>;
  readonly way: Way | undefined;
  readonly selected: string;
  readonly onSelect: (key: string) => void;
}

export function rateText(rate: Rate | undefined): string {
  return rate === undefined ? "" : `in ${bytesText(rate.in)}/s, out ${bytesText(rate.out)}/s`;
}

/** What passes a cable: as the switch counts it, else what the host at its end has. */
export function rateOf(cable: Cable, { hosts, interfaces }: Pick<Told, "hosts" | "interfaces">): Rate | undefined {
  return interfaces.get(`${cable.from} ${cable.index}`) ?? hosts.get(cable.to) ?? hosts.get(cable.from);
}

export function UnderlayPicture(told: Told) {
  const { underlay, way } = told;
  const places = new Map(underlay.nodes.map((each) => [each.id, each]));
  return (
    <div className="map-view" tabIndex={0} role="region" aria-label="Hosts, switches and tunnels">
      <svg width={underlay.width} height={underlay.height} role="group" aria-label="Underlay">
        {underlay.cables.map((cable) => {
          const [from, to] = [places.get(cable.from), places.get(cable.to)];
          if (from === undefined || to === undefined) return null;
          const [upper, lower] = from.y <= to.y ? [from, to] : [to, from];
          const [x0, y0, x1, y1] = [upper.x + BOX.width / 2, upper.y + BOX.height, lower.x + BOX.width / 2, lower.y];
          const path = upper.y === lower.y
            ? `M${x0} ${y0} Q${(x0 + x1) / 2} ${y0 + 50} ${x1} ${y0}`
            : `M${x0} ${y0} C${x0} ${(y0 + y1) / 2} ${x1} ${(y0 + y1) / 2} ${x1} ${y1}`;
          const rate = rateOf(cable, told);
          const label = rate === undefined ? "" : `${bytesText(rate.in + rate.out)}/s`;
          return (
            <Line
              key={cable.key} told={told} line={cable} path={path} label={label} kind={isOnWay(way, cable.from, cable.to) ? "way" : "cable"}
              name={`Link of ${cable.from} and ${cable.to}${label === "" ? "" : `, ${label}`}`} x={(x0 + x1) / 2} y={(y0 + y1) / 2} width={2}
            />
          );
        })}
        {underlay.tunnels.map((tunnel) => {
          const [from, to] = [places.get(tunnel.from), places.get(tunnel.to)];
          if (from === undefined || to === undefined) return null;
          const [x0, x1, y] = [from.x + BOX.width / 2, to.x + BOX.width / 2, from.y + BOX.height];
          const depth = Math.min(135, 50 + Math.abs(x1 - x0) / 8);
          return (
            <Line
              key={tunnel.key} told={told} line={tunnel} path={`M${x0} ${y} C${x0} ${y + depth} ${x1} ${y + depth} ${x1} ${y}`} label={bytesText(tunnel.bytes)} kind="tunnel"
              name={`Tunnel between ${tunnel.from} and ${tunnel.to}, ${bytesText(tunnel.bytes)}`} x={(x0 + x1) / 2} y={y + depth * 0.75 + 4} width={1.5 + Math.min(7, Math.log10(1 + tunnel.bytes))}
            />
          );
        })}
        {underlay.nodes.map((node) => <NodeBox key={node.id} told={told} node={node} />)}
      </svg>
    </div>
  );
}

interface LineProps {
  readonly told: Told;
  readonly line: Cable | Tunnel;
  readonly path: string;
  readonly label: string;
  readonly name: string;
  readonly kind: "cable" | "way" | "tunnel";
  readonly x: number;
  readonly y: number;
  readonly width: number;
}

function Line({ told: { selected, onSelect }, line, path, label, name, kind, x, y, width }: LineProps) {
  const choose = () => onSelect(line.key);
  const isSelected = selected === line.key;
  return (
    <g
      className={`map-join map-${kind}${isSelected ? " map-selected" : ""}`} role="button" tabIndex={0} aria-pressed={isSelected} aria-label={name}
      onClick={choose} onKeyDown={pressed(choose)}
    >
      <title>{name}</title>
      <path d={path} className="map-reach" />
      <path d={path} className="map-line" style={{ strokeWidth: isSelected ? width + 2 : width }} />
      <text aria-hidden="true" x={x} y={y} textAnchor="middle" className="map-label">{label}</text>
    </g>
  );
}

const KINDS = { host: "host", switch: "switch", elsewhere: "no host of ours" } as const;

function NodeBox({ told: { hosts, way, selected, onSelect }, node }: { readonly told: Told; readonly node: UnderlayNode }) {
  const choose = () => onSelect(node.id);
  const isSelected = selected === node.id;
  const rate = hosts.get(node.id);
  const second = node.kind === "host" ? [node.addresses[0] ?? "", `${node.ports} ${node.ports === 1 ? "port" : "ports"}`].filter(Boolean).join(", ") : KINDS[node.kind];
  return (
    <g
      className={`map-card map-${node.kind}${isSelected ? " map-selected" : ""}${way?.path.includes(node.id) === true ? " map-on-way" : ""}`}
      transform={`translate(${node.x} ${node.y})`} role="button" tabIndex={0} aria-pressed={isSelected}
      onClick={choose} onKeyDown={pressed(choose)}
    >
      <title>{`${KINDS[node.kind]} ${node.id}${node.isWell ? "" : ", not well"}`}</title>
      <rect width={BOX.width} height={BOX.height} rx={node.kind === "switch" ? 2 : 8} />
      <text x={10} y={20} className="map-name">{fitted(node.id, { width: BOX.width - (node.isWell ? 20 : 40), size: 14, isBold: true, keepsEnd: true })}{node.isWell ? "" : " ⚠"}</text>
      <text x={10} y={37} className="map-small">{fitted(second, { width: BOX.width - 20, size: 12, keepsEnd: true })}</text>
      <text x={10} y={53} className="map-small">{rateText(rate)}</text>
    </g>
  );
}
