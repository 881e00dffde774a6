// How far steps stand apart on the step axis: by their numbers, by when they were logged, or by epochs.
import { ticks } from "d3-array";
import { formatCount, formatDuration } from "./format";
import type { Timeline } from "./types";

export const AXIS_MODES = ["step", "time", "epoch"] as const;
export type AxisMode = (typeof AXIS_MODES)[number];

/** Where steps stand: in seconds, or in epochs. Linear between the known steps, and beyond them as fast as over all of them. */
export interface Spacing {
  readonly mode: AxisMode;
  /** Ascends. */
  readonly steps: ArrayLike<number>;
  /** Never descends. */
  readonly at: ArrayLike<number>;
  /** What the whole numbers are called; null: by their number. */
  readonly names: readonly string[] | null;
}

/** By wall time: seconds since the first step, where the clock went back (a restart) without that. Null where no time passed. */
export function timeSpacing({ steps, wall_times_s }: Timeline): Spacing | null {
  const at = new Float64Array(steps.length);
  for (let index = 1; index < steps.length; index++)
    at[index] =
      (at[index - 1] as number) + Math.max(0, (wall_times_s[index] as number) - (wall_times_s[index - 1] as number));
  return spacingOf("time", steps, at, null);
}

/** By marks named `epoch N`, or, without such, by all marks in turn. Null where there are fewer than two. */
export function epochSpacing({ marks }: Timeline): Spacing | null {
  const numbered = marks.flatMap(({ step, text }) => {
    const found = /^epoch\s+(\d+)/i.exec(text);
    return found ? [{ step, at: Number(found[1]) }] : [];
  });
  const used = numbered.length > 1 ? numbered : marks.map(({ step }, at) => ({ step, at }));
  // After a restart an epoch is marked once more, and the time line has both: the later one holds.
  const rising: typeof used = [];
  for (const mark of [...used].reverse()) {
    const next = rising[0];
    if (next === undefined || (mark.step < next.step && mark.at < next.at)) rising.unshift(mark);
  }
  return spacingOf(
    "epoch",
    rising.map(({ step }) => step),
    rising.map(({ at }) => at),
    used === numbered ? null : marks.map(({ text }) => text),
  );
}

function spacingOf(mode: AxisMode, steps: ArrayLike<number>, at: ArrayLike<number>, names: readonly string[] | null) {
  const last = steps.length - 1;
  return last < 1 || at[last] === at[0] ? null : { mode, steps, at, names };
}

/** Where a step stands. */
export function placeOf(spacing: Spacing | null, step: number): number {
  return spacing === null ? step : interpolate(spacing.steps, spacing.at, step);
}

/** The step that stands there, not snapped. */
export function stepAt(spacing: Spacing | null, place: number): number {
  return spacing === null ? place : interpolate(spacing.at, spacing.steps, place);
}

function interpolate(from: ArrayLike<number>, to: ArrayLike<number>, value: number): number {
  const last = from.length - 1;
  const [first, end] = [from[0] as number, from[last] as number];
  const speed = ((to[last] as number) - (to[0] as number)) / (end - first);
  if (value <= first) return (to[0] as number) + (value - first) * speed;
  if (value >= end) return (to[last] as number) + (value - end) * speed;
  let low = 0;
  let high = last;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if ((from[middle] as number) <= value) low = middle;
    else high = middle;
  }
  const [left, right] = [from[low] as number, from[high] as number];
  return (to[low] as number) + ((value - left) / (right - left)) * ((to[high] as number) - (to[low] as number));
}

const DURATIONS_S = [
  1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 432000, 604800,
];

export interface Tick {
  step: number;
  label: string;
}

/** About `count` labels for the steps first..last. */
export function axisTicks(spacing: Spacing | null, first: number, last: number, count: number): Tick[] {
  const [low, high] = [placeOf(spacing, first), placeOf(spacing, last)];
  if (spacing === null)
    return ticks(low, high, count)
      .filter(Number.isInteger)
      .map((step) => ({ step, label: formatCount(step) }));
  if (spacing.mode === "time") {
    const least = (high - low) / count;
    const every = least < 1 ? null : (DURATIONS_S.find((each) => each >= least) ?? 604800 * Math.ceil(least / 604800));
    const places =
      every === null
        ? ticks(low, high, count)
        : Array.from(
            { length: Math.floor(high / every) - Math.ceil(low / every) + 1 },
            (_, index) => (Math.ceil(low / every) + index) * every,
          );
    return places.map((place) => ({ step: stepAt(spacing, place), label: formatDuration(place) }));
  }
  const { names } = spacing;
  return ticks(low, high, count)
    .filter((place) => Number.isInteger(place) && place >= 0 && (names === null || place < names.length))
    .map((place) => ({
      step: stepAt(spacing, place),
      label: names === null ? formatCount(place) : (names[place] as string),
    }));
}
