// What the Layer view shows, fetched: maps of the step in view, and the layer's records over all steps.
import { useMemo } from "preact/hooks";
import { fetchAttention, fetchChannels, fetchHeads, fetchHistograms, fetchInputs, fetchLayer } from "../../api";
import { placesOf } from "../../attention";
import { nearestIndex } from "../../axis";
import { type MapsKey, mapsCache } from "../../cache";
import { useFetched } from "../../components/frame";
import { partOf } from "../../depths";
import { unitedLimits } from "../../maps";
import {
  focusedRun,
  layer,
  modelOf,
  models,
  type Quantity,
  referenceStep,
  scaleMode,
  shownRuns,
  step,
  stepsInView,
  timelines,
} from "../../state";
import { indexOfStep } from "../../stats";
import type { Attention, Channels, Heads, Histograms, Inputs, LayerStats, Maps } from "../../types";
import { useAwaited } from "../awaited";

/** So many steps are fetched ahead in the direction of movement, and so many behind. */
const AHEAD = 10;
const BEHIND = 2;

/** The maps' key of a logged step; null when the run did not log it. */
export function keyOf(run: string | null, name: string | null, at: number | null, part = ""): MapsKey | null {
  const timeline = run === null ? undefined : timelines.value[run];
  if (run === null || name === null || at === null || timeline === undefined) return null;
  const index = indexOfStep(timeline.steps, at);
  return index < 0 ? null : { run, layer: name, part, step: at, wallTime_s: timeline.wall_times_s[index] as number };
}

function sameKey(one: MapsKey, other: MapsKey): boolean {
  return (
    one.run === other.run &&
    one.layer === other.layer &&
    one.part === other.part &&
    one.step === other.step &&
    one.wallTime_s === other.wallTime_s
  );
}

export interface ShownMaps {
  maps: Maps;
  /** What the maps are of: while another step is awaited, still the former one. */
  key: MapsKey;
}

export interface MapsState {
  shown: ShownMaps | null;
  /** The step that is awaited, once that has taken long enough to say so. */
  waitingFor: number | null;
  /** Why there are none. */
  error: string | null;
}

/** The maps of the step in view. The former step's stay, under their own step, until they are there; another layer's never do. */
export function useMaps(): MapsState {
  const wanted = keyOf(focusedRun.value, layer.value, step.value, partOf(layer.value));
  const name = wanted && JSON.stringify(wanted);
  const { last, error, late } = useAwaited<ShownMaps>(
    name,
    async () => ({ maps: await mapsCache.get(wanted as MapsKey), key: wanted as MapsKey }),
    ({ key }) => prefetch(key),
  );
  if (wanted === null)
    return { shown: null, waitingFor: null, error: step.value === null ? null : `not logged at step ${step.value}` };
  const cached = mapsCache.peek(wanted);
  if (cached !== undefined) return { shown: { maps: cached, key: wanted }, waitingFor: null, error: null };
  if (error !== null) return { shown: null, waitingFor: null, error };
  const shown = last?.data ?? null;
  const former = shown !== null && shown.key.run === wanted.run && shown.key.layer === wanted.layer ? shown : null;
  return { shown: former, waitingFor: late ? wanted.step : null, error: null };
}

let lastIndex = -1;
let fetching = false;

/** Fetches round a step, one request at a time; again only once half of what lies ahead was used up. */
function prefetch({ run, layer: name, part, step: at }: MapsKey): void {
  const steps = stepsInView.value;
  const here = indexOfStep(steps, at);
  const forwards = here >= lastIndex;
  lastIndex = here;
  if (fetching || here < 0) return;
  const near = (from: number, to: number) =>
    Array.from({ length: Math.max(0, to - from + 1) }, (_, index) =>
      keyOf(run, name, steps[from + index] ?? null, part),
    ).filter((key): key is MapsKey => key !== null);
  const half = AHEAD / 2;
  const soon = forwards ? near(here - 1, here + half) : near(here - half, here + 1);
  if (soon.every((key) => mapsCache.has(key))) return;
  fetching = true;
  const around = forwards ? near(here - BEHIND, here + AHEAD) : near(here - AHEAD, here + BEHIND);
  void mapsCache.fetchAhead(around).finally(() => {
    fetching = false;
  });
}

export interface LayerHistory {
  run: string;
  layer: string;
  of: Quantity;
  statistics: LayerStats;
  histograms: Histograms;
  channels: Channels;
}

/** The layer's records over all steps; those of another layer, run or quantity are never returned. */
export function useHistory(of: Quantity, wanted = true): { history: LayerHistory | null; error: string | null } {
  const run = focusedRun.value;
  const name = layer.value;
  const revision = run === null ? undefined : timelines.value[run]?.revision;
  const known = wanted && run !== null && name !== null && revision !== undefined;
  const key = known ? JSON.stringify([run, name, of, revision]) : null;
  const {
    data,
    error,
    key: answered,
  } = useFetched<LayerHistory>(key, async (signal) => {
    const [statistics, histograms, channels] = await Promise.all([
      fetchLayer(run as string, name as string, signal, { of }),
      fetchHistograms(run as string, name as string, signal, { of }),
      fetchChannels(run as string, name as string, signal, { of }),
    ]);
    return { run: run as string, layer: name as string, of, statistics, histograms, channels };
  });
  const history = data !== null && data.run === run && data.layer === name && data.of === of ? data : null;
  if (of === "gradients" && history?.histograms.steps.length === 0)
    return { history: null, error: `Run ${run} logged no gradients of ${name}: watch(..., gradients=True) does.` };
  return { history, error: error !== null && answered === key ? error.message : null };
}

/** The maps of the reference step, for change; null until they are there, or without a use for them. */
export function useReference(key: MapsKey | null): ShownMaps | null {
  const at = referenceStepOf(key?.run ?? null);
  const wanted = key === null || at === null ? null : keyOf(key.run, key.layer, at, key.part);
  const { data } = useFetched<ShownMaps>(wanted && JSON.stringify(wanted), async () => ({
    maps: await mapsCache.get(wanted as MapsKey),
    key: wanted as MapsKey,
  }));
  return data !== null && wanted !== null && sameKey(data.key, wanted) ? data : null;
}

/** The logged step of a run that is nearest to the chosen reference; the first one where none is chosen. */
export function referenceStepOf(run: string | null): number | null {
  const steps = run === null ? undefined : timelines.value[run]?.steps;
  if (steps === undefined || steps.length === 0) return null;
  return steps[referenceStep.value === null ? 0 : nearestIndex(steps, referenceStep.value)] ?? null;
}

/** A layer's statistics with the limits of the colour scale of all shown runs; null while those are awaited. */
export function useScaleStatistics(statistics: LayerStats | null): LayerStats | null {
  const runs = scaleMode.value === "runs" && statistics ? shownRuns.value.map(({ run }) => run) : [];
  const others = runs.filter((run) => run !== statistics?.run && timelines.value[run] !== undefined);
  const name = statistics?.layer ?? "";
  const key =
    others.length === 0 ? null : JSON.stringify([name, ...others.map((run) => [run, timelines.value[run]?.revision])]);
  const { data, key: answered } = useFetched<LayerStats[]>(key, async (signal) =>
    // A run without this layer has no say.
    (await Promise.all(others.map((run) => fetchLayer(run, name, signal).catch(() => null)))).filter(
      (each) => each !== null,
    ),
  );
  return useMemo(() => {
    if (statistics === null || key === null) return statistics;
    if (data === null || answered !== key) return null;
    return { ...statistics, ...unitedLimits([statistics, ...data]) };
  }, [statistics, key, data, answered]);
}

export interface ShownAttention {
  attention: Attention;
  run: string;
  /** The place, as `model` lists it. */
  layer: string;
  step: number;
}

/** The place whose attention belongs to the chosen layer; null where none does. */
export function usePlace(): string | null {
  const places = focusedRun.value === null ? undefined : models.value[focusedRun.value]?.attention;
  return layer.value === null || places === undefined ? null : (placesOf(layer.value, places)[0] ?? null);
}

/** The attention of a place at the step in view; the former step's stays, under its own step, until it is there. */
export function useAttention(place: string | null): { shown: ShownAttention | null; error: string | null } {
  const wanted = keyOf(focusedRun.value, place, step.value);
  const key = wanted && JSON.stringify(wanted);
  const {
    data,
    error,
    key: answered,
  } = useFetched<ShownAttention>(key, async (signal) => {
    const { run, layer: name, step: at } = wanted as MapsKey;
    return { attention: await fetchAttention(run, name, at, signal), run, layer: name, step: at };
  });
  if (wanted === null) return { shown: null, error: step.value === null ? null : `not logged at step ${step.value}` };
  if (error !== null && answered === key) return { shown: null, error: error.message };
  return { shown: data !== null && data.run === wanted.run && data.layer === wanted.layer ? data : null, error: null };
}

/** What a place's attention heads did over the steps. */
export function useHeads(place: string | null): { heads: Heads | null; error: string | null } {
  const run = focusedRun.value;
  const revision = run === null ? undefined : timelines.value[run]?.revision;
  const key = run === null || place === null || revision === undefined ? null : JSON.stringify([run, place, revision]);
  const {
    data,
    error,
    key: answered,
  } = useFetched<Heads>(key, (signal) => fetchHeads(run as string, place as string, signal));
  return {
    heads: data !== null && data.run === run && data.layer === place ? data : null,
    error: error !== null && answered === key ? error.message : null,
  };
}

/** The samples that these maps are of: the probe, once a run; or the training batch of their step. */
export function useInputs(shown: ShownMaps | null): Inputs | null {
  return useInputsAt(
    shown?.key.run ?? null,
    shown?.key.layer ?? null,
    shown?.key.step ?? null,
    shown?.maps.source ?? null,
  );
}

/** The samples that are shown of a layer at a step, by their source. */
export function useInputsAt(
  run: string | null,
  name: string | null,
  at: number | null,
  source: Maps["source"] | null,
): Inputs | null {
  const model = run === null ? "" : modelOf(run, name);
  const key = run === null || at === null ? null : JSON.stringify([run, model, source === "probe" ? "probe" : at]);
  const { data, key: answered } = useFetched<Inputs>(key, (signal) =>
    fetchInputs(run as string, model, at as number, signal),
  );
  return answered === key ? data : null;
}
