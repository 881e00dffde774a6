// What the rows of the score show, fetched: few requests at a time, those of rows that can be seen first, then the steps next to it.
import { signal } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import { ApiError, fetchAttention, fetchChannels, fetchInputs, fetchLayer } from "../../api";
import { MapsCache, type MapsKey, mapsCache } from "../../cache";
import { useFetched } from "../../components/frame";
import { focusedRun, modelIn, optionsIn, scaleLocked, step, stepsInView, timelines } from "../../state";
import { indexOfStep } from "../../stats";
import type { Channels, Inputs, LayerStats } from "../../types";
import { keyOf, type ShownMaps } from "../layer/data";
import { RequestQueue } from "./queue";

const SAY_WAITING_AFTER_MS = 150;
const AT_A_TIME = 4;
const PROFILE_STEPS = 64;

const queue = new RequestQueue(AT_A_TIME);
const attentionCache = new MapsCache(fetchAttention);

export interface Pictured {
  /** The picture to show: of the step in view, or the former one's while that is awaited. */
  shown: ShownMaps | null;
  /** Whether `shown` is of the step in view. */
  fresh: boolean;
  /** Whether the step in view has been awaited long enough to say so. */
  late: boolean;
  /** Why there is none. */
  error: string | null;
}

/** A row's maps of the step in view; the steps on both sides are fetched ahead. */
export function usePicture(run: string | null, name: string | null, attention = false): Pictured {
  const cache = attention ? attentionCache : mapsCache;
  const wanted = keyOf(run, name, step.value);
  const id = wanted === null ? "" : JSON.stringify(wanted);
  const former = useRef<ShownMaps | null>(null);
  const [failure, setFailure] = useState<{ id: string; error: string } | null>(null);
  const [late, setLate] = useState("");
  const [, setArrived] = useState(0);
  const mounted = useRef(true);
  useEffect(
    () => () => {
      mounted.current = false;
    },
    [],
  );
  useEffect(() => {
    if (wanted === null) return undefined;
    const tickets = neighbours(wanted).map((key) => queue.ask(() => cache.get(key), true));
    if (cache.peek(wanted) === undefined) {
      const fetchIt = () =>
        cache
          .get(wanted)
          .then((maps) => {
            // Also where another step is wanted by now: it is shown, under its own step, until that one is there.
            former.current = { maps, key: wanted };
          })
          .catch((error: unknown) => {
            if (mounted.current) setFailure({ id, error: error instanceof ApiError ? error.message : String(error) });
          })
          .finally(() => {
            if (mounted.current) setArrived((before) => before + 1);
          });
      tickets.push(queue.ask(fetchIt));
    }
    const timer = setTimeout(() => setLate(id), SAY_WAITING_AFTER_MS);
    return () => {
      clearTimeout(timer);
      for (const ticket of tickets) ticket.cancel();
    };
  }, [id, attention]);
  if (wanted === null) return { shown: null, fresh: false, late: false, error: words(run) };
  const maps = cache.peek(wanted);
  if (maps !== undefined) former.current = { maps, key: wanted };
  if (failure?.id === id) return { shown: null, fresh: false, late: false, error: failure.error };
  const shown = former.current?.key.run === run && former.current.key.layer === name ? former.current : null;
  return { shown, fresh: maps !== undefined, late: maps === undefined && late === id, error: null };
}

function words(run: string | null): string | null {
  return run === null || step.value === null || timelines.value[run] === undefined
    ? null
    : `not logged at step ${step.value}`;
}

/** The next, the former, and the next but one step of the same layer. */
function neighbours({ run, layer, step: at }: MapsKey): MapsKey[] {
  const steps = stepsInView.value;
  const here = indexOfStep(steps, at);
  return [1, -1, 2].flatMap((away) => keyOf(run, layer, steps[here + away] ?? null) ?? []);
}

/** Attention weights are shares: their locked scale ends at one. */
export const WEIGHT_LIMITS: LayerStats = {
  run: "",
  layer: "",
  columns: [],
  steps: new Float64Array(),
  values: new Float64Array(),
  abs_limit: 1,
  low_limit: 0,
  high_limit: 1,
};

// Limits that were fetched, by run and layer: a row that comes into view again has its scale at once.
const limitsKnown = new Map<string, LayerStats>();

/** The limits of a layer's values over the whole run; null until they are known, or where they are not asked for. */
export function useRunLimits(run: string | null, name: string | null): { limits: LayerStats | null; settled: boolean } {
  const asked = scaleLocked.value && run !== null && name !== null;
  const revision = asked ? timelines.value[run]?.revision : undefined;
  const first = asked ? timelines.value[run]?.steps[0] : undefined;
  const key = revision === undefined ? null : JSON.stringify([run, name, revision]);
  const place = JSON.stringify([run, name]);
  const { error, key: answered } = useFetched<LayerStats>(key, async (abort) => {
    const found = await fetchLayer(run as string, name as string, abort, { from: first, to: first });
    limitsKnown.set(place, found);
    return found;
  });
  const limits = asked ? (limitsKnown.get(place) ?? null) : null;
  return { limits, settled: !asked || limits !== null || (answered === key && error !== null) };
}

// Profiles asked for, by run and layer: once each, shared by the rows of a family, and kept so that no column moves.
const profiles = new Map<string, Promise<Channels>>();

function profileOf(run: string, name: string): Promise<Channels> {
  const key = JSON.stringify([run, name]);
  let asked = profiles.get(key);
  if (asked === undefined) {
    asked = fetchChannels(run, name, undefined, { columns: PROFILE_STEPS });
    asked.catch(() => profiles.delete(key));
    profiles.set(key, asked);
  }
  return asked;
}

/** A layer's channels over the run, by which those that are shown are chosen. */
export function useProfile(run: string | null, name: string | null): { profile: Channels | null; settled: boolean } {
  const key = run === null || name === null ? null : JSON.stringify([run, name]);
  const { data, key: answered } = useFetched<Channels>(key, () => profileOf(run as string, name as string));
  return { profile: answered === key ? data : null, settled: key === null || answered === key };
}

/** The samples that the maps of the step in view are of; null until they are there. */
export function useInputsInView(): Inputs | null {
  const run = focusedRun.value;
  const at = step.value;
  const timeline = run === null ? undefined : timelines.value[run];
  const logged = timeline !== undefined && indexOfStep(timeline.steps, at) >= 0;
  const model = modelIn(run);
  // A probe is the same at all steps of a session.
  const session = timeline?.restarts.filter((restart) => restart.step <= (at ?? 0)).length;
  const when = optionsIn(run).source === "probe" ? `session ${session}` : at;
  const key = logged ? JSON.stringify([run, model, when]) : null;
  const { data, key: answered } = useFetched<Inputs>(key, (abort) =>
    fetchInputs(run as string, model, at as number, abort),
  );
  return answered === key ? data : null;
}

/** The channel under the pointer, in all rows with so many channels. */
export const hoverChannel = signal<{ count: number; channel: number } | null>(null);
