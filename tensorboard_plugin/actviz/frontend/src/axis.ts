// The one step axis: every plot over steps has the same left and right edge, so that one cursor runs through them all.

import { placeOf, type Spacing, stepAt } from "./spacing";

export const AXIS_LEFT = 44;
export const AXIS_RIGHT = 82;

export interface StepAxis {
  /** First and last step in view. */
  readonly first: number;
  readonly last: number;
  /** How far steps stand apart; null: by their numbers. */
  readonly spacing: Spacing | null;
  /** Plot area in CSS pixels, from the left edge of the main column. */
  readonly left: number;
  readonly right: number;
  /** CSS pixel of a step. */
  x(step: number): number;
  /** Step, not snapped, at a CSS pixel. */
  step(x: number): number;
}

/** The axis of a main column `width` CSS pixels wide, over the steps first..last. */
export function stepAxis(first: number, last: number, width: number, spacing: Spacing | null = null): StepAxis {
  const left = AXIS_LEFT;
  const right = Math.max(left + 1, width - AXIS_RIGHT);
  const from = placeOf(spacing, first);
  const to = placeOf(spacing, last);
  const scale = (right - left) / (to > from ? to - from : 1);
  return {
    first,
    last,
    spacing,
    left,
    right,
    x: (step) => left + (placeOf(spacing, step) - from) * scale,
    step: (x) => stepAt(spacing, from + (x - left) / scale),
  };
}

/** Index of the logged step nearest to `step`; -1 when there is none. `steps` ascends. */
export function nearestIndex(steps: ArrayLike<number>, step: number): number {
  let low = 0;
  let high = steps.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((steps[middle] as number) < step) low = middle + 1;
    else high = middle;
  }
  if (low > 0 && step - (steps[low - 1] as number) <= (steps[low] as number) - step) return low - 1;
  return high < 0 ? -1 : low;
}

/** [from, to) of the ascending `steps` that are within first..last. */
export function indexRange(steps: ArrayLike<number>, first: number, last: number): [from: number, to: number] {
  return [firstAtLeast(steps, first), firstAtLeast(steps, last, true)];
}

function firstAtLeast(steps: ArrayLike<number>, step: number, beyond = false): number {
  let low = 0;
  let high = steps.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const here = steps[middle] as number;
    if (here < step || (beyond && here === step)) low = middle + 1;
    else high = middle;
  }
  return low;
}
