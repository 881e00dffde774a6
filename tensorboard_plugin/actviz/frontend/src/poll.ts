// Keeps what the server said current: asks every two seconds while the page can be seen.
import { batch, effect, untracked } from "@preact/signals";
import { settle } from "./actions";
import { ApiError, fetchModel, fetchRuns, fetchStats, fetchTimeline } from "./api";
import { setRunOrder } from "./colour";
import { connectionError, models, runs, shownRuns, stat, stats, timelines } from "./state";
import { mergeStats } from "./stats";

const INTERVAL_MS = 2000;

let waiting = 0;
let busy = false;
let again = false;

/** Starts polling; and fetches at once what a change of runs or statistic needs. */
export function startPolling(): void {
  effect(() => {
    // Read, so that a change of either starts a round.
    void shownRuns.value;
    void stat.value;
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
      settle();
    });
    await Promise.all(shownRuns.value.map(({ run }) => refreshRun(run)));
    settle();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    connectionError.value = error.message;
  }
}

async function refreshRun(run: string): Promise<void> {
  const revision = runs.value?.runs.find((info) => info.run === run)?.revision;
  if (revision === undefined) return;
  const chosen = stat.value;
  const known = stats.value[run];
  const same = known?.stat === chosen ? known : undefined;
  if (timelines.value[run]?.revision === revision && same?.revision === revision) return;
  const [timeline, model, fresh] = await Promise.all([
    fetchTimeline(run),
    fetchModel(run),
    fetchStats(run, chosen, same?.revision),
  ]);
  batch(() => {
    timelines.value = { ...timelines.value, [run]: timeline };
    models.value = { ...models.value, [run]: model };
    stats.value = { ...stats.value, [run]: fresh.partial && same ? mergeStats(same, fresh) : fresh };
  });
}
