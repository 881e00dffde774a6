// Where the statistics of a run are gathered into columns: every step of a part of them, of the range in view and round the chosen step.
import { effect, signal } from "@preact/signals";
import { fetchStats, type StatsRange } from "./api";
import { indexRange, nearestIndex } from "./axis";
import { columnsFor } from "./columns";
import { drawnStats, laneRuns, quantity, stat, stats, step, timelines, zoom } from "./state";
import { indexOfStep, rowOf } from "./stats";
import type { Stats } from "./types";

/** So many logged steps on either side of the chosen one are fetched, and fetched again once it is half so far from the middle. */
const NEAR_STEPS = 256;
/** While the range or the step moves on, nothing is asked for yet. */
const SETTLE_MS = 80;

interface Part {
  of: string;
  from: number;
  to: number;
  stats: Stats;
}

const ranges = signal<Readonly<Record<string, Part>>>({});
const surroundings = signal<Readonly<Record<string, Part>>>({});

/** The statistic of a run for the range in view: every step of it, if there are not too many. */
export function statsInView(run: string): Stats | undefined {
  const whole = drawnStats(run);
  const part = ranges.value[run];
  const range = zoom.value;
  if (whole?.columns === undefined || range === null || part === undefined) return whole;
  return part.from === range[0] && part.to === range[1] && sameStat(part.stats, whole) ? part.stats : whole;
}

function sameStat(one: Stats, other: Stats | undefined): boolean {
  return one.stat === other?.stat && one.of === other.of;
}

export interface Exact {
  value: number;
  zero: number;
  nonfinite: number;
}

/** A layer's statistic at exactly this step; null where it was not logged, or is not known yet. */
export function statAt(run: string, layer: string, at: number | null): Exact | null {
  const whole = drawnStats(run);
  const known = [whole, ranges.value[run]?.stats, surroundings.value[run]?.stats];
  for (const each of known) {
    if (each === undefined || !sameStat(each, whole)) continue;
    const index = indexOfStep(each.steps, at);
    const value = index < 0 ? undefined : rowOf(each, layer)[index];
    if (value === undefined) continue;
    return {
      value,
      zero: rowOf(each, layer, "zero")[index] as number,
      nonfinite: rowOf(each, layer, "nonfinite")[index] as number,
    };
  }
  return null;
}

/** Fetches these parts whenever they are needed. */
export function startDetail(): void {
  keep(ranges, (run) => {
    const range = zoom.value;
    if (range === null) return null;
    const [from, to] = indexRange(timelines.value[run]?.steps ?? [], range[0], range[1]);
    const columns = columnsFor(to - from, stats.value[run]?.layers.length ?? 1) ?? undefined;
    return { from: range[0], to: range[1], columns };
  });
  keep(surroundings, (run) => {
    const steps = timelines.value[run]?.steps ?? [];
    const here = step.value === null ? -1 : nearestIndex(steps, step.value);
    if (here < 0) return null;
    const middle = Math.round(here / NEAR_STEPS) * NEAR_STEPS;
    const at = (index: number) => steps[Math.max(0, Math.min(steps.length - 1, index))] as number;
    return { from: at(middle - NEAR_STEPS), to: at(middle + NEAR_STEPS) };
  });
}

function keep(
  parts: typeof ranges,
  wantedOf: (run: string) => (StatsRange & { from: number; to: number }) | null,
): void {
  const underWay = new Map<string, { of: string; controller: AbortController }>();
  effect(() => {
    for (const { run } of laneRuns.value) {
      const whole = stats.value[run];
      if (whole?.columns === undefined) continue;
      const wanted = wantedOf(run);
      if (wanted === null) continue;
      const [chosen, chosenQuantity] = [stat.value, quantity.value];
      const of = JSON.stringify([chosen, chosenQuantity, whole.revision, wanted]);
      if (parts.peek()[run]?.of === of || underWay.get(run)?.of === of) continue;
      underWay.get(run)?.controller.abort();
      const controller = new AbortController();
      underWay.set(run, { of, controller });
      setTimeout(() => {
        if (controller.signal.aborted) return;
        fetchStats(run, chosen, { of: chosenQuantity, ...wanted }, controller.signal)
          .then((answer) => {
            const { from, to } = wanted;
            parts.value = { ...parts.peek(), [run]: { of, from, to, stats: answer } };
          })
          // The poll tells what is wrong; until it is mended, the columns stay.
          .catch(() => undefined)
          .finally(() => {
            if (underWay.get(run)?.controller === controller) underWay.delete(run);
          });
      }, SETTLE_MS);
    }
  });
}
