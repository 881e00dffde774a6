// What the Compare view shows, fetched: always both sides together, so that never one is new and the other one old.
import { useRef } from "preact/hooks";
import {
  ApiError,
  fetchChannels,
  fetchDifferences,
  fetchHistograms,
  fetchInputs,
  fetchLayer,
  fetchMatching,
} from "../../api";
import { type MapsKey, mapsCache } from "../../cache";
import { useFetched } from "../../components/frame";
import { type SameInputs, sameInputs } from "../../inputs";
import { type Side, sideA, sideB } from "../../sides";
import { layer, matchChannels, modelOf, models, rankBy, timelines } from "../../state";
import { indexOfStep } from "../../stats";
import type { Channels, Differences, Histograms, Inputs, LayerStats, Maps, Matching } from "../../types";
import { useAwaited } from "../awaited";
import { keyOf } from "../layer/data";
import { mismatch } from "./tiles";

const SETTLED_AFTER_MS = 120;
const PREFETCH = 3;
const MATCHINGS_KEPT = 200;

export interface ShownSide {
  side: Side;
  maps: Maps;
  inputs: Inputs | null;
}

/** Both sides of one layer, and how its channels match; each says itself of what it is. */
export interface Pair {
  layer: string;
  a: ShownSide;
  b: ShownSide;
  same: SameInputs;
  matching: Matching | null;
  /** Why the channels could not be matched. */
  matchError: string | null;
}

export interface PairState {
  pair: Pair | null;
  /** Whether another pair is awaited, once that has taken long enough to say so. */
  waiting: boolean;
  error: string | null;
}

type Outcome = { matching: Matching | null; error: string | null };
const matchings = new Map<string, Promise<Outcome>>();
const inputsKept = new Map<string, Promise<Inputs | null>>();

function remember<T>(kept: Map<string, T>, name: string, make: () => T): T {
  let found = kept.get(name);
  if (found === undefined) {
    found = make();
    kept.set(name, found);
    for (const oldest of kept.keys()) {
      if (kept.size <= MATCHINGS_KEPT) break;
      kept.delete(oldest);
    }
  }
  return found;
}

/** The inputs of these maps: a probe's hold until the run is started again, a batch's for its step. */
function inputsOf({ run, layer: of, step, wallTime_s }: MapsKey, maps: Maps): Promise<Inputs | null> {
  const model = modelOf(run, of);
  const restarts = timelines.value[run]?.restarts.filter((each) => each.wall_time_s <= wallTime_s).length ?? 0;
  const name = JSON.stringify([run, model, maps.source === "probe" ? `probe ${restarts}` : [step, wallTime_s]]);
  return remember(inputsKept, name, () =>
    fetchInputs(run, model, step).catch((error: unknown) => {
      if (error instanceof ApiError && error.code === "no_data") return null;
      inputsKept.delete(name);
      throw error;
    }),
  );
}

/** Why a side has no maps of a layer, as far as its model tells; null where it may have. */
export function withoutMaps(side: Side | null, name: string | null): string | null {
  const known = side === null ? undefined : models.value[side.run]?.layers;
  if (side === null || name === null || known === undefined) return null;
  const info = known.find((each) => each.name === name);
  if (info === undefined) return `Run ${side.letter}, ${side.run}, has no layer ${name}.`;
  return info.layout === null ? `An output of this shape (${info.shape?.join(" × ")}) has no maps.` : null;
}

function matchingOf(a: MapsKey, b: MapsKey): Promise<Outcome> {
  const name = JSON.stringify([a, b]);
  return remember(matchings, name, () =>
    fetchMatching(a.layer, a, b).then(
      (matching) => ({ matching, error: null }),
      (error: unknown) => {
        if (!(error instanceof ApiError) || error.code === "offline") matchings.delete(name);
        return { matching: null, error: error instanceof Error ? error.message : String(error) };
      },
    ),
  );
}

async function load(a: Side, b: Side, keyA: MapsKey, keyB: MapsKey, matched: boolean): Promise<Pair> {
  const [mapsA, mapsB] = await Promise.all([mapsCache.get(keyA), mapsCache.get(keyB)]);
  const [inputsA, inputsB] = await Promise.all([inputsOf(keyA, mapsA), inputsOf(keyB, mapsB)]);
  const same = sameInputs(inputsA, inputsB, [mapsA.source, mapsB.source]);
  const refused = mismatch(mapsA, mapsB, true) ?? (same === "different" ? "A and B show different inputs." : null);
  const found = !matched || refused !== null ? { matching: null, error: refused } : await matchingOf(keyA, keyB);
  return {
    layer: keyA.layer,
    a: { side: a, maps: mapsA, inputs: inputsA },
    b: { side: b, maps: mapsB, inputs: inputsB },
    same,
    matching: found.matching,
    matchError: matched ? found.error : null,
  };
}

/** The pair in view. The former one stays, under its own steps, until both sides are there; that of another layer or run never does. */
export function usePair(): PairState {
  const [a, b, name, matched] = [sideA.value, sideB.value, layer.value, matchChannels.value];
  const without = withoutMaps(a, name) ?? withoutMaps(b, name);
  const keyA = a && name !== null && without === null ? keyOf(a.run, name, a.step) : null;
  const keyB = b && name !== null && without === null ? keyOf(b.run, name, b.step) : null;
  const wanted = keyA && keyB ? JSON.stringify([keyA, keyB, matched]) : null;
  const { last, error, late } = useAwaited<Pair>(
    wanted,
    () => load(a as Side, b as Side, keyA as MapsKey, keyB as MapsKey, matched),
    (pair) => {
      prefetch(pair.a.side, pair.layer);
      prefetch(pair.b.side, pair.layer);
    },
  );
  if (without !== null) return { pair: null, waiting: false, error: without };
  if (error !== null) return { pair: null, waiting: false, error };
  const former = last?.data ?? null;
  if (last?.of === wanted) return { pair: former, waiting: false, error: null };
  const stays =
    former !== null && former.layer === name && former.a.side.run === a?.run && former.b.side.run === b?.run;
  return { pair: stays ? former : null, waiting: late, error: null };
}

function prefetch({ run, step }: Side, name: string): void {
  const steps = timelines.value[run]?.steps ?? [];
  const here = indexOfStep(steps, step);
  for (let away = 1; away <= PREFETCH; away++)
    for (const index of [here + away, here - away]) {
      const key = keyOf(run, name, steps[index] ?? null);
      if (key !== null) mapsCache.get(key).catch(() => undefined);
    }
}

/** What one run's records say of a layer over all steps. */
export interface History {
  run: string;
  layer: string;
  statistics: LayerStats;
  histograms: Histograms;
  channels: Channels;
}

/** The layer's records in run A or B over all steps; null while they are fetched. */
export function useHistory(side: Side | null): { history: History | null; error: string | null } {
  const name = layer.value;
  const revision = side === null ? undefined : timelines.value[side.run]?.revision;
  const has = side !== null && models.value[side.run]?.layers.some((each) => each.name === name);
  const key = has && revision !== undefined ? JSON.stringify([side.run, name, revision]) : null;
  const {
    data,
    error,
    key: answered,
  } = useFetched<History>(key, async (signal) => {
    const [run, of] = [(side as Side).run, name as string];
    const [statistics, histograms, channels] = await Promise.all([
      fetchLayer(run, of, signal),
      fetchHistograms(run, of, signal),
      fetchChannels(run, of, signal),
    ]);
    return { run, layer: of, statistics, histograms, channels };
  });
  return {
    history: data !== null && data.run === side?.run && data.layer === name ? data : null,
    error: error !== null && answered === key ? error.message : null,
  };
}

/** The histogram and the channels of a side's own step: of a long log, the answer over all steps holds only some. */
export function useAtStep(
  side: Side | null,
  history: History | null,
): { histograms: Histograms; channels: Channels } | null {
  const has = (steps: ArrayLike<number>) => side !== null && indexOfStep(steps, side.step) >= 0;
  const here = history !== null && has(history.histograms.steps) && has(history.channels.steps);
  const missing = history !== null && side !== null && !here;
  const key = missing
    ? JSON.stringify([side.run, history.layer, side.step, timelines.value[side.run]?.revision])
    : null;
  const { data, key: answered } = useFetched(key, async (signal) => {
    const [run, of, at] = [(side as Side).run, (history as History).layer, (side as Side).step];
    const [histograms, channels] = await Promise.all([
      fetchHistograms(run, of, signal, { from: at, to: at }),
      fetchChannels(run, of, signal, { from: at, to: at }),
    ]);
    return { histograms, channels };
  });
  return here ? history : missing && answered === key ? data : null;
}

/** How much each layer differs, asked for once the steps stand still; the former answer, with its own steps, until then. */
export function useDifferences(): { differences: Differences | null; error: string | null } {
  const [a, b, measure] = [sideA.value, sideB.value, rankBy.value];
  const revisions = [a, b].map((side) => (side ? timelines.value[side.run]?.revision : null));
  const key = a && b ? JSON.stringify([a, b, measure, revisions]) : null;
  const {
    data,
    error,
    key: answered,
  } = useFetched<Differences>(key, async (signal) => {
    await new Promise((done) => setTimeout(done, SETTLED_AFTER_MS));
    signal.throwIfAborted();
    return fetchDifferences(a as Side, b as Side, measure, signal);
  });
  const kept = useRef<Differences | null>(null);
  if (data !== null) kept.current = data;
  const last = kept.current;
  const fits = last !== null && last.run === a?.run && last.other_run === b?.run && last.measure === measure;
  return {
    differences: fits ? last : null,
    error: error !== null && answered === key ? error.message : null,
  };
}
