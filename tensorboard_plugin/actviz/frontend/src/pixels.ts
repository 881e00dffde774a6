// A channel's values in the shown samples, counted from its quantised maps. Pure.
import { mapNumber, NONFINITE, type ScaleLimits, valueAt } from "./maps";
import type { Maps } from "./types";

/** Shares of the finite values of one channel's maps, of all shown samples. */
export interface PixelHistogram {
  /** Equal bins from `low` to `high`; what lies beyond is in the outermost ones. */
  shares: Float64Array;
  low: number;
  high: number;
  /** Whether there are values below `low`, or above `high`. */
  below: boolean;
  above: boolean;
  /** Share within half a level of quantisation of the lowest or highest value, where that is exactly zero: a ReLU's zeros. Not in `shares`. */
  zero: number;
  /** Number of values, finite or not, and of those that are not. */
  count: number;
  nonfinite: number;
}

/** Counts the values of the n-th kept channel. */
export function pixelHistogram(maps: Maps, position: number, limits: ScaleLimits, bins: number): PixelHistogram {
  const { low, high } = limits;
  const shares = new Float64Array(bins);
  const size = maps.height * maps.width;
  let zero = 0;
  let nonfinite = 0;
  let [below, above] = [false, false];
  for (let sample = 0; sample < maps.samples.length; sample++) {
    const map = mapNumber(maps, sample, position);
    const zeroCode = maps.low[map] === 0 ? 0 : maps.high[map] === 0 ? 254 : -1;
    for (let pixel = 0; pixel < size; pixel++) {
      const code = maps.data[map * size + pixel] as number;
      if (code === NONFINITE) nonfinite++;
      else if (code === zeroCode || (maps.low[map] === 0 && maps.high[map] === 0)) zero++;
      else {
        const value = valueAt(maps, map, pixel);
        below ||= value < low;
        above ||= value > high;
        const bin = Math.floor(((value - low) / (high - low)) * bins);
        const at = Math.max(0, Math.min(bins - 1, bin));
        shares[at] = (shares[at] as number) + 1;
      }
    }
  }
  const count = maps.samples.length * size;
  const finite = Math.max(1, count - nonfinite);
  for (let bin = 0; bin < bins; bin++) shares[bin] = (shares[bin] as number) / finite;
  return { shares, low, high, below, above, zero: zero / finite, count, nonfinite };
}

/** Position of the sample whose map of a channel has the largest mean; null where all are the same, or none is finite. */
export function topSample(maps: Maps, position: number): number | null {
  let best: number | null = null;
  let [least, most] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (let sample = 0; sample < maps.samples.length; sample++) {
    const mean = maps.mean[mapNumber(maps, sample, position)] as number;
    if (mean > most) [best, most] = [sample, mean];
    if (mean < least) least = mean;
  }
  return most > least ? best : null;
}
