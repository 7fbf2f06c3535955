/** The overlay drawn: a column per project, a card per network, a line per policy between two. */

import { fitted } from "../../app/fit";
import { pressed } from "../../app/keys";
import { bytesText } from "../../model/units";
import type { Rate } from "./live";
import { CARD, type Join, type Leg, legLineOf, lineOf, type Network, type Overlay, type OverlayRouter } from "./overlay";

interface Props {
  readonly overlay: Overlay;
  readonly ports: ReadonlyMap<string, number>;
  /** By a network's name. */
  readonly rates: ReadonlyMap<string, Rate>;
  /** Bytes between two networks lately, by `pairKey`. */
  readonly between: ReadonlyMap<string, number>;
  readonly selected: string;
  readonly onSelect: (key: string) => void;
}

/** Two networks, whichever began. */
export function pairKey(one: string, other: string): string {
  return [one, other].toSorted().join(" ");
}

export function OverlayPicture({ overlay, ports, rates, between, selected, onSelect }: Props) {
  const lanes = lanesOf(overlay.joins);
  return (
    <div className="map-view" tabIndex={0} role="region" aria-label="Networks and policies">
      <svg width={overlay.width} height={overlay.height} role="group" aria-label="Overlay">
        {overlay.projects.map(({ name, x, width, height }) => (
          <g key={name}>
            <rect x={x} y={0} width={width} height={height} rx={10} className="map-project" />
            <text x={x + 16} y={26} className="map-project-name">{name.split(":").slice(1).join(" › ") || name}</text>
          </g>
        ))}
        {overlay.joins.map((join, index) => (
          <JoinLine key={join.key} join={join} lane={lanes[index] ?? 0} bytes={between.get(pairKey(join.from.name, join.to.name)) ?? 0} isSelected={join.key === selected} onSelect={onSelect} />
        ))}
        {overlay.legs.map((leg) => <LegLine key={leg.key} leg={leg} isSelected={leg.router.uuid === selected} />)}
        {overlay.routers.map((router) => <RouterCard key={router.uuid} router={router} legs={overlay.legs} isSelected={router.uuid === selected} onSelect={onSelect} />)}
        {overlay.networks.map((network) => (
          <Card key={network.uuid} network={network} ports={ports.get(network.uuid)} rate={rates.get(network.name)} isSelected={network.uuid === selected} onSelect={onSelect} />
        ))}
      </svg>
    </div>
  );
}

/** Several policies between the same two are drawn beside each other. */
function lanesOf(joins: readonly Join[]): number[] {
  const seen = new Map<string, number>();
  return joins.map(({ from, to }) => {
    const pair = `${from.uuid} ${to.uuid}`;
    const lane = seen.get(pair) ?? 0;
    seen.set(pair, lane + 1);
    return lane;
  });
}

interface CardProps {
  readonly network: Network;
  readonly ports: number | undefined;
  readonly rate: Rate | undefined;
  readonly isSelected: boolean;
  readonly onSelect: (key: string) => void;
}

function Card({ network, ports, rate, isSelected, onSelect }: CardProps) {
  const name = network.name.split(":").at(-1) ?? "";
  const [first = "no subnet", ...more] = network.subnets;
  const choose = () => onSelect(network.uuid);
  const counted = ports === undefined ? "" : ports === 1 ? "1 port" : `${ports.toLocaleString("en")} ports`;
  const told = [counted, rate === undefined ? "" : `${bytesText(rate.in + rate.out)}/s`].filter(Boolean).join(", ");
  return (
    <g
      className={isSelected ? "map-card map-selected" : "map-card"}
      transform={`translate(${network.x} ${network.y})`}
      role="button"
      tabIndex={0}
      aria-pressed={isSelected}
      onClick={choose}
      onKeyDown={pressed(choose)}
    >
      <title>{network.name}</title>
      <rect width={CARD.width} height={CARD.height} rx={8} />
      <text x={12} y={22} className="map-name">{fitted(name, { width: CARD.width - 24, size: 14, isBold: true })}</text>
      <text x={12} y={40} className="map-small">{fitted(first, { width: CARD.width - 50, size: 12 })}{more.length > 0 ? ` +${more.length}` : ""}</text>
      <text x={12} y={57} className="map-small">{told}</text>
    </g>
  );
}

interface RouterProps {
  readonly router: OverlayRouter;
  readonly legs: readonly Leg[];
  readonly isSelected: boolean;
  readonly onSelect: (key: string) => void;
}

function RouterCard({ router, legs, isSelected, onSelect }: RouterProps) {
  const own = legs.filter((each) => each.router === router);
  const choose = () => onSelect(router.uuid);
  const inside = own.filter((each) => !each.isOutside).length;
  return (
    <g
      className={`map-card map-router${isSelected ? " map-selected" : ""}`}
      transform={`translate(${router.x} ${router.y})`}
      role="button"
      tabIndex={0}
      aria-pressed={isSelected}
      onClick={choose}
      onKeyDown={pressed(choose)}
    >
      <title>{`Logical router ${router.name}`}</title>
      <rect width={CARD.width} height={CARD.height} rx={CARD.height / 2} />
      <text x={CARD.width / 2} y={28} textAnchor="middle" className="map-name">{fitted(router.name.split(":").at(-1) ?? "", { width: CARD.width - 40, size: 14, isBold: true })}</text>
      <text x={CARD.width / 2} y={46} textAnchor="middle" className="map-small">router, {inside === 1 ? "1 network" : `${inside} networks`}</text>
    </g>
  );
}

function LegLine({ leg, isSelected }: { readonly leg: Leg; readonly isSelected: boolean }) {
  return (
    <g className={`map-leg${leg.isOutside ? " map-outside" : ""}${isSelected ? " map-selected" : ""}`}>
      <title>{`${leg.router.name} ${leg.isOutside ? "leaves by" : "joins"} ${leg.network.name}`}</title>
      <path d={legLineOf(leg)} className="map-line" />
    </g>
  );
}

interface LineProps {
  readonly join: Join;
  readonly lane: number;
  readonly bytes: number;
  readonly isSelected: boolean;
  readonly onSelect: (key: string) => void;
}

function JoinLine({ join, lane, bytes, isSelected, onSelect }: LineProps) {
  const { path, x, y } = lineOf(join, lane);
  const name = join.policy.split(":").at(-1) ?? "";
  const choose = () => onSelect(join.key);
  const kind = join.missingAt !== "" ? "half" : join.passes ? "pass" : "deny";
  const via = join.services.length > 0 ? ` via ${join.services.map((each) => each.split(":").at(-1)).join(", ")}` : "";
  const isBow = join.from.x === join.to.x;
  const told = bytes > 0 ? bytesText(bytes) : "";
  return (
    <g
      className={`map-join map-${kind}${isSelected ? " map-selected" : ""}`}
      role="button"
      tabIndex={0}
      aria-pressed={isSelected}
      aria-label={`Policy ${[name, told].filter(Boolean).join(" ")} between ${join.from.name.split(":").at(-1)} and ${join.to.name.split(":").at(-1)}`}
      onClick={choose}
      onKeyDown={pressed(choose)}
    >
      <title>{join.policy}</title>
      <path d={path} className="map-reach" />
      <path d={path} className="map-line" style={bytes > 0 ? { strokeWidth: 2 + Math.min(6, Math.log10(bytes)) } : undefined} />
      <text x={x} y={y + 4} textAnchor={isBow ? "start" : "middle"} className="map-label">
        {fitted(`${name}${via}`, { width: isBow ? 100 : 145, size: 12 })}{told !== "" && <>{" "}<tspan x={x} dy={15}>{told}</tspan></>}
      </text>
    </g>
  );
}
