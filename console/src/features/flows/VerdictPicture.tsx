/** Who talks to whom, clients on the left as far as that goes; lines by verdict, each a button. */

import { fitted, widthOf } from "../../app/fit";
import { pressed } from "../../app/keys";
import { Canvas } from "../../graph/Canvas";
import { type Label, LABEL, labelled } from "../../graph/labels";
import { layered, type Point, type Route } from "../../graph/layers";
import type { Size } from "../../graph/viewport";
import { type Edge, type FlowMap, nodeName, verdictOf } from "./flows";
import { VerdictLegend } from "./VerdictLegend";

interface Props {
  readonly map: FlowMap;
  readonly selected: string;
  readonly onSelect: (key: string) => void;
}

const GAPS = { x: 42, y: 22, lane: 0 } as const;
const NODE = { height: 40, least: 90, most: 260, pad: 16 } as const;
const BAR = { height: 4, width: 56 } as const;

export function VerdictPicture(props: Props) {
  const draw = (_room: Size) => {
    const nodes = props.map.nodes.filter((name) => props.map.edges.some(({ from, to }) => from === name || to === name));
    const boxes = nodes.map((name) => ({ id: name, height: NODE.height, width: nodeWidth(name) }));
    const drawing = layered(boxes, props.map.edges.map((edge) => ({ key: edge.key, from: edge.from, to: edge.to, ...sizeOf(edge) })), GAPS);
    const parts = (
      <>
        {props.map.edges.map((edge) => {
          const route = drawing.routes.get(edge.key);
          return route !== undefined && <EdgeLine key={edge.key} edge={edge} route={route} isSelected={edge.key === props.selected} onSelect={props.onSelect} />;
        })}
        {boxes.map(({ id, width }) => <Node key={id} name={id} width={width} at={drawing.places.get(id) ?? { x: 0, y: 0 }} />)}
      </>
    );
    return { width: drawing.width, height: drawing.height, parts };
  };
  return <Canvas label="Who talks to whom" name="Sessions by verdict" draw={draw} legend={<VerdictLegend edges={props.map.edges} />} />;
}

function nodeWidth(name: string): number {
  return Math.max(NODE.least, Math.min(NODE.most, widthOf(nodeName(name), { size: 14, isBold: true }) + 2 * NODE.pad));
}

function Node({ name, width, at }: { readonly name: string; readonly width: number; readonly at: Point }) {
  return (
    <g transform={`translate(${at.x} ${at.y})`} className={name === "" ? "flow-node flow-elsewhere" : "flow-node"}>
      <title>{nodeName(name)}</title>
      <rect width={width} height={NODE.height} rx={8} />
      <text x={width / 2} y={NODE.height / 2 + 5} textAnchor="middle" className="map-name">{fitted(nodeName(name), { width: width - NODE.pad, size: 14, isBold: true, keepsEnd: true })}</text>
    </g>
  );
}

function labelOf({ passed, denied }: Edge): Label {
  const words = [passed > 0 ? `✓ ${passed.toLocaleString("en")}` : "", denied > 0 ? `✗ ${denied.toLocaleString("en")}` : ""];
  return labelled([words.filter(Boolean).join("  ")], BAR.width);
}

function sizeOf(edge: Edge): Size {
  const { width, height } = labelOf(edge);
  return { width, height: height + BAR.height };
}

interface LineProps {
  readonly edge: Edge;
  readonly route: Route;
  readonly isSelected: boolean;
  readonly onSelect: (key: string) => void;
}

/** What was denied is dashed, and a core of what passed where both did; the bar of the label says how much of each. */
function EdgeLine({ edge, route, isSelected, onSelect }: LineProps) {
  const verdict = verdictOf(edge);
  const choose = () => onSelect(edge.key);
  const whole = edge.passed + edge.denied;
  const width = 1.5 + Math.min(4.5, Math.log10(1 + whole) * 1.4);
  const deniedWidth = verdict === "deny" ? width : Math.max(2, (width * edge.denied) / Math.max(1, whole));
  return (
    <>
      <g
        className={`flow-edge flow-${verdict}${isSelected ? " map-selected" : ""}`}
        role="button"
        tabIndex={0}
        aria-pressed={isSelected}
        aria-label={`From ${nodeName(edge.from)} to ${nodeName(edge.to)}: ${edge.passed} passed, ${edge.denied} denied`}
        onClick={choose}
        onKeyDown={pressed(choose)}
      >
        <title>{`${nodeName(edge.from)} → ${nodeName(edge.to)}: ${edge.passed.toLocaleString("en")} passed, ${edge.denied.toLocaleString("en")} denied`}</title>
        <path d={route.path} className="map-reach" />
        {edge.passed > 0 && <path d={route.path} className="flow-line" strokeWidth={verdict === "mixed" ? width + 2 : width} />}
        {edge.denied > 0 && <path d={route.path} className="flow-line flow-line-denied" strokeWidth={deniedWidth} />}
        <Head route={route} width={width} />
      </g>
      {/* The line says it to who cannot see. */}
      <g aria-hidden="true" className={isSelected ? "map-told map-selected" : "map-told"} onClick={choose}>
        <Told edge={edge} at={route.label} />
      </g>
    </>
  );
}

const TURNS = { right: 0, left: 180, down: 90 } as const;

function Head({ route: { end, arrives }, width }: { readonly route: Route; readonly width: number }) {
  const size = 7 + width;
  return <path transform={`translate(${end.x} ${end.y}) rotate(${TURNS[arrives]})`} d={`M0 0 L${-size} ${-size / 2} L${-size} ${size / 2} Z`} className="flow-head-mark" />;
}

function Told({ edge, at }: { readonly edge: Edge; readonly at: Point }) {
  const { lines, width, height } = labelOf(edge);
  const inner = width - 2 * LABEL.pad;
  const passed = (inner * edge.passed) / Math.max(1, edge.passed + edge.denied);
  return (
    <g transform={`translate(${at.x - width / 2} ${at.y - (height + BAR.height) / 2})`}>
      <rect width={width} height={height + BAR.height} rx={6} className="map-pill" />
      <text x={width / 2} y={15} textAnchor="middle" className="map-label">{lines[0]}</text>
      <rect x={LABEL.pad} y={height - 3} width={passed} height={BAR.height} className="flow-share-passed" />
      <rect x={LABEL.pad + passed} y={height - 3} width={inner - passed} height={BAR.height} className="flow-share-denied" />
    </g>
  );
}
