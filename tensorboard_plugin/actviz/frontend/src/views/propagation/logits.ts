// Probabilities from logged logits. Maps are quantised, so that a logit is known to half a level; what follows from that is kept in
// view: a probability is an interval, and is written with the digits that hold. Pure functions.
import { NONFINITE, valueAt } from "../../maps";
import type { LayerInfo, Maps } from "../../types";

/** Units that still stand as bars with numbers. */
export const MAX_BARS = 20;

export interface Interval {
  low: number;
  high: number;
}

/** The layer whose values are plausible logits: the last one, a Linear with a few units; null where it is not. */
export function logitsLayer(layers: readonly LayerInfo[]): string | null {
  const last = layers[layers.length - 1];
  const units = last?.shape?.[1] ?? 0;
  const plausible = last?.type === "Linear" && last.layout === "vector" && units > 1 && units <= MAX_BARS;
  return plausible ? last.name : null;
}

/** The last layer with a vector of a few units, which stands as bars. */
export function barsLayer(layers: readonly LayerInfo[]): string | null {
  const last = layers.findLast((info) => info.layout === "vector");
  const units = last?.shape?.slice(1).reduce((product, extent) => product * extent, 1) ?? 0;
  return last !== undefined && units > 0 && units <= MAX_BARS ? last.name : null;
}

/**
 * Bounds of the softmax probability of each unit, each logit being known to within `error`:
 * p_i = 1 / (1 + sum over j != i of exp(z_j - z_i)), which is smallest where z_i is low and all others are high.
 */
export function probabilities(logits: readonly number[], error: number): Interval[] {
  const bound = (unit: number, shift: number): number => {
    let others = 0;
    for (const [index, logit] of logits.entries())
      if (index !== unit) others += Math.exp(logit - (logits[unit] as number) + shift);
    return 1 / (1 + others);
  };
  return logits.map((_, unit) => ({ low: bound(unit, 2 * error), high: bound(unit, -2 * error) }));
}

export interface Prediction {
  /** The units with the largest logit: one, or several that the log cannot tell apart. */
  units: number[];
  probabilities: Interval[];
}

/** What a sample's logits predict; null where they are not all there or not all finite. `at`: position of the sample. */
export function predict(maps: Maps, at: number): Prediction | null {
  const count = maps.width;
  if (maps.layout !== "vector" || at < 0 || at >= maps.samples.length || count !== maps.shape[1]) return null;
  const codes = maps.data.subarray(at * count, (at + 1) * count);
  if (codes.includes(NONFINITE)) return null;
  const logits = Array.from(codes, (_, unit) => valueAt(maps, at, unit));
  const level = ((maps.high[at] as number) - (maps.low[at] as number)) / 254;
  const largest = Math.max(...codes);
  const units = [...codes.keys()].filter((unit) => codes[unit] === largest);
  return { units, probabilities: probabilities(logits, level / 2) };
}

/** `0.62`: at most three decimals, as many as hold; `<0.01` rather than `0.00`; `0.44–0.61` where not even one holds. */
export function formatProbability({ low, high }: Interval): string {
  if (high < 0.01) return high < 0.001 ? "<\u20090.001" : "<\u20090.01";
  if (low > 0.99) return low > 0.999 ? ">\u20090.999" : ">\u20090.99";
  for (const decimals of [3, 2, 1]) {
    const text = low.toFixed(decimals);
    if (text === high.toFixed(decimals) && Number(text) > 0 && Number(text) < 1) return text;
  }
  const decimals = high < 0.1 ? 3 : 2;
  return `${low.toFixed(decimals)}–${high.toFixed(decimals)}`;
}

/** Whether the samples' labels are numbers of the units, so that a unit can be named by a label. */
export function labelsNameUnits(labels: readonly string[] | null, units: number): boolean {
  return labels !== null && labels.length > 0 && labels.every((label) => /^\d+$/.test(label) && Number(label) < units);
}
