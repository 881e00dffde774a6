// The part of the step axis in view. It begins and ends at a logged step, and moves along when the chosen step leaves it.
import { batch, effect } from "@preact/signals";
import { chooseStep } from "./actions";
import { indexRange, nearestIndex } from "./axis";
import { axis, laneSteps, step, zoom } from "./state";

/** Shows the logged steps within from..to, in either order; nothing happens where these are fewer than two, and all of them are no zoom. */
export function zoomTo(one: number, other: number): void {
  const steps = laneSteps.value;
  const [from, to] = indexRange(steps, Math.min(one, other), Math.max(one, other));
  if (to - from < 2) return;
  const [first, last] = [steps[from] as number, steps[to - 1] as number];
  batch(() => {
    zoom.value = to - from === steps.length ? null : [first, last];
    // The chosen step comes along, rather than draw the range back to it.
    if (step.value !== null && (step.value < first || step.value > last)) chooseStep(step.value < first ? first : last);
  });
}

export function resetZoom(): void {
  zoom.value = null;
}

/** Makes the axis show a share of what it shows, with the chosen step at its place; more than one shows more. */
export function zoomBy(share: number): void {
  const { first, last, left, right, x, step: stepOf } = axis.value;
  const middle = step.value === null ? (left + right) / 2 : Math.max(left, Math.min(right, x(step.value)));
  const steps = laneSteps.value;
  const from = Math.max(steps[0] ?? first, stepOf(middle - (middle - left) * share));
  const to = Math.min(steps[steps.length - 1] ?? last, stepOf(middle + (right - middle) * share));
  zoomTo(from, to);
}

/** The range of as many logged steps as first..last that has `wanted` in it, moved as little as that takes. */
export function movedTo(steps: ArrayLike<number>, first: number, last: number, wanted: number): [number, number] {
  if (wanted >= first && wanted <= last) return [first, last];
  const [from, to] = indexRange(steps, first, last);
  const size = Math.min(steps.length, Math.max(2, to - from));
  const here = nearestIndex(steps, wanted);
  const start = Math.max(0, Math.min(steps.length - size, wanted < first ? here : here - size + 1));
  return [steps[start] as number, steps[start + size - 1] as number];
}

/** Keeps the chosen step in view from now on. */
export function followStep(): void {
  effect(() => {
    const range = zoom.value;
    const here = step.value;
    const steps = laneSteps.value;
    if (range === null || here === null || steps.length < 2) return;
    const moved = movedTo(steps, range[0], range[1], here);
    if (moved[0] !== range[0] || moved[1] !== range[1]) zoom.value = moved;
  });
}
