// What the user can do; each changes the chosen state in state.ts.
import { batch } from "@preact/signals";
import { nearestIndex } from "./axis";
import { formatCount } from "./format";
import { channelCount, rows } from "./rows";
import { chooseStepB, clearStepB } from "./sides";
import {
  absent,
  channel,
  contrast,
  focus,
  following,
  head,
  layer,
  layerStops,
  layers,
  linked,
  looping,
  overlay,
  pinned,
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
  zoom,
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

/** To the next layer, or the former one, that has a row. */
export function moveLayer(by: number): void {
  const all = layers.value.map((info) => info.name);
  const inTree = () => rows.value.flatMap((row) => (row.kind === "layer" ? [row.info.name] : []));
  const shown = new Set(layerStops.value ?? inTree());
  const here = all.indexOf(layer.value ?? "");
  const beyond = (by > 0 ? all.slice(here + 1) : all.slice(0, Math.max(0, here)).reverse()).filter((name) =>
    shown.has(name),
  );
  const next = beyond[Math.min(beyond.length, Math.abs(by)) - 1];
  if (next !== undefined) chooseLayer(next);
}

export function chooseLayer(name: string): void {
  if (layer.value === name) return;
  batch(() => {
    // A channel goes on from layer to layer, as from convolution to ReLU to pooling, while there are so many.
    const count = channelCount(layers.value.find((info) => info.name === name));
    if (count !== null && channel.value !== null && channel.value >= count) channel.value = null;
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

/** So many runs have lanes at most. */
export const MOST_RUNS = 6;

/** Shows a run beside A and B, or no longer. */
export function togglePinned(run: string): void {
  const others = pinned.value.filter((each) => each !== run);
  if (others.length < pinned.value.length) pinned.value = others;
  else if (others.length < MOST_RUNS - 2) pinned.value = [...others, run];
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

/** The reference is the first logged step again; in the Compare view, B's step is A's again. */
export function clearReference(): void {
  if (view.value === "compare") clearStepB();
  else referenceStep.value = null;
}

/** The next step of a play: at the end of the range in view it begins again, or at the last step it stops. */
export function playOn(): void {
  if (!playing.value) return; // stopped; whoever calls this hears of it at the next frame only
  const steps = stepsInView.value;
  const end = looping.value && zoom.value ? zoom.value[1] : Number.POSITIVE_INFINITY;
  const here = nearestIndex(steps, step.value ?? 0);
  const next = steps[here + 1];
  if (next !== undefined && next <= end) step.value = next;
  else if (looping.value) goToStep(zoom.value?.[0] ?? (steps[0] as number));
  else playing.value = false;
  if (!looping.value && step.value === steps[steps.length - 1]) playing.value = false;
}

/** Plays the range in view once, from its beginning. */
export function playFromStart(): void {
  following.value = false;
  looping.value = false;
  goToStep(zoom.value?.[0] ?? stepsInView.value[0] ?? 0);
  playing.value = true;
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

/** Fills in what neither the URL nor the user chose, and lets go of what is not there; what a link asked for in vain is told, once all was `read`. */
export function settle(read: boolean): void {
  const names = runs.value?.runs.map((info) => info.run) ?? [];
  const awaited = linked.value && !(read && runs.value?.ready); // what a link asks for may yet come
  if (names.length === 0 || (awaited && runA.value !== null && !names.includes(runA.value))) return;
  batch(() => {
    if (linked.value && !awaited) tellAbsent(names);
    if (runA.value === null || !names.includes(runA.value)) {
      runA.value = names[0] as string;
      if (runB.value === null && names.length > 1 && names.length <= 4) runB.value = names[1] as string;
    }
    const gone = (run: string) => !awaited && !names.includes(run);
    if (pinned.value.some(gone)) pinned.value = pinned.value.filter((run) => !gone(run));
    if (runB.value !== null && (gone(runB.value) || runB.value === runA.value)) runB.value = null;
    if (runB.value === null) focus.value = "A";
    const known = layers.value;
    const absentLayer = known.length > 0 && !known.some((info) => info.name === layer.value);
    if (absentLayer && !(awaited && layer.value !== null)) layer.value = known[0]?.name ?? null;
    const steps = stepsInView.value;
    if (steps.length === 0) return;
    if (following.value || step.value === null) step.value = steps[steps.length - 1] as number;
    else if (!awaited && steps[nearestIndex(steps, step.value)] !== step.value) goToStep(step.value);
  });
}

function tellAbsent(names: readonly string[]): void {
  const told = [...absent.value];
  const tell = (words: string) => {
    if (!told.includes(words)) told.push(words);
  };
  for (const run of [runA.value, runB.value]) if (run !== null && !names.includes(run)) tell(`run “${run}”`);
  const known = layers.value;
  if (known.length > 0 && layer.value !== null && !known.some((info) => info.name === layer.value))
    tell(`layer “${layer.value}”`);
  const steps = stepsInView.value;
  if (steps.length > 0 && step.value !== null && !following.value) {
    const near = steps[nearestIndex(steps, step.value)] as number;
    if (near !== step.value) tell(`step ${formatCount(step.value)}, the nearest logged one is ${formatCount(near)}`);
  }
  absent.value = told;
  linked.value = known.length === 0 || steps.length === 0;
}

/** Opens a layer's own view. */
export function openLayer(name: string): void {
  chooseLayer(name);
  view.value = "layer";
}
