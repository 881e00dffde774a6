// All state of the page. Views read signals and call the actions below; drawing code never reads state.
import { computed, signal } from "@preact/signals";
import { nearestIndex, stepAxis } from "./axis";
import { type AxisMode, epochSpacing, timeSpacing } from "./spacing";
import { statLabel, titled } from "./statistics";
import type { Estimator, LayerInfo, Model, RunsAnswer, Stats, Timeline } from "./types";

export const VIEWS = ["overview", "layer", "propagation", "compare", "similarity"] as const;
export type View = (typeof VIEWS)[number];
export type RunLetter = "A" | "B";
export type ScaleMode = "map" | "layer" | "locked" | "runs";
export type ColormapName = "activations" | "viridis" | "cividis" | "inferno" | "grey";
export type ChannelSort = "index" | "mean" | "change" | "zero";
/** What the Layer view shows of a layer that attends. */
export type LayerPart = "output" | "attention";
export type ValuesStyle = "heat" | "ridge";
/** What the histogram and the lines are of. */
export type DetailOf = "layer" | "channel";
/** What Overview, tree and the plots of the Layer view tell of: outputs, or the gradients of the loss with respect to them. */
export type Quantity = "activations" | "gradients";
export type Comparison = "between" | "steps";
export type Dimensions = "participation" | "effective";
export const COMPARE_MODES = ["side", "wipe", "blink", "difference"] as const;
export type CompareMode = (typeof COMPARE_MODES)[number];
export const MEASURES = ["rms", "mean", "histogram", "maps", "cka"] as const;
export type Measure = (typeof MEASURES)[number];
export type ChannelChoice = "index" | "largest" | "changed";
export type StatScale = "linear" | "log" | "symlog";
/** What the quilt's lanes show: each run's own values, or how far the others' are from those of A. */
export type Lanes = "runs" | "difference";

// What the user chose; all of it stands in the URL (url.ts).
export const view = signal<View>("overview");
export const runA = signal<string | null>(null);
export const runB = signal<string | null>(null);
/** Whose maps the Layer view shows. */
export const focus = signal<RunLetter>("A");
export const layer = signal<string | null>(null);
/** The step in view, always one that the focused run (or, in Overview, any shown run) has logged. */
export const step = signal<number | null>(null);
/** Step that the histogram is compared with; null: the first logged one. */
export const referenceStep = signal<number | null>(null);
/** Index into `Maps.samples`. */
export const sample = signal(0);
/** Index of a channel of the layer's output, as in `Maps.channels`. */
export const channel = signal<number | null>(null);
/** Slice of a volume; null: the middle one. */
export const depth = signal<number | null>(null);
export const colormap = signal<ColormapName>("activations");
export const scaleMode = signal<ScaleMode>("locked");
export const channelSort = signal<ChannelSort>("index");
/** Limits that the user gave the colour scale, instead of those of `scaleMode`; of one layer. */
export const contrast = signal<readonly [low: number, high: number] | null>(null);
/** Opacity of maps laid over their input, 0..1; 0: no input below them. */
export const overlay = signal(0);
export const valuesStyle = signal<ValuesStyle>("heat");
export const detailOf = signal<DetailOf>("layer");
export const layerPart = signal<LayerPart>("output");
/** Attention head, as in `Attention.channels`; null: the mean over the heads. */
export const head = signal<number | null>(null);
export const stat = signal("rms");
export const quantity = signal<Quantity>("activations");
export const statScale = signal<StatScale>("log");
/** Similarity: of CKA; what the second matrix compares; the column of the chosen pair; how dimensions are counted. */
export const estimator = signal<Estimator>("unbiased");
export const comparison = signal<Comparison>("between");
export const pairLayer = signal<string | null>(null);
export const dimensions = signal<Dimensions>("participation");
export const following = signal(false);
/** B's own step in the Compare view; null: the same as A's or, with one run, the reference step. */
export const stepB = signal<number | null>(null);
export const compareMode = signal<CompareMode>("side");
/** By what the Compare view ranks the layers. */
export const rankBy = signal<Measure>("rms");
/** Whether each channel of A stands beside its best partner in B, not beside the one of the same number. */
export const matchChannels = signal(false);
/** Propagation: which of a layer's channels are shown where not all fit. */
export const channelChoice = signal<ChannelChoice>("largest");
/** Propagation: positions of the samples side by side; fewer than two: `sample` alone. */
export const sideBySide = signal<readonly number[]>([]);
/** Propagation: blocks that were folded or unfolded by hand. */
export const toggledBlocks = signal<readonly string[]>([]);
/** Runs that the Overview shows besides A and B. */
export const pinned = signal<readonly string[]>([]);
export const lanes = signal<Lanes>("runs");
export const axisMode = signal<AxisMode>("step");
/** First and last step in view; null: all. */
export const zoom = signal<readonly [first: number, last: number] | null>(null);
/** Whether play begins again at the end of the range in view. */
export const looping = signal(false);
export const stepsPerSecond = signal(10);

// Passing state, not in the URL.
/** Whether what a link asked for is still to be looked up, and what of it is not in the log, in words. */
export const linked = signal(false);
export const absent = signal<readonly string[]>([]);
export const playing = signal(false);
/** Two steps, between which the pointer is drawing a range to zoom to. */
export const brush = signal<readonly [number, number] | null>(null);
/** The channels of the Layer view in the order in which its grid shows them. */
export const shownChannels = signal<readonly number[]>([]);
/** The layers that the keys up and down go to; null: all. */
export const layerStops = signal<readonly string[] | null>(null);
/** Limits of the colour scale in force; null where each map has its own. */
export const shownLimits = signal<readonly [low: number, high: number] | null>(null);
/** Attention heads in view, in order, the mean (null) first; empty where none are. */
export const shownHeads = signal<readonly (number | null)[]>([]);
export const hoverStep = signal<number | null>(null);
export const search = signal("");
export const helpShown = signal(false);
export const saveShown = signal(false);
export const dark = signal(false);
/** Inner width of the main column in CSS pixels; the step axis is made for it. */
export const mainWidth = signal(1176);

// What the server said; kept current by poll.ts.
export const runs = signal<RunsAnswer | null>(null);
export const timelines = signal<Readonly<Record<string, Timeline>>>({});
export const models = signal<Readonly<Record<string, Model>>>({});
/** The chosen statistic of the shown runs, by run. */
export const stats = signal<Readonly<Record<string, Stats>>>({});
/** Why the last poll failed, in words; null when it did not. */
export const connectionError = signal<string | null>(null);
/** What is wrong with a run's own answers, in words. */
export const runErrors = signal<Readonly<Record<string, string>>>({});

/** Whether colours are of the whole run, or of all shown ones, and not of the step in view. */
export const scaleLocked = computed(() => scaleMode.value === "locked" || scaleMode.value === "runs");
export const focusedRun = computed(() => (focus.value === "B" ? (runB.value ?? runA.value) : runA.value));
export const shownRuns = computed(() => {
  const shown: { letter: RunLetter; run: string }[] = [];
  if (runA.value !== null) shown.push({ letter: "A", run: runA.value });
  if (runB.value !== null && runB.value !== runA.value) shown.push({ letter: "B", run: runB.value });
  return shown;
});
/** All runs that the Overview has lanes of: A and B, and those pinned beside them. */
export const laneRuns = computed(() => {
  const all: { letter: RunLetter | null; run: string }[] = [...shownRuns.value];
  for (const run of pinned.value) if (!all.some((each) => each.run === run)) all.push({ letter: null, run });
  return all;
});
/** Whether there is a choice of quantity: a shown run has gradients. */
export const choosesQuantity = computed(
  () =>
    quantity.value === "gradients" ||
    laneRuns.value.some(({ run }) => models.value[run]?.layers.some(({ records }) => records?.includes("gradient"))),
);
/** What the statistics in view are of: as chosen once those of any run are there, until then as chosen before. */
const drawn = computed(() => {
  const held = laneRuns.value.flatMap(({ run }) => stats.value[run] ?? []);
  const chosen = { stat: stat.value, of: quantity.value };
  return held.some((each) => each.stat === chosen.stat && each.of === chosen.of) ? chosen : (held[0] ?? chosen);
});
export const drawnStat = computed(() => drawn.value.stat);
export const drawnQuantity = computed(() => drawn.value.of);
/** A run's statistics, where they are of what is in view. */
export function drawnStats(run: string): Stats | undefined {
  const known = stats.value[run];
  return known?.stat === drawnStat.value && known.of === drawnQuantity.value ? known : undefined;
}
/** Name of what quilt and sparklines show. */
export const shownStat = computed(() => titled(statLabel(drawnStat.value), drawnQuantity.value));
function unionOf(shown: readonly { run: string }[]): Float64Array {
  const [first] = shown;
  if (first && shown.length === 1) return Float64Array.from(timelines.value[first.run]?.steps ?? []);
  const union = new Set<number>();
  for (const { run } of shown) for (const each of timelines.value[run]?.steps ?? []) union.add(each);
  return Float64Array.from(union).sort();
}
/** Ascending union of the logged steps of A and B. */
export const loggedSteps = computed(() => unionOf(shownRuns.value));
/** Ascending union of the logged steps of all runs with a lane. */
export const laneSteps = computed(() => (pinned.value.length > 0 ? unionOf(laneRuns.value) : loggedSteps.value));
/** The steps that can be gone to: where one run's maps are shown those of that run, else those of any shown run. */
export const stepsInView = computed<ArrayLike<number>>(() => {
  if (view.value === "compare" && runA.value !== null) return timelines.value[runA.value]?.steps ?? [];
  if (view.value === "overview") return laneSteps.value;
  if ((view.value !== "layer" && view.value !== "propagation") || focusedRun.value === null) return loggedSteps.value;
  return timelines.value[focusedRun.value]?.steps ?? [];
});
/** By time or epochs, the axis goes by those of run A, or of the first run that has them. */
export const spacings = computed(() => {
  const known = laneRuns.value.flatMap(({ run }) => (timelines.value[run] ? [timelines.value[run]] : []));
  const first = <T>(of: (timeline: Timeline) => T | null) =>
    known.reduce<T | null>((found, timeline) => found ?? of(timeline), null);
  return { step: null, time: first(timeSpacing), epoch: first(epochSpacing) };
});
/** The one step axis: every plot over steps has it. */
export const axis = computed(() => {
  const steps = laneSteps.value;
  const [first, last] = zoom.value ?? [steps[0] ?? 0, steps[steps.length - 1] ?? 1];
  return stepAxis(first, last, mainWidth.value, spacings.value[axisMode.value]);
});
/** The step whose values are told: the logged one nearest to the pointer, or the chosen one. */
export const toldStep = computed(() => {
  const steps = stepsInView.value;
  const index = hoverStep.value === null ? -1 : nearestIndex(steps, hoverStep.value);
  return index < 0 ? step.value : (steps[index] as number);
});
/** Layers of the shown runs in execution order: those of A, then those that only another one has. */
export const layers = computed<LayerInfo[]>(() => {
  const found = new Map<string, LayerInfo>();
  for (const { run } of laneRuns.value)
    for (const info of models.value[run]?.layers ?? []) if (!found.has(info.name)) found.set(info.name, info);
  return [...found.values()];
});
export const layerInfo = computed(() => layers.value.find((info) => info.name === layer.value) ?? null);
/** Name of the model that the chosen layer is of; empty where it has none. */
const modelInView = computed(() => (layerInfo.value ?? layers.value[0])?.model ?? "");
/** Name of the model that a run's layer is of; empty where it has none. */
export function modelOf(run: string, name: string | null): string {
  return models.value[run]?.layers.find((info) => info.name === name)?.model ?? "";
}
/** Name of the model of a run that is in view: the chosen layer's, or where the run has none of that name, its first one. */
export function modelIn(run: string | null): string {
  const known = models.value[run ?? ""]?.layers ?? [];
  const has = known.some((info) => (info.model ?? "") === modelInView.value);
  return has ? modelInView.value : (known[0]?.model ?? "");
}
/** The options that the newest `watch` of the model in view was given. */
export function optionsIn(run: string | null): Record<string, unknown> {
  const name = modelIn(run);
  return models.value[run ?? ""]?.models.find((each) => each.name === name)?.session ?? {};
}
/** A run's layers of the model in view, in execution order. */
export function layersInView(run: string | null): LayerInfo[] {
  const name = modelIn(run);
  return (models.value[run ?? ""]?.layers ?? []).filter((info) => (info.model ?? "") === name);
}
