// What the panels draw of a pair: its tiles, the scales, and why there is no difference where there is none.
import type { TileSource } from "../../draw/tiles";
import { formatCount } from "../../format";
import type { ScaleLimits } from "../../maps";
import { colormap } from "../../state";
import type { Pair } from "./data";
import {
  differenceLimits,
  mismatch,
  pairTiles,
  sharedLimits,
  type TilePair,
  type Tiles,
  tileIsZero,
  tilesOf,
  tileValue,
} from "./tiles";

/** What is drawn: both sides cut into tiles, and how they lie beside each other. */
export interface Scene {
  pair: Pair;
  a: Tiles;
  b: Tiles;
  pairs: readonly TilePair[];
  limits: ScaleLimits;
  difference: ScaleLimits;
  /** Why there is no difference; null where there is one. */
  words: string | null;
  vector: boolean;
  /** Whether no value of the layer is below zero in either run, so that the lower half of the scale is never seen. */
  half: boolean;
}

export function sceneOf(
  pair: Pair,
  statistics: Parameters<typeof sharedLimits>[2],
  sample: number,
  locked: boolean,
): Scene {
  const at = Math.min(sample, pair.a.maps.samples.length - 1);
  const inB = pair.b.maps.samples.indexOf(pair.a.maps.samples[at] as number);
  const [a, b] = [tilesOf(pair.a.maps, at), tilesOf(pair.b.maps, Math.max(0, inB))];
  const apart = mismatch(pair.a.maps, pair.b.maps, pair.matching !== null);
  const words =
    apart ??
    (inB < 0
      ? `B did not keep sample ${pair.a.maps.samples[at]}.`
      : pair.same === "different"
        ? otherInputs(pair)
        : null);
  const pairs = pairTiles(a, b, pair.matching);
  const limits = sharedLimits(pair.a.maps, pair.b.maps, statistics, locked);
  const difference = words === null ? differenceLimits(a, b, pairs, limits, locked) : limits;
  const half = colormap.value === "activations" && statistics.every((each) => (each?.low_limit ?? -1) >= 0);
  return { pair, a, b, pairs, limits, difference, words, vector: pair.a.maps.layout === "vector", half };
}

function otherInputs({ a, b }: Pair): string {
  const batch = a.maps.source === "train" || b.maps.source === "train";
  const what = batch
    ? `training batches of step ${formatCount(a.side.step)} and of step ${formatCount(b.side.step)}`
    : "the runs have other probes";
  return `A and B show different inputs (${what}): a difference pixel by pixel would mean nothing. watch(model, ..., probe=batch) shows the same inputs at every step.`;
}

export function sourceOf(scene: Scene, which: "A" | "B" | "difference"): TileSource {
  const { a, b, pairs, words } = scene;
  const alone = which === "B" && words !== null && scene.pair.matching === null;
  const places = alone ? b.names.map((_, b) => ({ a: b, b })) : pairs;
  const own = which === "B" ? b : a;
  const position = (tile: number) => (places[tile] as { a: number; b: number })[which === "B" ? "b" : "a"];
  const base = { count: places.length, rows: own.rows, columns: own.columns };
  if (which !== "difference")
    return {
      ...base,
      value: (tile, pixel) => tileValue(own, position(tile), pixel),
      zero: (tile) => tileIsZero(own, position(tile)),
      missing: (tile) => position(tile) < 0,
    };
  return {
    ...base,
    value: (tile, pixel) => {
      const { a: one, b: other } = pairs[tile] as TilePair;
      return tileValue(b, other, pixel) - tileValue(a, one, pixel);
    },
    zero: (tile) => {
      const { a: one, b: other } = pairs[tile] as TilePair;
      return tileIsZero(a, one) && tileIsZero(b, other);
    },
    missing: (tile) => (pairs[tile] as TilePair).b < 0,
  };
}
