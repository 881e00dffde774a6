// Births, deaths and revivals of channels. A channel is dead at a step where all its values of the training batch are exactly zero.
import type { Channels } from "../../types";

export interface LifeEvent {
  channel: number;
  /** The first logged step of the new state. */
  step: number;
  kind: "born" | "died" | "revived";
}

/** All events, by step, then by channel. A channel that is dead from the first step on is born when it first is not. */
export function lifeEvents({ steps, channels, zero }: Channels): LifeEvent[] {
  const events: LifeEvent[] = [];
  const count = channels.length;
  for (let column = 0; column < count; column++) {
    let dead: boolean | null = null;
    let lived = false;
    for (let step = 0; step < steps.length; step++) {
      const share = zero[step * count + column] as number;
      if (Number.isNaN(share)) continue; // not logged
      const now = share >= 1;
      if (dead !== null && now !== dead)
        events.push({
          channel: channels[column] as number,
          step: steps[step] as number,
          kind: now ? "died" : lived ? "revived" : "born",
        });
      dead = now;
      lived ||= !now;
    }
  }
  return events.sort((one, other) => one.step - other.step || one.channel - other.channel);
}

/** What is known of a channel at a step, in words. */
export function lifeWords(channels: Channels, events: readonly LifeEvent[], row: number, index: number): string {
  const { steps, channels: names, zero } = channels;
  const step = steps[index] as number;
  const own = events.filter((event) => event.channel === names[row]);
  const share = zero[index * names.length + row] as number;
  if (Number.isNaN(share)) return "not logged";
  const last = own.filter((event) => event.step <= step).at(-1);
  const next = own.find((event) => event.step > step);
  const then = next ? `, ${next.kind} at ${next.step}` : "";
  if (share >= 1) return last ? `dead since ${last.step}${then}` : `dead from the first step on${then}`;
  return last ? `${last.kind} at ${last.step}${then}` : next ? `alive${then}` : "alive";
}

/** The channels that are dead at a step, and since when. */
export function deadSinceAt({ steps, channels, zero }: Channels, index: number): Map<number, number> {
  const found = new Map<number, number>();
  const count = channels.length;
  for (let column = 0; index >= 0 && column < count; column++) {
    let first = -1;
    for (let step = index; step >= 0; step--) {
      const share = zero[step * count + column] as number;
      if (share < 1) break;
      if (share >= 1) first = step; // not where nothing was logged
    }
    if (first >= 0 && (zero[index * count + column] as number) >= 1)
      found.set(channels[column] as number, steps[first] as number);
  }
  return found;
}

/** The channels that are dead at every logged step. */
export function deadThroughout({ steps, channels, zero }: Channels): number[] {
  const count = channels.length;
  return Array.from(channels).filter((_, column) => {
    const shares = Array.from(steps, (_, step) => zero[step * count + column] as number).filter(
      (share) => !Number.isNaN(share), // where it was logged
    );
    return shares.length > 0 && shares.every((share) => share >= 1);
  });
}

/** `3 died, 2 revived, 7 dead from the start`, the last of those that never lived; empty where there is none of these. */
export function lifeSummary(events: readonly LifeEvent[], throughout: number): string {
  const parts: string[] = (["born", "died", "revived"] as const)
    .map(
      (kind) =>
        [kind, new Set(events.filter((event) => event.kind === kind).map(({ channel }) => channel)).size] as const,
    )
    .filter(([, count]) => count > 0)
    .map(([kind, count]) => `${count} ${kind}`);
  if (throughout > 0) parts.push(`${throughout} dead from the start`);
  return parts.join(", ");
}

/** Rows of the channels whose mean differs most between two steps, most first. */
export function mostChanged({ channels, mean }: Channels, now: number, before: number, most: number): number[] {
  const count = channels.length;
  const change = (row: number) =>
    Math.abs((mean[now * count + row] as number) - (mean[before * count + row] as number));
  return Array.from({ length: count }, (_, row) => row)
    .filter((row) => change(row) > 0)
    .sort((one, other) => change(other) - change(one) || one - other)
    .slice(0, most);
}
