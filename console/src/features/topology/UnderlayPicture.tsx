/** The underlay drawn: switches above hosts, cables between them, tunnels below. */

import { fitted } from "../../app/fit";
import { pressed } from "../../app/keys";
import { Canvas } from "../../graph/Canvas";
import { labelled } from "../../graph/labels";
import { Pill } from "../../graph/Pill";
import type { Size } from "../../graph/viewport";
import { bytesText } from "../../model/units";
import type { Rate } from "./live";
import { BOX, type Cable, isOnWay, spread, type Tunnel, type Underlay, type UnderlayNode, type Way } from "./underlay";

export interface Told {
  readonly underlay: Underlay;
  readonly hosts: ReadonlyMap<string, Rate>;
  readonly interfaces: ReadonlyMap<string, Rate>;
  readonly way: Way | undefined;
  readonly selected: string;
  readonly onSelect: (key: string) => void;
}

/** Half of a label, below the line that it is on. */
const BELOW_PX = 18;
const MARGIN_PX = 16;

export function rateText(rate: Rate | undefined): string {
  return rate === undefined ? "" : `in ${bytesText(rate.in)}/s, out ${bytesText(rate.out)}/s`;
}

/** What passes a cable: as the switch counts it, else what the host at its end has. */
export function rateOf(cable: Cable, { hosts, interfaces }: Pick<Told, "hosts" | "interfaces">): Rate | undefined {
  return interfaces.get(`${cable.from} ${cable.index}`) ?? hosts.get(cable.to) ?? hosts.get(cable.from);
}

export function UnderlayPicture(told: Told) {
  const draw = (room: Size) => {
    const underlay = spread(told.underlay, room);
    return { width: underlay.width, height: heightOf(underlay), parts: <Parts {...told} underlay={underlay} /> };
  };
  return <Canvas label="Hosts, switches and tunnels" name="Underlay" draw={draw} legend={<Legend underlay={told.underlay} />} />;
}

/** Down to the deepest tunnel. */
function heightOf({ nodes, tunnels }: Underlay): number {
  const places = new Map(nodes.map((each) => [each.id, each]));
  const depths = tunnels.map(({ from, to }) => {
    const [one, other] = [places.get(from), places.get(to)];
    return one === undefined || other === undefined ? 0 : tunnelArc(one, other).depth * 0.75 + BELOW_PX;
  });
  return Math.max(0, ...nodes.map(({ y }) => y)) + BOX.height + Math.max(MARGIN_PX, ...depths);
}

function Legend({ underlay: { cables, tunnels } }: { readonly underlay: Underlay }) {
  return (
    <>
      {cables.length > 0 && <span><Sample kind="cable" /> link, with what passes it now</span>}
      {tunnels.length > 0 && <span><Sample kind="tunnel" /> tunnel, as wide as its sessions of the last 10 minutes</span>}
    </>
  );
}

function Sample({ kind }: { readonly kind: string }) {
  return <svg width={26} height={8} aria-hidden><g className={`map-${kind}`}><path d="M0 4 H26" className="map-line" style={{ strokeWidth: kind === "tunnel" ? 5 : 2 }} /></g></svg>;
}

function Parts(told: Told) {
  const { underlay, way } = told;
  const places = new Map(underlay.nodes.map((each) => [each.id, each]));
  return (
    <>
      {underlay.cables.map((cable) => {
        const [from, to] = [places.get(cable.from), places.get(cable.to)];
        if (from === undefined || to === undefined) return null;
        const { x0, y0, x1, y1 } = cableEnds(from, to);
        const path = from.y === to.y
          ? `M${x0} ${y0} Q${(x0 + x1) / 2} ${y0 + 50} ${x1} ${y0}`
          : `M${x0} ${y0} C${x0} ${(y0 + y1) / 2} ${x1} ${(y0 + y1) / 2} ${x1} ${y1}`;
        const rate = rateOf(cable, told);
        const label = passingText(rate);
        return (
          <Line
            key={cable.key} told={told} line={cable} path={path} kind={isOnWay(way, cable.from, cable.to) ? "way" : "cable"}
            name={`Link of ${cable.from} and ${cable.to}${label === "" ? "" : `, ${label}`}`} width={cableWidth(rate)} isPassing={passes(rate)}
          />
        );
      })}
      {underlay.tunnels.map((tunnel) => {
        const [from, to] = [places.get(tunnel.from), places.get(tunnel.to)];
        if (from === undefined || to === undefined) return null;
        const { x0, x1, y, depth } = tunnelArc(from, to);
        return (
          <Line
            key={tunnel.key} told={told} line={tunnel} path={`M${x0} ${y} C${x0} ${y + depth} ${x1} ${y + depth} ${x1} ${y}`} kind="tunnel"
            name={`Tunnel between ${tunnel.from} and ${tunnel.to}, ${bytesText(tunnel.bytes)}`} width={thicknessOf(tunnel)} isPassing={tunnel.bytes > 0}
          />
        );
      })}
      <Labels told={told} places={places} />
      {underlay.nodes.map((node) => <NodeBox key={node.id} told={told} node={node} />)}
    </>
  );
}

function passingText(rate: Rate | undefined): string {
  return rate === undefined ? "" : `${bytesText(rate.in + rate.out)}/s`;
}

function passes(rate: Rate | undefined): boolean {
  return rate !== undefined && rate.in + rate.out >= 1;
}

function cableWidth(rate: Rate | undefined): number {
  return 2 + (rate === undefined ? 0 : Math.min(5, Math.log10(1 + rate.in + rate.out) / 2));
}

function cableEnds(from: UnderlayNode, to: UnderlayNode) {
  const [upper, lower] = from.y <= to.y ? [from, to] : [to, from];
  return { x0: upper.x + BOX.width / 2, y0: upper.y + BOX.height, x1: lower.x + BOX.width / 2, y1: lower.y };
}

/** A tunnel hangs below its hosts, the deeper the further apart they are. */
function tunnelArc(from: UnderlayNode, to: UnderlayNode) {
  const [x0, x1] = [from.x + BOX.width / 2, to.x + BOX.width / 2];
  return { x0, x1, y: from.y + BOX.height, depth: Math.min(135, 50 + Math.abs(x1 - x0) / 8) };
}

function thicknessOf(tunnel: Tunnel): number {
  return 1.5 + Math.min(7, Math.log10(1 + tunnel.bytes));
}

/** What passes, above all lines: none is drawn over a label. Lines themselves say it to who cannot see. */
function Labels({ told, places }: { readonly told: Told; readonly places: ReadonlyMap<string, UnderlayNode> }) {
  return (
    <g aria-hidden="true" pointerEvents="none">
      {told.underlay.cables.map((cable) => {
        const [from, to] = [places.get(cable.from), places.get(cable.to)];
        if (from === undefined || to === undefined) return null;
        const { x0, y0, x1, y1 } = cableEnds(from, to);
        return <Label key={cable.key} x={(x0 + x1) / 2} y={from.y === to.y ? y0 + 25 : (y0 + y1) / 2} text={passingText(rateOf(cable, told))} />;
      })}
      {told.underlay.tunnels.map((tunnel) => {
        const [from, to] = [places.get(tunnel.from), places.get(tunnel.to)];
        if (from === undefined || to === undefined) return null;
        const { x0, x1, y, depth } = tunnelArc(from, to);
        return <Label key={tunnel.key} x={(x0 + x1) / 2} y={y + depth * 0.75} text={bytesText(tunnel.bytes)} />;
      })}
    </g>
  );
}

function Label({ x, y, text }: { readonly x: number; readonly y: number; readonly text: string }) {
  return text !== "" && <Pill at={{ x, y }} label={labelled([text])} />;
}

interface LineProps {
  readonly told: Told;
  readonly line: Cable | Tunnel;
  readonly path: string;
  readonly name: string;
  readonly kind: "cable" | "way" | "tunnel";
  readonly width: number;
  readonly isPassing: boolean;
}

function Line({ told: { selected, onSelect }, line, path, name, kind, width, isPassing }: LineProps) {
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
      {isPassing && <path d={path} className="map-passing" />}
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
      <text x={10} y={53} className="map-small">{fitted(rateText(rate), { width: BOX.width - 20, size: 12 })}</text>
    </g>
  );
}
