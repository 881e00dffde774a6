// One statistic of all layers over steps: merging what is new, and looking up.
import { mergeColumns } from "./columns";
import type { Stats } from "./types";

type Matrix = "values" | "zero" | "nonfinite";

/** Adds the steps of `fresh` to `known`; for a step that both have, `fresh` is right. */
export function mergeStats(known: Stats, fresh: Stats): Stats {
  const steps = Float64Array.from(new Set([...known.steps, ...fresh.steps])).sort();
  const layers = [...new Set([...fresh.layers, ...known.layers])];
  const merge = (name: Matrix): Float32Array => {
    const merged = new Float32Array(layers.length * steps.length).fill(Number.NaN);
    for (const part of [known, fresh]) copy(part, name, layers, steps, merged);
    return merged;
  };
  const columns = mergeColumns(known, fresh, steps);
  return {
    ...fresh,
    layers,
    steps,
    values: merge("values"),
    zero: merge("zero"),
    nonfinite: merge("nonfinite"),
    ...(columns && { columns }),
  };
}

function copy(part: Stats, name: Matrix, layers: readonly string[], steps: Float64Array, into: Float32Array): void {
  const column = new Map<number, number>();
  for (let index = 0; index < steps.length; index++) column.set(steps[index] as number, index);
  for (let row = 0; row < part.layers.length; row++) {
    const to = layers.indexOf(part.layers[row] as string) * steps.length;
    for (let index = 0; index < part.steps.length; index++)
      into[to + (column.get(part.steps[index] as number) as number)] = part[name][
        row * part.steps.length + index
      ] as number;
  }
}

/** A layer's row of a statistic's matrix; empty when it has none. */
export function rowOf(stats: Stats, layer: string, name: Matrix = "values"): Float32Array {
  const row = stats.layers.indexOf(layer);
  return row < 0 ? new Float32Array() : stats[name].subarray(row * stats.steps.length, (row + 1) * stats.steps.length);
}

/** Index of exactly this step; -1 when it was not logged. */
export function indexOfStep(steps: ArrayLike<number>, step: number | null): number {
  if (step === null) return -1;
  let low = 0;
  let high = steps.length - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    const found = steps[middle] as number;
    if (found === step) return middle;
    if (found < step) low = middle + 1;
    else high = middle - 1;
  }
  return -1;
}
