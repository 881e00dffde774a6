// Quantised maps: values, limits of the colour scale, order and layout. Pure functions.
import type { ChannelSort, ColormapName, ScaleMode } from "./state";
import type { LayerStats, Maps } from "./types";

const LEVELS = 254;
export const NONFINITE = 255;

/** Limits of a colour scale; `clips`: values beyond them occur and take the colour at the end. */
export interface ScaleLimits {
  low: number;
  high: number;
  clips: boolean;
}

/** Number of the map of a sample and the n-th kept channel, in the order of the record. */
export function mapNumber(maps: Maps, sample: number, position: number): number {
  return sample * maps.channels.length + position;
}

/** Number of the unit of a vector's n-th kept value. */
export function unitAt(maps: Maps, pixel: number): number {
  return maps.units?.[pixel] ?? pixel;
}

/** Pixels of a map's values that are farthest from zero, the farthest first; at most so many, and none that is zero or not finite. */
export function strongestPixels(maps: Maps, map: number, most: number): number[] {
  const size = Array.from({ length: maps.height * maps.width }, (_, pixel) => Math.abs(valueAt(maps, map, pixel)));
  return [...size.keys()]
    .filter((pixel) => (size[pixel] as number) > 0)
    .sort((one, other) => (size[other] as number) - (size[one] as number) || one - other)
    .slice(0, most);
}

/** Value of a quantised pixel: low + code * (high - low) / 254; NaN where the value was not finite. */
export function valueAt(maps: Maps, map: number, pixel: number): number {
  const code = maps.data[map * maps.height * maps.width + pixel] as number;
  if (code === NONFINITE) return Number.NaN;
  const low = maps.low[map] as number;
  return low + code * (((maps.high[map] as number) - low) / LEVELS);
}

/** Entry of a 256-entry colour table for a value: round(255 * (value - low) / (high - low)), within the table. */
export function entryOf(value: number, { low, high }: ScaleLimits): number {
  return Math.max(0, Math.min(255, Math.round((255 * (value - low)) / (high - low))));
}

/** The colour table for a map's 256 codes; transparent for what is not finite. */
export function codeColours(
  maps: Maps,
  map: number,
  limits: ScaleLimits,
  lut: Uint8ClampedArray,
  into: Uint32Array,
): Uint32Array {
  const low = maps.low[map] as number;
  const step = ((maps.high[map] as number) - low) / LEVELS;
  const colours = new Uint32Array(lut.buffer, lut.byteOffset, 256);
  for (let code = 0; code <= LEVELS; code++) into[code] = colours[entryOf(low + code * step, limits)] as number;
  into[NONFINITE] = 0;
  return into;
}

/** Whether every value of a map is exactly zero. */
export function isZero(maps: Maps, map: number): boolean {
  if (maps.low[map] !== 0 || maps.high[map] !== 0) return false;
  const size = maps.height * maps.width;
  return !maps.data.subarray(map * size, (map + 1) * size).includes(NONFINITE);
}

export function hasNonfinite(maps: Maps, map: number): boolean {
  const size = maps.height * maps.width;
  return maps.data.subarray(map * size, (map + 1) * size).includes(NONFINITE);
}

/** Pixel of a map's largest value; 0 where none is finite. */
export function largestPixel(maps: Maps, map: number): number {
  const size = maps.height * maps.width;
  let best = 0;
  let code = -1;
  for (let pixel = 0; pixel < size; pixel++) {
    const here = maps.data[map * size + pixel] as number;
    if (here !== NONFINITE && here > code) [best, code] = [pixel, here];
  }
  return best;
}

/**
 * Limits of the scale. On the diverging scale they are symmetric, so that zero is the page's colour.
 * `map`: of this map alone; `layer`: of all maps at this step; `locked`, `runs`: of the statistics given, which are
 * of the whole run, or of all shown ones (99.9th percentile).
 */
export function scaleLimits(
  mode: ScaleMode,
  colormap: ColormapName,
  maps: Maps,
  map: number,
  statistics: LayerStats | null,
): ScaleLimits {
  let low = maps.low[map] as number;
  let high = maps.high[map] as number;
  if (mode !== "map") [low, high] = extremes(maps);
  if ((mode === "locked" || mode === "runs") && statistics?.abs_limit != null) {
    const [lowest, highest] =
      colormap === "activations"
        ? [-statistics.abs_limit, statistics.abs_limit]
        : [statistics.low_limit, statistics.high_limit];
    if (lowest !== null && highest !== null && highest > lowest)
      return { low: lowest, high: highest, clips: low < lowest || high > highest };
  }
  if (colormap === "activations") {
    high = Math.max(Math.abs(low), Math.abs(high));
    low = -high;
  }
  return high > low ? { low, high, clips: false } : { low: low - 1, high: high + 1, clips: false };
}

/** The smallest and the largest value of all maps. */
export function extremes(maps: Maps): [low: number, high: number] {
  return [minimum(maps.low), maximum(maps.high)];
}

/** The scale that the user gave instead, symmetric where zero must stay in the middle. */
export function windowed(
  limits: ScaleLimits,
  contrast: readonly [low: number, high: number] | null,
  symmetric: boolean,
  maps: Maps,
): ScaleLimits {
  if (contrast === null) return limits;
  const largest = Math.max(Math.abs(contrast[0]), Math.abs(contrast[1]));
  const [low, high] = symmetric ? [-largest, largest] : contrast;
  if (!(high > low)) return limits;
  const [least, most] = extremes(maps);
  return { low, high, clips: least < low || most > high };
}

/** Limits for several runs at once: the widest of each; null when unknown. */
export function unitedLimits(all: readonly LayerStats[]): Pick<LayerStats, "abs_limit" | "low_limit" | "high_limit"> {
  const known = (name: "abs_limit" | "low_limit" | "high_limit") =>
    all.map((each) => each[name]).filter((value): value is number => value !== null);
  const [sizes, lows, highs] = [known("abs_limit"), known("low_limit"), known("high_limit")];
  return {
    abs_limit: sizes.length > 0 ? Math.max(...sizes) : null,
    low_limit: lows.length > 0 ? Math.min(...lows) : null,
    high_limit: highs.length > 0 ? Math.max(...highs) : null,
  };
}

function minimum(values: Float32Array): number {
  let found = Number.POSITIVE_INFINITY;
  for (const value of values) if (value < found) found = value;
  return Number.isFinite(found) ? found : 0;
}

function maximum(values: Float32Array): number {
  let found = Number.NEGATIVE_INFINITY;
  for (const value of values) if (value > found) found = value;
  return Number.isFinite(found) ? found : 0;
}

/** The channel whose map of a sample has the widest range of values; null without channels. */
export function widestChannel(maps: Maps, sample: number): number | null {
  let widest: number | null = null;
  let range = -1;
  for (const [position, name] of maps.channels.entries()) {
    const map = mapNumber(maps, Math.min(sample, maps.samples.length - 1), position);
    const here = (maps.high[map] as number) - (maps.low[map] as number);
    if (here > range) [widest, range] = [name, here];
  }
  return widest;
}

/** RMS of the difference of a sample's map between two steps; NaN where either has no such map, or no finite value. */
export function changeOf(maps: Maps, reference: Maps, sample: number, position: number): number {
  const other = reference.channels.indexOf(maps.channels[position] as number);
  const row = reference.samples.indexOf(maps.samples[sample] as number);
  if (other < 0 || row < 0 || maps.height !== reference.height || maps.width !== reference.width) return Number.NaN;
  const [map, before] = [mapNumber(maps, sample, position), mapNumber(reference, row, other)];
  let sum = 0;
  let count = 0;
  for (let pixel = 0; pixel < maps.height * maps.width; pixel++) {
    const difference = valueAt(maps, map, pixel) - valueAt(reference, before, pixel);
    if (Number.isNaN(difference)) continue;
    sum += difference * difference;
    count++;
  }
  return Math.sqrt(sum / count);
}

/** What a channel is sorted by: mean, change since the reference, or share of zeros. */
export function sortKey(
  maps: Maps,
  sample: number,
  position: number,
  sort: Exclude<ChannelSort, "index">,
  reference: Maps | null,
): number {
  if (sort === "change") return reference === null ? Number.NaN : changeOf(maps, reference, sample, position);
  const map = mapNumber(maps, sample, position);
  return sort === "zero" ? zeroFraction(maps, map) : (maps.mean[map] as number);
}

/** Positions of the channels in the order in which the grid shows them: the largest first, those without a value last. */
export function channelOrder(maps: Maps, sample: number, sort: ChannelSort, reference: Maps | null = null): number[] {
  const positions = maps.channels.map((_, position) => position);
  if (sort === "index") return positions;
  const key = positions.map((position) => {
    const value = sortKey(maps, sample, position, sort, reference);
    return Number.isNaN(value) ? Number.POSITIVE_INFINITY : -value;
  });
  return positions.sort((one, other) => (key[one] as number) - (key[other] as number) || one - other);
}

/** Share of a map's pixels that are closest to exactly zero: its code for 0, where low is 0 or the map has both signs. */
export function zeroFraction(maps: Maps, map: number): number {
  const low = maps.low[map] as number;
  const high = maps.high[map] as number;
  const size = maps.height * maps.width;
  if (low > 0 || high < 0) return 0;
  const zero = high > low ? Math.round((-low / (high - low)) * LEVELS) : 0;
  let count = 0;
  for (let pixel = map * size; pixel < (map + 1) * size; pixel++) if (maps.data[pixel] === zero) count++;
  return count / size;
}

/** [rows, columns] of the near-square grid that a vector of `count` values is folded into. */
export function foldShape(count: number): [rows: number, columns: number] {
  const columns = Math.ceil(Math.sqrt(count));
  return [Math.ceil(count / columns), columns];
}

/** Whole device pixels for a map's pixel, so that the map fits; at least 1. */
export function cellPixels(height: number, width: number, room: number): number {
  return Math.max(1, Math.floor(room / Math.max(height, width)));
}
