/** The overlay drawn: a column per project, a card per network, a line per policy between two. */

import { pressed } from "../../app/keys";

import { CARD, type Join, lineOf, type Network, type Overlay } from "./overlay";

interface Props {
  readonly overlay: Overlay;
  readonly ports: ReadonlyMap<string, number>;
  readonly selected: string;
  readonly onSelect: (key: string) => void;
}

export function OverlayPicture({ overlay, ports, selected, onSelect }: Props) {
  const lanes = lanesOf(overlay.joins);
  return (
    <div className="map-view" tabIndex={0} role="region" aria-label="Networks and policies">
      <svg width={overlay.width} height={overlay.height} role="group" aria-label="Overlay">
        {overlay.projects.map(({ name, x, height }) => (
          <g key={name}>
            <rect x={x} y={0} width={CARD.width + 32} height={height} rx={10} className="map-project" />
            <text x={x + 16} y={26} className="map-project-name">{name.split(":").slice(1).join(" › ") || name}</text>
          </g>
        ))}
        {overlay.joins.map((join, index) => (
          <JoinLine key={join.key} join={join} lane={lanes[index] ?? 0} isSelected={join.key === selected} onSelect={onSelect} />
        ))}
        {overlay.networks.map((network) => (
          <Card key={network.uuid} network={network} ports={ports.get(network.uuid)} isSelected={network.uuid === selected} onSelect={onSelect} />
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
  readonly isSelected: boolean;
  readonly onSelect: (key: string) => void;
}

function Card({ network, ports, isSelected, onSelect }: CardProps) {
  const name = network.name.split(":").at(-1) ?? "";
  const [first = "no subnet", ...more] = network.subnets;
  const choose = () => onSelect(network.uuid);
  const told = ports === undefined ? "" : ports === 1 ? "1 port" : `${ports.toLocaleString("en")} ports`;
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
      <text x={12} y={22} className="map-name">{short(name, 24)}</text>
      <text x={12} y={40} className="map-small">{short(first, 26)}{more.length > 0 ? ` +${more.length}` : ""}</text>
      <text x={12} y={57} className="map-small">{told}</text>
    </g>
  );
}

interface LineProps {
  readonly join: Join;
  readonly lane: number;
  readonly isSelected: boolean;
  readonly onSelect: (key: string) => void;
}

function JoinLine({ join, lane, isSelected, onSelect }: LineProps) {
  const { path, x, y } = lineOf(join, lane);
  const name = join.policy.split(":").at(-1) ?? "";
  const choose = () => onSelect(join.key);
  const kind = join.missingAt !== "" ? "half" : join.passes ? "pass" : "deny";
  const via = join.services.length > 0 ? ` via ${join.services.map((each) => each.split(":").at(-1)).join(", ")}` : "";
  const isBow = join.from.x === join.to.x;
  return (
    <g
      className={`map-join map-${kind}${isSelected ? " map-selected" : ""}`}
      role="button"
      tabIndex={0}
      aria-pressed={isSelected}
      aria-label={`Policy ${name} between ${join.from.name.split(":").at(-1)} and ${join.to.name.split(":").at(-1)}`}
      onClick={choose}
      onKeyDown={pressed(choose)}
    >
      <title>{join.policy}</title>
      <path d={path} className="map-reach" />
      <path d={path} className="map-line" />
      <text x={x} y={y + 4} textAnchor={isBow ? "start" : "middle"} className="map-label">{short(`${name}${via}`, isBow ? 15 : 22)}</text>
    </g>
  );
}

function short(text: string, length: number): string {
  return text.length > length ? `${text.slice(0, length - 1)}…` : text;
}
