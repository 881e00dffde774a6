// How far a run's statistic is from another's: at the steps, and in the layers, that both have.
import type { Stats } from "./types";

/** `other` - `base`, in the order of `base`; null where either has its steps gathered into columns, whose extremes have no difference. */
export function differenceOf(base: Stats, other: Stats): Stats | null {
  if (base.columns || other.columns) return null;
  const place = new Map(Array.from(other.steps, (step, index) => [step, index]));
  const shared = Array.from(base.steps, (_, index) => index).filter((index) => place.has(base.steps[index] as number));
  const layers = base.layers.filter((layer) => other.layers.includes(layer));
  const size = layers.length * shared.length;
  const values = new Float32Array(size);
  const nonfinite = new Float32Array(size);
  for (const [row, layer] of layers.entries()) {
    const ofBase = base.layers.indexOf(layer) * base.steps.length;
    const ofOther = other.layers.indexOf(layer) * other.steps.length;
    for (const [column, index] of shared.entries()) {
      const from = ofBase + index;
      const to = ofOther + (place.get(base.steps[index] as number) as number);
      values[row * shared.length + column] = (other.values[to] as number) - (base.values[from] as number);
      nonfinite[row * shared.length + column] = Math.max(other.nonfinite[to] as number, base.nonfinite[from] as number);
    }
  }
  return {
    ...other,
    layers,
    steps: Float64Array.from(shared, (index) => base.steps[index] as number),
    values,
    zero: new Float32Array(size),
    nonfinite,
  };
}
