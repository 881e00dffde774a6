// What the user can do; each changes the chosen state in state.ts.
import { batch } from "@preact/signals";
import { nearestIndex } from "./axis";
import { channelCount } from "./rows";
import { chooseStepB } from "./sides";
import {
  channel,
  contrast,
  focus,
  following,
  head,
  layer,
  layerStops,
  layers,
  overlay,
  playing,
  referenceStep,
  runA,
  runB,
  runs,
  shownChannels,
  shownHeads,
  shownLimits,
  step,
  stepsInView,
  view,
} from "./state";

/** Goes to the logged step nearest to `wanted`. */
export function goToStep(wanted: number): void {
  const steps = stepsInView.value;
  const index = nearestIndex(steps, wanted);
  if (index >= 0) step.value = steps[index] as number;
}

/** The user chose a step: no longer the newest one by itself. */
export function chooseStep(wanted: number): void {
  following.value = false;
  goToStep(wanted);
}

export function moveStep(by: number): void {
  const steps = stepsInView.value;
  if (steps.length === 0) return;
  following.value = false;
  const here = nearestIndex(steps, step.value ?? (steps[0] as number));
  step.value = steps[Math.max(0, Math.min(steps.length - 1, here + by))] as number;
}

export function firstStep(): void {
  moveStep(Number.NEGATIVE_INFINITY);
}

export function lastStep(): void {
  moveStep(Number.POSITIVE_INFINITY);
}

export function moveLayer(by: number): void {
  const names = layerStops.value ?? layers.value.map((info) => info.name);
  if (names.length === 0) return;
  const here = names.indexOf(layer.value ?? "");
  chooseLayer(names[Math.max(0, Math.min(names.length - 1, here + by))] as string);
}

export function chooseLayer(name: string): void {
  if (layer.value === name) return;
  batch(() => {
    // A channel goes on from convolution to ReLU to pooling, where there are as many.
    const countOf = (of: string | null) => channelCount(layers.value.find((info) => info.name === of));
    if (countOf(name) === null || countOf(name) !== countOf(layer.value)) channel.value = null;
    layer.value = name;
    contrast.value = null;
    head.value = null;
  });
}

/** Moves on to another channel, or to another attention head where heads are shown. */
export function moveChannel(by: number): void {
  const heads = shownHeads.value;
  if (heads.length > 0) {
    head.value = heads[(Math.max(0, heads.indexOf(head.value)) + by + heads.length) % heads.length] ?? null;
    return;
  }
  const channels = shownChannels.value;
  if (channels.length === 0) return;
  const here = channel.value === null ? 0 : channels.indexOf(channel.value);
  channel.value = channels[(here + by + channels.length) % channels.length] as number;
}

/** Stretches the colour scale over `factor` times its range. */
export function stretchContrast(factor: number): void {
  if (shownLimits.value === null) return;
  const [low, high] = shownLimits.value;
  contrast.value = low === -high ? [low * factor, high * factor] : [low, low + (high - low) * factor];
}

export function resetContrast(): void {
  contrast.value = null;
}

const OPACITY = 0.6;

/** Lays the maps over their input, or no longer does. */
export function toggleOverlay(): void {
  overlay.value = overlay.value > 0 ? 0 : OPACITY;
}

export function chooseRun(letter: "A" | "B", run: string | null): void {
  batch(() => {
    if (letter === "A") {
      if (run === runB.value) runB.value = runA.value;
      runA.value = run;
    } else {
      runB.value = run === runA.value ? null : run;
    }
    if (runB.value === null) focus.value = "A";
    if (step.value !== null) goToStep(step.value);
  });
}

export function swapRuns(): void {
  if (runB.value === null) return;
  batch(() => {
    [runA.value, runB.value] = [runB.value, runA.value];
  });
}

export function setFocus(letter: "A" | "B"): void {
  batch(() => {
    focus.value = letter;
    if (step.value !== null) goToStep(step.value);
  });
}

/** The step that what is in view is compared with: B's in the Compare view, else the reference step. */
export function chooseReference(wanted: number): void {
  if (view.value === "compare") {
    chooseStepB(wanted);
    return;
  }
  const steps = stepsInView.value;
  const index = nearestIndex(steps, wanted);
  if (index >= 0) referenceStep.value = steps[index] as number;
}

export function togglePlay(): void {
  const steps = stepsInView.value;
  if (steps.length === 0) return;
  if (!playing.value && step.value === steps[steps.length - 1]) step.value = steps[0] as number;
  following.value = false;
  playing.value = !playing.value;
}

export function toggleFollow(): void {
  following.value = !following.value;
  if (!following.value) return;
  playing.value = false;
  const steps = stepsInView.value;
  if (steps.length > 0) step.value = steps[steps.length - 1] as number;
}

/** Fills in what neither the URL nor the user chose, and lets go of what is no longer there. */
export function settle(): void {
  const names = runs.value?.runs.map((info) => info.run) ?? [];
  if (names.length === 0) return;
  batch(() => {
    if (runA.value === null || !names.includes(runA.value)) {
      runA.value = names[0] as string;
      if (runB.value === null && names.length > 1 && names.length <= 4) runB.value = names[1] as string;
    }
    if (runB.value !== null && (!names.includes(runB.value) || runB.value === runA.value)) runB.value = null;
    if (runB.value === null) focus.value = "A";
    const known = layers.value;
    if (known.length > 0 && !known.some((info) => info.name === layer.value)) layer.value = known[0]?.name ?? null;
    const steps = stepsInView.value;
    if (steps.length === 0) return;
    if (following.value || step.value === null) step.value = steps[steps.length - 1] as number;
    else if (steps[nearestIndex(steps, step.value)] !== step.value) goToStep(step.value);
  });
}

/** Opens a layer's own view. */
export function openLayer(name: string): void {
  chooseLayer(name);
  view.value = "layer";
}
