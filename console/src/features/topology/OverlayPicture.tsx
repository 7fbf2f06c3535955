/** The overlay drawn: projects, their networks and routers, a line per policy between two networks. */

import { fitted } from "../../app/fit";
import { pressed } from "../../app/keys";
import { Canvas } from "../../graph/Canvas";
import { type Label, labelled } from "../../graph/labels";
import type { Route } from "../../graph/layers";
import { Pill } from "../../graph/Pill";
import type { Size } from "../../graph/viewport";
import { lastName } from "../../model/document";
import { bytesText } from "../../model/units";
import type { Rate } from "./live";
import type { Join, Leg, Network, Overlay, OverlayRouter } from "./overlay";
import { CARD, labelOf, type Places, placesOf } from "./places";

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

export function OverlayPicture(props: Props) {
  const { overlay, between } = props;
  const bytesOf = ({ from, to }: Join) => between.get(pairKey(from.name, to.name)) ?? 0;
  const draw = (room: Size) => {
    const places = placesOf(overlay, room, (join) => labelFor(join, bytesOf(join)));
    return { width: places.width, height: places.height, parts: <Parts {...props} places={places} bytesOf={bytesOf} /> };
  };
  return <Canvas label="Networks and policies" name="Overlay" draw={draw} legend={<Legend overlay={overlay} />} />;
}

function passedText(bytes: number): string {
  return bytes > 0 ? bytesText(bytes) : "";
}

function labelFor(join: Join, bytes: number): Label {
  return labelled([labelOf(join), passedText(bytes)]);
}

function Legend({ overlay: { joins, legs } }: { readonly overlay: Overlay }) {
  const kinds = [
    { kind: "map-pass", word: "policy", isThere: joins.some((each) => kindOf(each) === "pass") },
    { kind: "map-deny", word: "✗ policy that only denies", isThere: joins.some((each) => kindOf(each) === "deny") },
    { kind: "map-half", word: "⚠ one end lacks the policy", isThere: joins.some((each) => kindOf(each) === "half") },
    { kind: "map-leg", word: "joined by a router", isThere: legs.some((each) => !each.isOutside) },
    { kind: "map-leg map-outside", word: "its way outside", isThere: legs.some((each) => each.isOutside) },
  ].filter(({ isThere }) => isThere);
  return kinds.map(({ kind, word }) => (
    <span key={kind}>
      <svg width={26} height={8} aria-hidden><g className={kind}><path d="M0 4 H26" className="map-line" /></g></svg> {word}
    </span>
  ));
}

interface PartsProps extends Props {
  readonly places: Places;
  readonly bytesOf: (join: Join) => number;
}

function Parts({ overlay, ports, rates, selected, onSelect, places, bytesOf }: PartsProps) {
  const spot = (uuid: string) => places.cards.get(uuid) ?? { x: 0, y: 0 };
  return (
    <>
      {places.projects.map(({ name, x, y, width, height }) => (
        <g key={name} transform={`translate(${x} ${y})`}>
          <title>{name}</title>
          <rect width={width} height={height} rx={10} className="map-project" />
          <text x={16} y={25} className="map-project-name">{fitted(name.split(":").slice(1).join(" › ") || name, { width: width - 32, size: 13, isBold: true })}</text>
        </g>
      ))}
      {overlay.legs.map((leg) => {
        const route = places.routes.get(leg.key);
        return route !== undefined && <LegLine key={leg.key} leg={leg} route={route} isSelected={leg.router.uuid === selected} />;
      })}
      {overlay.joins.map((join) => {
        const route = places.routes.get(join.key);
        return route !== undefined && <JoinLine key={join.key} join={join} route={route} bytes={bytesOf(join)} isSelected={join.key === selected} onSelect={onSelect} />;
      })}
      {overlay.routers.map((router) => <RouterCard key={router.uuid} router={router} {...spot(router.uuid)} legs={overlay.legs} isSelected={router.uuid === selected} onSelect={onSelect} />)}
      {overlay.networks.map((network) => (
        <Card key={network.uuid} network={network} {...spot(network.uuid)} ports={ports.get(network.uuid)} rate={rates.get(network.name)} isSelected={network.uuid === selected} onSelect={onSelect} />
      ))}
    </>
  );
}

interface Placed {
  readonly x: number;
  readonly y: number;
  readonly isSelected: boolean;
  readonly onSelect: (key: string) => void;
}

interface CardProps extends Placed {
  readonly network: Network;
  readonly ports: number | undefined;
  readonly rate: Rate | undefined;
}

function Card({ network, x, y, ports, rate, isSelected, onSelect }: CardProps) {
  const [first = "no subnet", ...more] = network.subnets;
  const choose = () => onSelect(network.uuid);
  const counted = ports === undefined ? "" : ports === 1 ? "1 port" : `${ports.toLocaleString("en")} ports`;
  const told = [counted, rate === undefined ? "" : `${bytesText(rate.in + rate.out)}/s`].filter(Boolean).join(", ");
  return (
    <g
      className={isSelected ? "map-card map-selected" : "map-card"}
      transform={`translate(${x} ${y})`}
      role="button"
      tabIndex={0}
      aria-pressed={isSelected}
      onClick={choose}
      onKeyDown={pressed(choose)}
    >
      <title>{network.name}</title>
      <rect width={CARD.width} height={CARD.height} rx={8} />
      <text x={12} y={22} className="map-name">{fitted(lastName(network.name.split(":")), { width: CARD.width - 24, size: 14, isBold: true })}</text>
      <text x={12} y={40} className="map-small">{fitted(first, { width: CARD.width - 50, size: 12 })}{more.length > 0 ? ` +${more.length}` : ""}</text>
      <text x={12} y={57} className="map-small">{told}</text>
    </g>
  );
}

interface RouterProps extends Placed {
  readonly router: OverlayRouter;
  readonly legs: readonly Leg[];
}

function RouterCard({ router, x, y, legs, isSelected, onSelect }: RouterProps) {
  const own = legs.filter((each) => each.router === router);
  const choose = () => onSelect(router.uuid);
  const inside = own.filter((each) => !each.isOutside).length;
  return (
    <g
      className={`map-card map-router${isSelected ? " map-selected" : ""}`}
      transform={`translate(${x} ${y})`}
      role="button"
      tabIndex={0}
      aria-pressed={isSelected}
      onClick={choose}
      onKeyDown={pressed(choose)}
    >
      <title>{`Logical router ${router.name}`}</title>
      <rect width={CARD.width} height={CARD.height} rx={CARD.height / 2} />
      <text x={CARD.width / 2} y={28} textAnchor="middle" className="map-name">{fitted(lastName(router.name.split(":")), { width: CARD.width - 40, size: 14, isBold: true })}</text>
      <text x={CARD.width / 2} y={46} textAnchor="middle" className="map-small">router, {inside === 1 ? "1 network" : `${inside} networks`}</text>
    </g>
  );
}

type At = Route & { readonly at: { readonly x: number; readonly y: number } };

function LegLine({ leg, route, isSelected }: { readonly leg: Leg; readonly route: At; readonly isSelected: boolean }) {
  return (
    <g transform={`translate(${route.at.x} ${route.at.y})`} className={`map-leg${leg.isOutside ? " map-outside" : ""}${isSelected ? " map-selected" : ""}`}>
      <title>{`${leg.router.name} ${leg.isOutside ? "leaves by" : "joins"} ${leg.network.name}`}</title>
      <path d={route.path} className="map-line" />
    </g>
  );
}

function kindOf(join: Join): "half" | "pass" | "deny" {
  return join.missingAt !== "" ? "half" : join.passes ? "pass" : "deny";
}

interface LineProps {
  readonly join: Join;
  readonly route: At;
  readonly bytes: number;
  readonly isSelected: boolean;
  readonly onSelect: (key: string) => void;
}

function JoinLine({ join, route, bytes, isSelected, onSelect }: LineProps) {
  const choose = () => onSelect(join.key);
  const told = passedText(bytes);
  return (
    <g transform={`translate(${route.at.x} ${route.at.y})`}>
      <g
        className={`map-join map-${kindOf(join)}${isSelected ? " map-selected" : ""}`}
        role="button"
        tabIndex={0}
        aria-pressed={isSelected}
        aria-label={`Policy ${[lastName(join.policy.split(":")), told].filter(Boolean).join(" ")} between ${lastName(join.from.name.split(":"))} and ${lastName(join.to.name.split(":"))}`}
        onClick={choose}
        onKeyDown={pressed(choose)}
      >
        <title>{join.policy}</title>
        <path d={route.path} className="map-reach" />
        <path d={route.path} className="map-line" style={bytes > 0 ? { strokeWidth: 2 + Math.min(6, Math.log10(bytes)) } : undefined} />
        {bytes > 0 && <path d={route.path} className="map-passing" />}
      </g>
      {/* The line says it to who cannot see. */}
      <g aria-hidden="true" className={isSelected ? "map-told map-selected" : "map-told"} onClick={choose}>
        <Pill at={route.label} label={labelFor(join, bytes)} />
      </g>
    </g>
  );
}
