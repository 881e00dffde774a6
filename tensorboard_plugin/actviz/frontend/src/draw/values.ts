// Where a layer's values lie over the steps: a column a logged step, rows on a signed log axis, exact zeros in a row of their own.
import type { StepAxis } from "../axis";
import { formatTick } from "../format";
import { FONT } from "../palette";
import type { Histograms } from "../types";

/** Bins are quarter octaves: so many a factor of two. */
const BINS_AN_OCTAVE = 4;
export const BINS_A_DECADE = BINS_AN_OCTAVE * Math.log2(10);
/** So many have rows of their own; more, where so large a share of the values that are not zero would lie below them. */
const OCTAVES = 10;
const MOST_OCTAVES = 24;
const BELOW = 0.05;
const ZERO_HEIGHT = 7;
const ZERO_GAP = 1;
const TICK_GAP = 11;
/** A neighbour is a gap away when it is so many times farther than the other one; by time, steps are never quite even. */
const GAP = 1.5;
const GAP_BY_TIME = 4;

export interface ValueScale {
  readonly height: number;
  /** Smallest and largest magnitude bin with rows of their own; smaller ones share the innermost row. */
  readonly lowest: number;
  readonly highest: number;
  readonly negative: boolean;
  readonly positive: boolean;
  /** Top and bottom of the row of exact zeros. */
  readonly zeroTop: number;
  readonly zeroBottom: number;
  /** Height of a bin's row. */
  readonly row: number;
  /** CSS pixel, from the top, of a value. */
  y(value: number): number;
  /** CSS pixel of the top of a bin's row. */
  binTop(bin: number): number;
  readonly ticks: readonly { value: number; y: number }[];
}

/** One scale for all these histograms, all steps of them, so that it stays in place; `height` in CSS pixels. */
export function valueScale(all: readonly Histograms[], height: number): ValueScale {
  let highest = 0;
  let negative = false;
  let positive = false;
  for (const { bins, shares } of all) {
    const steps = bins.length > 0 ? shares.length / bins.length : 0;
    for (let index = 0; index < bins.length; index++) {
      const bin = bins[index] as number;
      if (bin === 0 || !occurs(shares, bins.length, steps, index)) continue;
      highest = Math.max(highest, Math.abs(bin));
      if (bin < 0) negative = true;
      else positive = true;
    }
  }
  if (!negative && !positive) positive = true;
  const lowest = lowestOf(all, highest);
  const rows = highest - lowest + 1;
  const sides = (negative ? 1 : 0) + (positive ? 1 : 0);
  const row = (height - ZERO_HEIGHT - 2 * ZERO_GAP) / (rows * sides);
  const zeroTop = positive ? rows * row + ZERO_GAP : ZERO_GAP;
  const zeroBottom = zeroTop + ZERO_HEIGHT;

  const binTop = (bin: number): number => {
    const place = Math.max(0, Math.min(rows - 1, Math.abs(bin) - lowest));
    if (bin === 0) return zeroTop;
    return bin > 0 ? (rows - 1 - place) * row : zeroBottom + ZERO_GAP + place * row;
  };
  const y = (value: number): number => {
    if (value === 0) return (zeroTop + zeroBottom) / 2;
    const place = Math.max(0, Math.min(rows, binOf(Math.abs(value)) - lowest));
    return value > 0 ? (rows - place) * row : zeroBottom + ZERO_GAP + place * row;
  };
  const ticks = [{ value: 0, y: y(0) }];
  const free = (at: number) => ticks.every((tick) => Math.abs(labelY(tick.y, height) - labelY(at, height)) >= TICK_GAP);
  for (let power = 38; power >= -40; power--) {
    const value = 10 ** power;
    const bin = binOf(value);
    if (bin < lowest + 2 || bin > highest + 1) continue;
    if (positive && free(y(value))) ticks.push({ value, y: y(value) });
    if (negative && free(y(-value))) ticks.push({ value: -value, y: y(-value) });
  }
  return { height, lowest, highest, negative, positive, zeroTop, zeroBottom, row, y, binTop, ticks };
}

function lowestOf(all: readonly Histograms[], highest: number): number {
  const sums = new Map<number, number>();
  let total = 0;
  for (const { bins, shares } of all)
    for (let index = 0; index < shares.length; index++) {
      const bin = Math.abs(bins[index % bins.length] as number);
      if (bin === 0) continue;
      total += shares[index] as number;
      sums.set(bin, (sums.get(bin) ?? 0) + (shares[index] as number));
    }
  const from = (octaves: number) => Math.max(1, highest - octaves * BINS_AN_OCTAVE + 1);
  const below = (lowest: number) => [...sums].reduce((sum, [bin, share]) => sum + (bin < lowest ? share : 0), 0);
  let octaves = OCTAVES;
  while (octaves < MOST_OCTAVES && from(octaves) > 1 && below(from(octaves)) > BELOW * total) octaves++;
  return from(octaves);
}

/** Where the middle of a tick's label is, so that all of it can be seen. */
function labelY(y: number, height: number): number {
  return Math.max(6, Math.min(height - 6, y));
}

function occurs(shares: Float32Array, bins: number, steps: number, index: number): boolean {
  for (let step = 0; step < steps; step++) if ((shares[step * bins + index] as number) > 1e-5) return true;
  return false;
}

const bits = new DataView(new ArrayBuffer(4));

/** Where a magnitude stands on the scale of bin numbers, fraction included: the upper bits of its float32. */
export function binOf(magnitude: number): number {
  bits.setFloat32(0, magnitude);
  return bits.getUint32(0) / 2 ** 21;
}

/** Share at which the ink is full. */
export function fullShare(all: readonly Histograms[]): number {
  let largest = 0;
  for (const { bins, shares } of all)
    for (let index = 0; index < shares.length; index++)
      if (bins[index % bins.length] !== 0) largest = Math.max(largest, shares[index] as number);
  return Math.max(0.01, Math.min(1, largest));
}

/**
 * Left and right edge of each column: half way to its neighbours, so that columns touch; where one neighbour is much farther than the
 * other, something was not logged, and a gap stays.
 */
export function columnEdges(axis: StepAxis, steps: ArrayLike<number>): [left: Float64Array, right: Float64Array] {
  const count = steps.length;
  const left = new Float64Array(count);
  const right = new Float64Array(count);
  const gap = axis.spacing?.mode === "time" ? GAP_BY_TIME : GAP;
  const place = Float64Array.from({ length: count }, (_, index) => axis.x(steps[index] as number));
  for (let index = 0; index < count; index++) {
    const here = place[index] as number;
    const former = index > 0 ? here - (place[index - 1] as number) : Number.POSITIVE_INFINITY;
    const next = index < count - 1 ? (place[index + 1] as number) - here : Number.POSITIVE_INFINITY;
    const reach = count > 1 ? gap * Math.min(former, next) : axis.right - axis.left;
    // Whole pixels, so that no seam shows between neighbours.
    left[index] = Math.round(Math.max(axis.left, Math.min(axis.right, here - Math.min(former, reach) / 2)));
    right[index] = Math.round(Math.min(axis.right, Math.max(axis.left, here + Math.min(next, reach) / 2)));
  }
  return [left, right];
}

/** Draws the axis labels of a strip, left of the step axis, from `top` on. */
export function drawValueTicks(
  context: CanvasRenderingContext2D,
  axis: StepAxis,
  scale: ValueScale,
  ink: string,
  top = 0,
): void {
  context.font = FONT;
  context.fillStyle = ink;
  context.textAlign = "right";
  context.textBaseline = "middle";
  for (const { value, y } of scale.ticks)
    if (y >= top) context.fillText(formatTick(value), axis.left - 6, labelY(y, scale.height));
}

/** Draws the strip with its top at `top`; `full`: the share at which the ink is full. */
export function drawValues(
  context: CanvasRenderingContext2D,
  histograms: Histograms,
  axis: StepAxis,
  scale: ValueScale,
  top: number,
  lut: Uint8ClampedArray,
  full = fullShare([histograms]),
): void {
  const { bins, shares, steps } = histograms;
  const [left, right] = columnEdges(axis, steps);
  const inner = new Float64Array(2);
  for (let step = 0; step < steps.length; step++) {
    const x = left[step] as number;
    const width = (right[step] as number) - x;
    if (width <= 0) continue;
    inner.fill(0);
    for (let index = 0; index < bins.length; index++) {
      const bin = bins[index] as number;
      let share = shares[step * bins.length + index] as number;
      if (!(share > 0)) continue;
      if (bin !== 0 && Math.abs(bin) <= scale.lowest) {
        const side = bin > 0 ? 0 : 1;
        share = inner[side] = (inner[side] as number) + share;
      }
      context.fillStyle = ink(lut, bin === 0 ? share : share / full);
      if (bin === 0) context.fillRect(x, top + scale.zeroTop, width, ZERO_HEIGHT);
      else context.fillRect(x, top + scale.binTop(bin), width, scale.row + 0.3);
    }
  }
}

function ink(lut: Uint8ClampedArray, share: number): string {
  // A root, so that a share of one in a hundred is still seen.
  const index = Math.round(Math.sqrt(Math.min(1, share)) * 255) * 4;
  return `rgb(${lut[index]},${lut[index + 1]},${lut[index + 2]})`;
}
