// The quilt: a lane a layer and run, a column a logged step, coloured by one statistic.
import { median } from "d3-array";
import { indexRange, type StepAxis } from "../axis";
import type { Palette } from "../palette";
import type { Stats, StepColumns } from "../types";
import { onScale, type StatDomain } from "./scale";
import { dots, hatch } from "./texture";
import { columnEdges } from "./values";

export type CellState = "value" | "some nonfinite" | "nonfinite" | "zero" | "absent";

/** What one lane shows, a cell a column; `from` is the entry of the statistic that each cell stands for. */
export interface Lane {
  left: Float64Array;
  width: Float64Array;
  value: Float32Array;
  state: Uint8Array;
  from: Int32Array;
}

export const STATES: readonly CellState[] = ["value", "some nonfinite", "nonfinite", "zero", "absent"];

function stateOf(value: number, zero: number, nonfinite: number): number {
  if (Number.isNaN(nonfinite)) return 4;
  if (nonfinite >= 1) return 2;
  if (zero >= 1) return 3;
  if (nonfinite > 0) return 1;
  return Number.isNaN(value) ? 4 : 0; // not known, or without a meaning for this layer
}

/** The entries of a statistic that are in view, from..to - 1, and the left and right edge of each entry in whole CSS pixels. */
export interface Edges {
  from: number;
  to: number;
  left: Float64Array;
  right: Float64Array;
  /** Right end of the axis. */
  end: number;
}

export function edgesOf(axis: StepAxis, { steps, columns }: Pick<Stats, "steps" | "columns">): Edges {
  if (columns === undefined) {
    const [from, to] = indexRange(steps, axis.first, axis.last);
    const [left, right] = columnEdges(axis, steps);
    return { from, to, left, right, end: axis.right };
  }
  const [from] = indexRange(columns.last, axis.first, axis.last);
  const [, to] = indexRange(columns.first, axis.first, axis.last);
  return { from, to, ...edgesOfColumns(axis, columns), end: axis.right };
}

/** Columns of many steps touch, unless the gap between them is wider than those within. */
function edgesOfColumns(axis: StepAxis, { first, last, count }: StepColumns): Pick<Edges, "left" | "right"> {
  const left = new Float64Array(first.length);
  const right = new Float64Array(first.length);
  const within = (index: number) => {
    const number = count[index] ?? 0;
    return number > 1 ? ((last[index] as number) - (first[index] as number)) / (number - 1) : 1;
  };
  const pixel = (step: number) => Math.round(Math.max(axis.left, Math.min(axis.right, axis.x(step))));
  for (let index = 0; index < first.length; index++) {
    const begin = first[index] as number;
    const end = last[index] as number;
    const reach = 1.5 * Math.max(within(index - 1), within(index), within(index + 1));
    const before = index > 0 ? begin - (last[index - 1] as number) : 0;
    const after = index < first.length - 1 ? (first[index + 1] as number) - end : 0;
    left[index] = pixel(begin - Math.min(before, reach) / 2);
    right[index] = pixel(end + Math.min(after, reach) / 2);
  }
  return { left, right };
}

/**
 * The cells of a row. Where steps are closer than a pixel, a cell shows the value farthest from the row's median, and what is not finite
 * wins, so that an extreme never vanishes.
 */
export function laneOf(
  { from, to, left, right, end }: Edges,
  values: Float32Array,
  zero: Float32Array,
  nonfinite: Float32Array,
): Lane {
  const middle = median(values) ?? 0;
  const size = to - from;
  const lane: Lane = {
    left: new Float64Array(size),
    width: new Float64Array(size),
    value: new Float32Array(size),
    state: new Uint8Array(size),
    from: new Int32Array(size),
  };
  let count = 0;
  for (let index = from; index < to; index++) {
    const value = values[index] ?? Number.NaN;
    const state = stateOf(value, zero[index] ?? Number.NaN, nonfinite[index] ?? Number.NaN);
    const x = Math.min(left[index] as number, end - 1);
    const last = count - 1;
    const joins = last >= 0 && x <= (lane.left[last] as number);
    const cell = joins ? last : count++;
    if (!joins) lane.left[cell] = x;
    lane.width[cell] = Math.max(1, (right[index] as number) - (lane.left[cell] as number));
    if (joins && !stronger(state, value, lane.state[cell] as number, lane.value[cell] as number, middle)) continue;
    lane.value[cell] = value;
    lane.state[cell] = state;
    lane.from[cell] = index;
  }
  return {
    left: lane.left.subarray(0, count),
    width: lane.width.subarray(0, count),
    value: lane.value.subarray(0, count),
    state: lane.state.subarray(0, count),
    from: lane.from.subarray(0, count),
  };
}

const RANK = [1, 3, 4, 2, 0]; // by the index of STATES

function stronger(state: number, value: number, otherState: number, other: number, middle: number): boolean {
  const [rank, otherRank] = [RANK[state] as number, RANK[otherState] as number];
  if (rank !== otherRank) return rank > otherRank;
  return Math.abs(value - middle) > Math.abs(other - middle);
}

/** Narrower than this, a cell that is not finite is drawn as wide as that, and in full colour: no hatch could be seen in it. */
const LEAST_BAD = 3;
const LEAST_HATCH = 6;

/** Draws one lane. */
export function drawLane(
  context: CanvasRenderingContext2D,
  lane: Lane,
  domain: StatDomain,
  top: number,
  height: number,
  lut: Uint8ClampedArray,
  palette: Palette,
): void {
  const zero = dots(context, palette.ink3, palette.panel);
  for (let index = 0; index < lane.left.length; index++) {
    const state = lane.state[index] as number;
    if (state === 4 || state === 2) continue;
    const place = onScale(domain, lane.value[index] as number);
    const at = Math.round(place * 255) * 4;
    const colour = `rgb(${lut[at]},${lut[at + 1]},${lut[at + 2]})`;
    if (state !== 3) context.fillStyle = colour;
    // Where the statistic is large because all is zero, as the share of zeros is, its colour says so too.
    else context.fillStyle = place > 0.5 ? dots(context, palette.bg, colour) : zero;
    context.fillRect(lane.left[index] as number, top, (lane.width[index] as number) + 0.2, height);
  }
  drawNonfinite(context, lane, top, height, palette);
}

/** What is not finite, over all else. Cells that touch are drawn as one, so that their hatch is seen. */
function drawNonfinite(
  context: CanvasRenderingContext2D,
  { left, width, state }: Lane,
  top: number,
  height: number,
  palette: Palette,
): void {
  const nan = hatch(context, palette.bad, palette.bg);
  for (let index = 0; index < left.length; index++) {
    const here = state[index] as number;
    if (here !== 1 && here !== 2) continue;
    const x = left[index] as number;
    let end = x + (width[index] as number);
    while (index + 1 < left.length && state[index + 1] === here && (left[index + 1] as number) <= end) {
      index++;
      end = (left[index] as number) + (width[index] as number);
    }
    const more = Math.max(0, LEAST_BAD - (end - x)) / 2;
    context.fillStyle = end - x < LEAST_HATCH ? palette.bad : nan;
    context.fillRect(x - more, top, end - x + 2 * more, here === 1 ? 4 : height);
  }
}
