// A and B cut into tiles that stand for the same channel (or unit) of the same sample, and whether they can be compared. Pure functions.
import { formatShape } from "../../format";
import { mapNumber, type ScaleLimits, valueAt } from "../../maps";
import type { LayerStats, Maps, Matching } from "../../types";

/** The maps of one sample: a tile a channel, or a unit of a vector; one tile of a sequence. */
export interface Tiles {
  maps: Maps;
  /** Index into `maps.samples`. */
  sample: number;
  /** Number of each tile's channel or unit. */
  names: readonly number[];
  rows: number;
  columns: number;
}

export function tilesOf(maps: Maps, sample: number): Tiles {
  const vector = maps.layout === "vector";
  return {
    maps,
    sample,
    names: vector ? (maps.units ?? Array.from({ length: maps.width }, (_, unit) => unit)) : maps.channels,
    rows: vector ? 1 : maps.height,
    columns: vector ? 1 : maps.width,
  };
}

/** Value of a tile's pixel; NaN where it was not finite. */
export function tileValue({ maps, sample }: Tiles, position: number, pixel: number): number {
  return maps.layout === "vector"
    ? valueAt(maps, mapNumber(maps, sample, 0), position)
    : valueAt(maps, mapNumber(maps, sample, position), pixel);
}

/** Whether every value of a tile is exactly zero. */
export function tileIsZero(tiles: Tiles, position: number): boolean {
  for (let pixel = 0; pixel < tiles.rows * tiles.columns; pixel++)
    if (tileValue(tiles, position, pixel) !== 0) return false;
  return true;
}

/** A tile of A and the one of B beside it; -1 where that side has none. */
export interface TilePair {
  name: number;
  partner: number | null;
  a: number;
  b: number;
  /** Of the two channels, where they were matched. */
  correlation: number | null;
}

/** A's tiles in their order, each with B's of the same number or, where they were matched, with its partner; those without one last. */
export function pairTiles(a: Tiles, b: Tiles, matching: Matching | null): TilePair[] {
  const place = new Map(b.names.map((name, position) => [name, position]));
  const partners = new Map<number, readonly [number, number]>();
  if (matching !== null)
    for (let index = 0; index < matching.channels.length; index++)
      partners.set(matching.channels[index] as number, [
        matching.partners[index] as number,
        matching.correlation[index] as number,
      ]);
  const pairs = a.names.map((name, position) => {
    const found = matching === null ? ([name, null] as const) : partners.get(name);
    const at = found === undefined ? undefined : place.get(found[0]);
    return {
      name,
      partner: at === undefined || found === undefined ? null : found[0],
      a: position,
      b: at ?? -1,
      correlation: found?.[1] ?? null,
    };
  });
  return matching === null ? pairs : pairs.sort((one, other) => Number(one.b < 0) - Number(other.b < 0));
}

function outputOf(maps: Maps): string {
  return formatShape(maps.shape.slice(1));
}

/** Why A's and B's maps cannot be laid over each other, in words; null where they can. `matched`: channels need no common number. */
export function mismatch(a: Maps, b: Maps, matched: boolean): string | null {
  const shapes = `A puts out ${outputOf(a)}, B ${outputOf(b)}`;
  if (a.layout !== b.layout) return `${shapes}: of different kinds.`;
  const sizes = a.layout !== "vector" && (a.height !== b.height || a.width !== b.width);
  if (sizes || a.pool.join() !== b.pool.join()) return `${shapes}: the maps have different sizes.`;
  if (matched || outputOf(a) === outputOf(b)) return null;
  const what = a.layout === "vector" ? "units" : "channels";
  return `${shapes}: ${what} of the same number have nothing to do with each other. Match them by correlation (key m) to compare.`;
}

/**
 * Limits of the scale that A and B share, symmetric about zero: of the whole of both runs (99.9th percentile), so that it stays in place;
 * or, where `locked` is false or they are not known, of these maps.
 */
export function sharedLimits(
  a: Maps,
  b: Maps,
  statistics: readonly (LayerStats | null)[],
  locked: boolean,
): ScaleLimits {
  const shown = Math.max(largest(a), largest(b));
  const known = statistics.map((each) => each?.abs_limit ?? 0);
  const whole = Math.max(...known);
  if (locked && whole > 0) return { low: -whole, high: whole, clips: shown > whole };
  return shown > 0 ? { low: -shown, high: shown, clips: false } : { low: -1, high: 1, clips: false };
}

function largest(maps: Maps): number {
  let found = 0;
  for (let map = 0; map < maps.low.length; map++)
    found = Math.max(found, -(maps.low[map] as number) || 0, (maps.high[map] as number) || 0);
  return found;
}

/** Limits of the difference's own scale: as far as the locked scale of A and B or, where `locked` is false, of these differences. */
export function differenceLimits(
  a: Tiles,
  b: Tiles,
  pairs: readonly TilePair[],
  shared: ScaleLimits,
  locked: boolean,
): ScaleLimits {
  let most = 0;
  for (const pair of pairs) {
    if (pair.b < 0) continue;
    for (let pixel = 0; pixel < a.rows * a.columns; pixel++) {
      const size = Math.abs(tileValue(b, pair.b, pixel) - tileValue(a, pair.a, pixel));
      if (size > most) most = size;
    }
  }
  if (locked) return { low: shared.low, high: shared.high, clips: most > shared.high };
  return most > 0 ? { low: -most, high: most, clips: false } : { low: -1, high: 1, clips: false };
}
