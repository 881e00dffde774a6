// The quilt: a lane a layer and run, a column a logged step, coloured by one statistic.
import type { StepAxis } from "../axis";
import type { Palette } from "../palette";
import { isFraction } from "../statistics";
import { dots, hatch } from "./texture";
import { columnEdges } from "./values";

export type CellState = "value" | "some nonfinite" | "nonfinite" | "zero" | "absent";

/** What one lane shows, a cell a column; `from` is the logged step that each cell stands for. */
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
  return Number.isNaN(value) ? 2 : 0;
}

/**
 * The cells of a row. Where steps are closer than a pixel, a cell shows the value farthest from the row's median, and what is not finite
 * wins, so that an extreme never vanishes.
 */
export function laneOf(
  axis: StepAxis,
  steps: ArrayLike<number>,
  values: Float32Array,
  zero: Float32Array,
  nonfinite: Float32Array,
): Lane {
  const [left, right] = columnEdges(axis, steps);
  const middle = median(values);
  const lane: Lane = {
    left: new Float64Array(steps.length),
    width: new Float64Array(steps.length),
    value: new Float32Array(steps.length),
    state: new Uint8Array(steps.length),
    from: new Int32Array(steps.length),
  };
  let count = 0;
  for (let index = 0; index < steps.length; index++) {
    const state = stateOf(values[index] ?? Number.NaN, zero[index] ?? Number.NaN, nonfinite[index] ?? Number.NaN);
    const value = values[index] ?? Number.NaN;
    const x = left[index] as number;
    const last = count - 1;
    const joins = last >= 0 && x < Math.floor(lane.left[last] as number) + 1 && x - (lane.left[last] as number) < 1;
    if (joins) {
      lane.width[last] = (right[index] as number) - (lane.left[last] as number);
      if (!stronger(state, value, lane.state[last] as number, lane.value[last] as number, middle)) continue;
      lane.value[last] = value;
      lane.state[last] = state;
      lane.from[last] = index;
    } else {
      lane.left[count] = x;
      lane.width[count] = (right[index] as number) - x;
      lane.value[count] = value;
      lane.state[count] = state;
      lane.from[count] = index;
      count++;
    }
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

function median(values: Float32Array): number {
  const finite = values.filter((value) => !Number.isNaN(value)).sort();
  return finite.length > 0 ? (finite[finite.length >> 1] as number) : 0;
}

/** A statistic's colour scale: from `low` to `high`, linear or logarithmic. */
export interface StatDomain {
  low: number;
  high: number;
  log: boolean;
}

/** One domain for all values, of the whole runs: it never moves with the step in view. */
export function statDomain(all: readonly Float32Array[], stat: string, log: boolean): StatDomain {
  if (isFraction(stat)) return { low: 0, high: 1, log: false };
  const finite: number[] = [];
  for (const values of all) for (const value of values) if (Number.isFinite(value)) finite.push(value);
  finite.sort((one, other) => one - other);
  if (finite.length === 0) return { low: 0, high: 1, log: false };
  const at = (share: number) => finite[Math.round((finite.length - 1) * share)] as number;
  const high = at(0.999);
  const positive = finite.find((value) => value > 0);
  if (log && (finite[0] as number) >= 0 && positive !== undefined && high > 0)
    return { low: Math.max(Math.min(positive, high / 2), high / 1e4), high, log: true };
  const low = at(0.001);
  return { low, high: high > low ? high : low + 1, log: false };
}

/** Place of a value on the scale, 0 to 1. */
export function onScale(domain: StatDomain, value: number): number {
  const { low, high, log } = domain;
  const at = log ? Math.log(Math.max(value, low) / low) / Math.log(high / low) : (value - low) / (high - low);
  return Math.max(0, Math.min(1, at));
}

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
  const nan = hatch(context, palette.bad, palette.bg);
  const zero = dots(context, palette.ink3, palette.panel);
  for (let index = 0; index < lane.left.length; index++) {
    const x = lane.left[index] as number;
    const width = lane.width[index] as number;
    const state = lane.state[index] as number;
    if (state === 4 || width <= 0) continue;
    if (state === 2) context.fillStyle = nan;
    else if (state === 3) context.fillStyle = zero;
    else {
      const at = Math.round(onScale(domain, lane.value[index] as number) * 255) * 4;
      context.fillStyle = `rgb(${lut[at]},${lut[at + 1]},${lut[at + 2]})`;
    }
    context.fillRect(x, top, width + 0.2, height);
    if (state === 1) {
      context.fillStyle = nan;
      context.fillRect(x, top, width + 0.2, 4);
    }
  }
}
