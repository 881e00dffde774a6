// What the Layer view shows, fetched: maps of the step in view, and the layer's records over all steps.
import { useEffect, useState } from "preact/hooks";
import { ApiError, fetchChannels, fetchHistograms, fetchInputs, fetchLayer } from "../../api";
import { type MapsKey, mapsCache } from "../../cache";
import { useFetched } from "../../components/frame";
import { focusedRun, layer, step, stepsInView, timelines } from "../../state";
import { indexOfStep } from "../../stats";
import type { Channels, Histograms, Inputs, LayerStats, Maps } from "../../types";

const SAY_WAITING_AFTER_MS = 150;
const PREFETCH = 3;

/** The maps' key of a logged step; null when the run did not log it. */
export function keyOf(run: string | null, name: string | null, at: number | null): MapsKey | null {
  const timeline = run === null ? undefined : timelines.value[run];
  if (run === null || name === null || at === null || timeline === undefined) return null;
  const index = indexOfStep(timeline.steps, at);
  return index < 0 ? null : { run, layer: name, step: at, wallTime_s: timeline.wall_times_s[index] as number };
}

function sameKey(one: MapsKey, other: MapsKey): boolean {
  return (
    one.run === other.run && one.layer === other.layer && one.step === other.step && one.wallTime_s === other.wallTime_s
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
  const wanted = keyOf(focusedRun.value, layer.value, step.value);
  const [shown, setShown] = useState<ShownMaps | null>(null);
  const [failure, setFailure] = useState<{ key: MapsKey; error: string } | null>(null);
  const [waitingFor, setWaitingFor] = useState<number | null>(null);
  const name = wanted === null ? "" : JSON.stringify(wanted);
  useEffect(() => {
    if (wanted === null) return undefined;
    let current = true;
    const timer = setTimeout(() => setWaitingFor(wanted.step), SAY_WAITING_AFTER_MS);
    mapsCache
      .get(wanted)
      .then((maps) => {
        if (!current) return;
        setShown({ maps, key: wanted });
        setFailure(null);
        prefetch(wanted);
      })
      .catch((error: unknown) => {
        if (current) setFailure({ key: wanted, error: error instanceof ApiError ? error.message : String(error) });
      })
      .finally(() => {
        clearTimeout(timer);
        if (current) setWaitingFor(null);
      });
    return () => {
      current = false;
      clearTimeout(timer);
    };
  }, [name]);
  if (wanted === null)
    return { shown: null, waitingFor: null, error: step.value === null ? null : `not logged at step ${step.value}` };
  const cached = mapsCache.peek(wanted);
  if (cached !== undefined) return { shown: { maps: cached, key: wanted }, waitingFor: null, error: null };
  if (failure !== null && sameKey(failure.key, wanted)) return { shown: null, waitingFor: null, error: failure.error };
  const former = shown !== null && shown.key.run === wanted.run && shown.key.layer === wanted.layer ? shown : null;
  return { shown: former, waitingFor: waitingFor === wanted.step ? waitingFor : null, error: null };
}

function prefetch({ run, layer: name, step: at }: MapsKey): void {
  const steps = stepsInView.value;
  const here = indexOfStep(steps, at);
  for (let away = 1; away <= PREFETCH; away++)
    for (const index of [here + away, here - away]) {
      const key = keyOf(run, name, steps[index] ?? null);
      if (key !== null) mapsCache.get(key).catch(() => undefined);
    }
}

export interface LayerHistory {
  run: string;
  layer: string;
  statistics: LayerStats;
  histograms: Histograms;
  channels: Channels;
}

/** The layer's records over all steps; those of another layer or run are never returned. */
export function useHistory(): { history: LayerHistory | null; error: string | null } {
  const run = focusedRun.value;
  const name = layer.value;
  const revision = run === null ? undefined : timelines.value[run]?.revision;
  const key = run === null || name === null || revision === undefined ? null : JSON.stringify([run, name, revision]);
  const {
    data,
    error,
    key: answered,
  } = useFetched<LayerHistory>(key, async (signal) => {
    const [statistics, histograms, channels] = await Promise.all([
      fetchLayer(run as string, name as string, signal),
      fetchHistograms(run as string, name as string, signal),
      fetchChannels(run as string, name as string, signal),
    ]);
    return { run: run as string, layer: name as string, statistics, histograms, channels };
  });
  return {
    history: data !== null && data.run === run && data.layer === name ? data : null,
    error: error !== null && answered === key ? error.message : null,
  };
}

/** The samples that these maps are of: the probe, once a run; or the training batch of their step. */
export function useInputs(shown: ShownMaps | null): Inputs | null {
  const key = shown && JSON.stringify([shown.key.run, shown.maps.source === "probe" ? "probe" : shown.key.step]);
  const { data, key: answered } = useFetched<Inputs>(key, (signal) => {
    const { run, step: at } = (shown as ShownMaps).key;
    return fetchInputs(run, at, signal);
  });
  return answered === key ? data : null;
}
