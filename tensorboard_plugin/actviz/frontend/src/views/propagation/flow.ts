// The data flow between the rows of the score: the rail, and arcs where an output is used further down. Pure functions.
import type { LayerInfo } from "../../types";
import type { Entry } from "./blocks";

/** Name of the model's input among a layer's inputs. */
const INPUT = "input";
/** The row number of the model's input, above all others. */
export const INPUT_ROW = -1;

/** An output that is used not by the next node of the rail only: from and to are row numbers. */
export interface Arc {
  from: number;
  to: number;
  /** How far from the rail, 0 the nearest; arcs of a lane do not touch. */
  lane: number;
}

export interface Flow {
  /** Pairs of neighbouring nodes where the upper one feeds the lower one. */
  rail: [from: number, to: number][];
  arcs: Arc[];
  /** Whether the log says what feeds what; where it does not, the rail only follows the order of execution. */
  known: boolean;
}

/** Whether an entry has a node on the rail. */
export function hasNode({ kind }: Entry): boolean {
  return kind === "layer" || kind === "folded";
}

/** Data flow between these rows; what happens inside of a folded block is not shown. */
export function dataFlow(entries: readonly Entry[], layers: readonly LayerInfo[]): Flow {
  const nodes = entries.flatMap((entry, row) => (hasNode(entry) ? [row] : []));
  const chain = [INPUT_ROW, ...nodes];
  const neighbours = nodes.map((row, index): [number, number] => [chain[index] as number, row]);
  if (layers.every((info) => info.inputs === undefined)) return { rail: neighbours, arcs: [], known: false };
  const rowOf = new Map<string, number>([[INPUT, INPUT_ROW]]);
  for (const row of nodes) for (const name of (entries[row] as Entry).layers) rowOf.set(name, row);
  const edges = new Map<string, [number, number]>();
  for (const info of layers) {
    const to = rowOf.get(info.name);
    for (const source of info.inputs ?? []) {
      const from = rowOf.get(source);
      if (from !== undefined && to !== undefined && from < to) edges.set(`${from} ${to}`, [from, to]);
    }
  }
  const isNeighbour = new Set(neighbours.map(([from, to]) => `${from} ${to}`));
  const rail = neighbours.filter(([from, to]) => edges.has(`${from} ${to}`));
  const far = [...edges].filter(([key]) => !isNeighbour.has(key)).map(([, edge]) => edge);
  return { rail, arcs: lanes(far), known: true };
}

/** Gives each arc the innermost lane that is free along its way; shorter arcs first, so that they nest. */
function lanes(edges: readonly [number, number][]): Arc[] {
  const sorted = [...edges].sort((one, other) => one[1] - one[0] - (other[1] - other[0]) || one[0] - other[0]);
  const placed: Arc[] = [];
  for (const [from, to] of sorted) {
    const taken = new Set(placed.filter((arc) => arc.from < to && from < arc.to).map((arc) => arc.lane));
    let lane = 0;
    while (taken.has(lane)) lane++;
    placed.push({ from, to, lane });
  }
  return placed.sort((one, other) => one.from - other.from || one.to - other.to);
}
