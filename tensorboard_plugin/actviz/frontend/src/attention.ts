// Attention weights: which place belongs to a layer, values, and a reduction for long sequences. Pure.
import { mapNumber, valueAt } from "./maps";
import type { Attention } from "./types";

/** So many queries and keys a side are drawn at most; beyond, a cell shows the largest of several weights. */
export const MOST_CELLS = 128;

const SEPARATORS = [".", "/", "[", ":"];

/** The places of attention that belong to a layer: its own, and those inside it or that it is a part of. */
export function placesOf(layer: string, places: readonly string[]): string[] {
  const inside = (name: string, outer: string) => SEPARATORS.some((mark) => name.startsWith(outer + mark));
  return places.filter((place) => place === layer || inside(place, layer) || inside(layer, place));
}

/** Weights [queries, keys] of one head in one sample, or their mean over all kept heads; NaN where one is not finite. */
export function weightsOf(attention: Attention, sample: number, position: number | null): Float32Array {
  const size = attention.height * attention.width;
  const weights = new Float32Array(size);
  const positions = position === null ? attention.channels.map((_, each) => each) : [position];
  for (const each of positions) {
    const map = mapNumber(attention, sample, each);
    for (let pixel = 0; pixel < size; pixel++)
      weights[pixel] = (weights[pixel] as number) + valueAt(attention, map, pixel) / positions.length;
  }
  return weights;
}

export interface Reduced {
  values: Float32Array;
  rows: number;
  columns: number;
  /** So many queries and keys share a cell. */
  factors: readonly [queries: number, keys: number];
}

/** The largest weight of each block, with at most `most` blocks a side; NaN only where a block has no other. */
export function maxPooled(weights: Float32Array, rows: number, columns: number, most = MOST_CELLS): Reduced {
  const [high, wide] = [Math.ceil(rows / most), Math.ceil(columns / most)];
  if (high === 1 && wide === 1) return { values: weights, rows, columns, factors: [1, 1] };
  const [fewerRows, fewerColumns] = [Math.ceil(rows / high), Math.ceil(columns / wide)];
  const values = new Float32Array(fewerRows * fewerColumns).fill(Number.NaN);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) {
      const cell = Math.floor(row / high) * fewerColumns + Math.floor(column / wide);
      const value = weights[row * columns + column] as number;
      if (!((values[cell] as number) >= value) && !Number.isNaN(value)) values[cell] = value;
    }
  return { values, rows: fewerRows, columns: fewerColumns, factors: [high, wide] };
}

/** The tokens from the n-th cell of an axis on, where a cell holds `several` of them; null where tokens are not known. */
export function tokenOf(
  tokens: readonly string[] | null,
  length: number,
  index: number,
  several: number,
): string | null {
  if (tokens === null || tokens.length !== length) return null;
  const first = tokens[index * several];
  return first === undefined ? null : visible(first) + (several > 1 ? "…" : "");
}

/** White space made visible. */
export function visible(token: string): string {
  return token.replaceAll("\n", "⏎").replaceAll("\t", "⇥").replaceAll(" ", "␣");
}
