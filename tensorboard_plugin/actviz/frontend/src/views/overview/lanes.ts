// The quilt's lanes: what each shows of a row, found once and kept until the statistics or the axis change.
import { computed } from "@preact/signals";
import { statsInView } from "../../detail";
import { differenceOf } from "../../difference";
import { type Edges, edgesOf, type Lane, laneOf } from "../../draw/quilt";
import { differenceDomain, statDomain } from "../../draw/scale";
import type { GroupRow, LayerRow, Row } from "../../rows";
import { axis, drawnStat, drawnStats, laneRuns, lanes, type RunLetter, statScale } from "../../state";
import { rowOf } from "../../stats";
import type { Stats } from "../../types";

export interface LaneRun {
  run: string;
  letter: RunLetter | null;
  /** Of the part in view; undefined while it is awaited, null where steps gathered into columns have no difference. */
  stats: Stats | null | undefined;
}

/** The lanes of every row. The difference is to run A, which has no lane of its own then. */
export const shownLanes = computed<LaneRun[]>(() => {
  const all = laneRuns.value.map(({ run, letter }) => ({ run, letter, stats: statsInView(run) }));
  const [base, ...others] = all;
  if (lanes.value === "runs" || base === undefined) return all;
  return others.map((other) => ({
    ...other,
    stats: base.stats && other.stats ? differenceOf(base.stats, other.stats) : undefined,
  }));
});

/** Limits of the colours: of the whole runs, so that they never move with the step in view. */
export const domain = computed(() => {
  if (lanes.value === "runs")
    return statDomain(
      laneRuns.value.flatMap(({ run }) => drawnStats(run)?.values ?? []),
      drawnStat.value,
      statScale.value,
    );
  const [base, ...others] = laneRuns.value.map(({ run }) => drawnStats(run));
  const known = others.flatMap((other) => (base && other ? [differenceOf(base, other)] : []));
  const inView = known.some((each) => each === null) ? shownLanes.value.map((lane) => lane.stats ?? null) : known;
  return differenceDomain(
    inView.flatMap((each) => (each ? [each.values] : [])),
    statScale.value,
  );
});

/** The layer that a row stands for: of a folded block, the last one that the run has. */
export function layerOf(row: Row, known: Stats): string | null {
  if (row.kind === "layer") return known.layers.includes(row.info.name) ? row.info.name : null;
  return row.layers.findLast((info) => known.layers.includes(info.name))?.name ?? null;
}

/** Of a folded block, the last layer's values; and what is not finite in any of its layers. */
function nonfiniteOf(row: GroupRow | LayerRow, known: Stats, layer: string): Float32Array {
  const own = rowOf(known, layer, "nonfinite");
  if (row.kind === "layer") return own;
  const most = own.slice();
  for (const { name } of row.layers) {
    const other = rowOf(known, name, "nonfinite");
    // Below one, so that a layer which is finite itself is not shown as if it were not.
    for (let index = 0; index < other.length; index++)
      if ((other[index] as number) > 0 && !((most[index] as number) > 0)) most[index] = 0.5;
  }
  return most;
}

/** Finds lanes; keeps what it found, and the edges of each statistic. */
export class LaneFinder {
  private readonly edges = new Map<Stats, Edges>();
  private readonly found = new Map<string, Lane | null>();

  /** Null where the run has no such layer. */
  lane(row: Row, index: number, known: Stats): Lane | null {
    const name = `${index} ${row.kind === "layer" ? `layer ${row.info.name}` : `group ${row.top} ${row.group}`}`;
    let lane = this.found.get(name);
    if (lane === undefined) {
      const layer = layerOf(row, known);
      lane = layer === null ? null : this.make(row, known, layer);
      this.found.set(name, lane);
    }
    return lane;
  }

  private make(row: Row, known: Stats, layer: string): Lane {
    let edges = this.edges.get(known);
    if (edges === undefined) {
      edges = edgesOf(axis.value, known);
      this.edges.set(known, edges);
    }
    return laneOf(edges, rowOf(known, layer), rowOf(known, layer, "zero"), nonfiniteOf(row, known, layer));
  }
}
