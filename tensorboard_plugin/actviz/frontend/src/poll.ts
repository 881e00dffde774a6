// Keeps what the server said current: asks every two seconds while the page can be seen.
import { batch, effect, untracked } from "@preact/signals";
import { settle } from "./actions";
import { ApiError, fetchModel, fetchRuns, fetchStats, fetchTimeline } from "./api";
import { setRunOrder } from "./colour";
import { columnsFor } from "./columns";
import {
  connectionError,
  laneRuns,
  lanes,
  models,
  type Quantity,
  quantity,
  runErrors,
  runs,
  stat,
  stats,
  timelines,
} from "./state";
import { mergeStats } from "./stats";
import type { RunInfo, Stats } from "./types";

const INTERVAL_MS = 2000;
/** So many steps may stand one by one behind the columns, before all are gathered into columns anew. */
const LOOSE_STEPS = 512;

let waiting = 0;
let busy = false;
let again = false;

/** Starts polling; and fetches at once what a change of runs or statistic needs. */
export function startPolling(): void {
  effect(() => {
    // Read, so that a change of either starts a round.
    void laneRuns.value;
    void stat.value;
    void quantity.value;
    void lanes.value;
    untracked(() => void round());
  });
  document.addEventListener("visibilitychange", () => void round());
  window.addEventListener("resize", () => void round());
}

function visible(): boolean {
  return !document.hidden && window.innerHeight > 0;
}

async function round(): Promise<void> {
  clearTimeout(waiting);
  if (busy) {
    again = true;
    return;
  }
  busy = true;
  try {
    if (visible()) await refresh();
  } finally {
    busy = false;
    waiting = window.setTimeout(round, again ? 0 : INTERVAL_MS);
    again = false;
  }
}

async function refresh(): Promise<void> {
  try {
    const answer = await fetchRuns();
    batch(() => {
      setRunOrder(answer.runs.map((info) => info.run));
      runs.value = answer;
      connectionError.value = null;
      settle(false);
    });
  } catch (error) {
    connectionError.value = wordsOf(error);
    return;
  }
  await Promise.all(laneRuns.value.map(({ run }) => refreshRun(run)));
  settle(true);
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Refreshes one run; what is wrong with it is its own, and keeps no other from being shown. */
async function refreshRun(run: string): Promise<void> {
  const info = runs.value?.runs.find((each) => each.run === run);
  if (info === undefined) return;
  try {
    await fetchRun(info);
    if (runErrors.value[run] !== undefined) setError(run, undefined);
  } catch (error) {
    if (error instanceof ApiError && error.code === "offline") connectionError.value = error.message;
    else setError(run, wordsOf(error));
  }
}

function setError(run: string, words: string | undefined): void {
  const { [run]: _, ...others } = runErrors.value;
  runErrors.value = words === undefined ? others : { ...others, [run]: words };
}

async function fetchRun(info: RunInfo): Promise<void> {
  const { run, revision } = info;
  const [chosen, of] = [stat.value, quantity.value];
  const known = stats.value[run];
  const same = known?.stat === chosen && known.of === of ? known : undefined;
  const columns = wantedColumns(info, same);
  const suffices = same?.revision === revision && (columns === undefined) === (same.columns === undefined);
  if (suffices && timelines.value[run]?.revision === revision) return;
  const [timeline, model, fresh] = await Promise.all([
    fetchTimeline(run),
    fetchModel(run),
    fetchStatistic(info, chosen, of, columns, same),
  ]);
  batch(() => {
    timelines.value = { ...timelines.value, [run]: timeline };
    models.value = { ...models.value, [run]: model };
    stats.value = { ...stats.value, [run]: fresh };
  });
}

/** A difference needs every step; what is known of every step is not gathered into columns before it has to be. */
function wantedColumns({ steps, layers }: RunInfo, known?: Stats): number | undefined {
  const each = lanes.value === "difference" || (known !== undefined && known.columns === undefined);
  return columnsFor(steps, layers, each) ?? undefined;
}

/** The statistic of all steps: what is new added to what is known, as long as that can be done truly. */
async function fetchStatistic(
  { run, revision }: RunInfo,
  chosen: string,
  of: Quantity,
  columns: number | undefined,
  known?: Stats,
): Promise<Stats> {
  const loose = known?.columns?.count.reduce((sum, count) => sum + Number(count === 1), 0) ?? 0;
  // What another TensorBoard process answered is none of this one's revisions.
  const goesOn = known !== undefined && processOf(known.revision) === processOf(revision);
  if (goesOn && (columns === undefined) === (known.columns === undefined) && loose <= LOOSE_STEPS) {
    const fresh = await fetchStats(run, chosen, { of, since: known.revision });
    const last = known.steps[known.steps.length - 1] ?? Number.NEGATIVE_INFINITY;
    // A step logged anew cannot be taken out of its column.
    if (fresh.partial && (known.columns === undefined || (fresh.steps[0] ?? Number.POSITIVE_INFINITY) > last))
      return mergeStats(known, fresh);
    if (columns === undefined) return fresh;
  }
  return fetchStats(run, chosen, { of, columns });
}

function processOf(revision: string): string | undefined {
  return revision.split(".")[0];
}
