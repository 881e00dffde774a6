// A and B of a comparison, each a run at one of its own logged steps.
import { batch, computed } from "@preact/signals";
import { nearestIndex } from "./axis";
import { following, type RunLetter, referenceStep, runA, runB, step, stepB, timelines } from "./state";

export interface Side {
  letter: RunLetter;
  run: string;
  /** One that the run has logged: the nearest to the one asked for. */
  step: number;
}

function stepsOf(run: string | null): readonly number[] {
  return run === null ? [] : (timelines.value[run]?.steps ?? []);
}

function sideOf(letter: RunLetter, run: string | null, wanted: number | null): Side | null {
  const steps = stepsOf(run);
  const index = wanted === null ? -1 : nearestIndex(steps, wanted);
  return run === null || index < 0 ? null : { letter, run, step: steps[index] as number };
}

export const sideA = computed(() => sideOf("A", runA.value, step.value));

/** Run B at its own step or, without one, at A's; with one run, that run at the reference step. */
export const sideB = computed(() => {
  if (runB.value !== null) return sideOf("B", runB.value, stepB.value ?? step.value);
  return sideOf("B", runA.value, stepB.value ?? referenceStep.value ?? stepsOf(runA.value)[0] ?? null);
});

export function chooseStepB(wanted: number): void {
  const side = sideOf("B", runB.value ?? runA.value, wanted);
  if (side !== null) stepB.value = side.step;
}

/** Moves B's own step by so many of its run's logged ones; where it had none, from where B is. */
export function moveStepB(by: number): void {
  const side = sideB.value;
  if (side === null) return;
  const steps = stepsOf(side.run);
  const here = nearestIndex(steps, side.step);
  stepB.value = steps[Math.max(0, Math.min(steps.length - 1, here + by))] as number;
}

/** B without a step of its own. */
export function clearStepB(): void {
  stepB.value = null;
}

/** Swaps A and B, runs and steps. */
export function swapSides(): void {
  const [a, b] = [sideA.value, sideB.value];
  if (a === null || b === null) return;
  batch(() => {
    following.value = false;
    if (runB.value !== null) [runA.value, runB.value] = [runB.value, runA.value];
    if (a.step === b.step) return;
    step.value = b.step;
    stepB.value = a.step;
  });
}
