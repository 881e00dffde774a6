// Statistics of more steps than are needed one by one: gathered into columns by the server, with the extremes of each.
import { median } from "d3-array";
import type { Stats, StepColumns } from "./types";

/** So many values of a statistic, or so many steps, are still asked for one by one. */
const FULL_VALUES = 1 << 19;
const FULL_STEPS = 4096;
/** So many, at most, where nothing else will do. */
const MOST_VALUES = 1 << 21;
const MOST_COLUMNS = 2048;

/** Into how many columns the steps are to be gathered; null: each step by itself, as far as that goes where `each` step is needed. */
export function columnsFor(steps: number, layers: number, each = false): number | null {
  const values = steps * Math.max(1, layers);
  if (each ? values <= MOST_VALUES : steps <= FULL_STEPS && values <= FULL_VALUES) return null;
  return Math.max(64, Math.min(MOST_COLUMNS, Math.floor(FULL_VALUES / 4 / Math.max(1, layers))));
}

/** What the route answers with `columns`; matrices are row-major [layers, columns]. */
export interface Extremes extends StepColumns {
  values_min: Float32Array;
  values_max: Float32Array;
  zero_max: Float32Array;
  nonfinite_max: Float32Array;
}

/** The statistic of a column is the extreme farther from its row's median; what is not finite, or all zero, at any of its steps counts. */
export function ofColumns(layers: readonly string[], { first, last, count, ...extremes }: Extremes) {
  const { values_min: low, values_max: high, zero_max: zero, nonfinite_max: nonfinite } = extremes;
  const width = first.length;
  const values = new Float32Array(low.length);
  for (let row = 0; row < layers.length; row++) {
    const part = (matrix: Float32Array) => matrix.subarray(row * width, (row + 1) * width);
    const [lows, highs] = [part(low), part(high)];
    const middle = ((median(lows) ?? 0) + (median(highs) ?? 0)) / 2;
    for (let column = 0; column < width; column++) {
      const [least, most] = [lows[column] as number, highs[column] as number];
      values[row * width + column] = Math.abs(least - middle) > Math.abs(most - middle) ? least : most;
    }
  }
  const steps = first.map((from, column) => standIn(from, last[column] as number));
  return { steps, values, zero, nonfinite, columns: { first, last, count } };
}

/** A column of one step is that step; one of more is between two steps, and equal to none. */
function standIn(first: number, last: number): number {
  return first === last ? first : Math.floor((first + last) / 2) + 0.5;
}

/** Columns of the `steps` of a merge of two statistics. */
export function mergeColumns(known: Stats, fresh: Stats, steps: Float64Array): StepColumns | undefined {
  if (!known.columns && !fresh.columns) return undefined;
  const merged = { first: steps.slice(), last: steps.slice(), count: new Uint32Array(steps.length).fill(1) };
  for (const { columns, steps: own } of [known, fresh]) {
    if (!columns) continue;
    const place = new Map(Array.from(own, (step, index) => [step, index]));
    for (let index = 0; index < steps.length; index++) {
      const from = place.get(steps[index] as number);
      if (from === undefined) continue;
      merged.first[index] = columns.first[from] as number;
      merged.last[index] = columns.last[from] as number;
      merged.count[index] = columns.count[from] as number;
    }
  }
  return merged;
}
