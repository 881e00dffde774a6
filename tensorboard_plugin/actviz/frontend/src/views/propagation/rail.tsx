// The rail left of the maps: a node a layer, lines for the data flow, arcs for outputs that are used further down.
import { layer } from "../../state";
import { type Flow, hasNode, INPUT_ROW } from "./flow";
import { pulse } from "./pulse";
import type { Score, ScoreRow } from "./score";

const LANE = 6;
const FIRST_LANE = 10;
/** Lanes of arcs that get room of their own; those beyond share the outermost. */
const MAX_LANES = 5;
const NODE = 4;
const CURVE = 10;

/** Room that the arcs need left of the rail. */
export function arcRoom({ arcs }: Flow): number {
  const lanes = Math.min(MAX_LANES, Math.max(0, ...arcs.map((arc) => arc.lane + 1)));
  return lanes === 0 ? 0 : FIRST_LANE + lanes * LANE;
}

/** Height of a row's node, from the top of the rows; the input's is above them. */
export function nodeY(row: ScoreRow | undefined): number {
  return row === undefined ? -24 : row.top + Math.min(18, row.height / 2);
}

function arcPath(x: number, from: number, to: number, lane: number): string {
  const out = x - FIRST_LANE - Math.min(lane, MAX_LANES - 1) * LANE;
  const bend = Math.min(CURVE, (to - from) / 2);
  return `M${x},${from} Q${out},${from} ${out},${from + bend} V${to - bend} Q${out},${to} ${x},${to}`;
}

interface RailProps {
  score: Score;
  flow: Flow;
  x: number;
  from: number;
  to: number;
}

/** All of the flow between `from` and `to`. */
export function Rail({ score, flow, x, from, to }: RailProps) {
  const { rows } = score;
  const y = (row: number) => nodeY(rows[row]);
  const selected = rows.findIndex((row) => hasNode(row) && row.layers.includes(layer.value ?? ""));
  const seen = ([upper, lower]: readonly [number, number]) => y(lower) >= from && y(upper) <= to;
  const lit = (upper: number, lower: number) => pulse.value !== null && pulse.value === lower && upper < lower;
  const touches = (upper: number, lower: number) => selected >= 0 && (upper === selected || lower === selected);
  const lookOf = (upper: number, lower: number) =>
    lit(upper, lower) ? "lit" : touches(upper, lower) ? "near" : undefined;
  return (
    <svg class="rail" width={x + 12} height={score.height} aria-hidden="true" data-testid="rail">
      {flow.rail.filter(seen).map(([upper, lower]) => (
        <path
          key={`${upper} ${lower}`}
          d={`M${x},${y(upper)} V${y(lower)}`}
          class={lookOf(upper, lower)}
          stroke-dasharray={flow.known ? undefined : "2 3"}
          data-edge={`${upper} ${lower}`}
        />
      ))}
      {flow.arcs
        .filter((arc) => seen([arc.from, arc.to]))
        .map((arc) => (
          <path
            key={`${arc.from} ${arc.to}`}
            d={arcPath(x, y(arc.from), y(arc.to), arc.lane)}
            class={`arc ${lookOf(arc.from, arc.to) ?? ""}`}
            data-testid="arc"
            data-from={arc.from === INPUT_ROW ? "input" : rows[arc.from]?.info.name}
            data-to={rows[arc.to]?.info.name}
          />
        ))}
      {rows.map((row, index) =>
        hasNode(row) && y(index) >= from && y(index) <= to ? (
          <Node key={row.info.name} row={row} x={x} selected={index === selected} reached={pulse.value === index} />
        ) : null,
      )}
    </svg>
  );
}

function Node({ row, x, selected, reached }: { row: ScoreRow; x: number; selected: boolean; reached: boolean }) {
  const look = selected || reached ? "chosen-node" : undefined;
  if (row.kind === "folded")
    return <rect x={x - 5} y={nodeY(row) - 6} width={10} height={12} rx={2} class={look} data-testid="node" />;
  return <circle cx={x} cy={nodeY(row)} r={selected || reached ? NODE + 2 : NODE} class={look} data-testid="node" />;
}
