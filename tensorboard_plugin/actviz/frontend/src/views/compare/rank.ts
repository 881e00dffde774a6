// Layers and channels in the order of how much they differ between A and B. Pure functions.
import { indexOfStep } from "../../stats";
import type { Channels, Differences, Matching } from "../../types";

/** Whether a measure says which way; the others are distances. */
export const SIGNED: Readonly<Record<Differences["measure"], boolean>> = {
  rms: true,
  mean: true,
  histogram: false,
  maps: false,
  cka: false,
};

export interface RankedLayer {
  name: string;
  rms: readonly [number, number];
  change: number;
  /** Letters of the sides that have values that are not finite. */
  nonfinite: string;
  /** Length of the bar, 0 to 1. */
  share: number;
}

function bySize(one: number, other: number): number {
  const [left, right] = [Math.abs(one), Math.abs(other)];
  if (Number.isNaN(left) || Number.isNaN(right)) return Number(Number.isNaN(left)) - Number(Number.isNaN(right));
  return right === left ? 0 : right - left;
}

/** Bars in proportion to the largest finite change; an infinite one's is full. */
function shareOf(change: number, most: number): number {
  if (Number.isNaN(change)) return 0;
  return most > 0 || !Number.isFinite(change) ? Math.min(1, Math.abs(change) / (most || 1)) : 0;
}

function largest(changes: readonly number[]): number {
  return Math.max(0, ...changes.map(Math.abs).filter(Number.isFinite));
}

/** The layers by change: first those where one side only is not finite (no number says how much), last what cannot be compared. */
export function rankLayers({ layers, change, rms, nonfinite }: Differences): RankedLayer[] {
  const count = layers.length;
  const most = largest([...change]);
  const rows = layers.map((name, index) => {
    const bad = [nonfinite[index], nonfinite[count + index]].map((part) => (part ?? 0) > 0);
    return {
      name,
      rms: [rms[index] as number, rms[count + index] as number] as const,
      change: change[index] as number,
      nonfinite: (bad[0] ? "A" : "") + (bad[1] ? "B" : ""),
      share: shareOf(change[index] as number, most),
    };
  });
  const broken = (row: RankedLayer) => Number(row.nonfinite.length === 1);
  return rows.sort((one, other) => broken(other) - broken(one) || bySize(one.change, other.change));
}

export interface RankedChannel {
  name: number;
  partner: number;
  mean: readonly [number, number];
  dead: readonly [boolean, boolean];
  /** Mean of B minus mean of A. */
  change: number;
  correlation: number | null;
  share: number;
}

/**
 * A's channels by the change of their means; of those that both sides have, or that were matched. First those without a finite value on
 * one side only: no number says how much they changed.
 */
export function rankChannels(
  a: Channels,
  stepA: number,
  b: Channels,
  stepB: number,
  matching: Matching | null,
): RankedChannel[] {
  const rowA = indexOfStep(a.steps, stepA) * a.channels.length;
  const rowB = indexOfStep(b.steps, stepB) * b.channels.length;
  if (rowA < 0 || rowB < 0) return [];
  const [placeA, placeB] = [a, b].map(
    ({ channels }) => new Map([...channels].map((name, index) => [name, index] as const)),
  ) as [Map<number, number>, Map<number, number>];
  const pairs = matching
    ? [...matching.channels].map(
        (name, index) => [name, matching.partners[index] as number, matching.correlation[index] as number] as const,
      )
    : [...a.channels].map((name) => [name, name, null] as const);
  const rows: RankedChannel[] = [];
  for (const [name, partner, correlation] of pairs) {
    const [left, right] = [placeA.get(name), placeB.get(partner)];
    if (left === undefined || right === undefined) continue;
    const mean = [a.mean[rowA + left] as number, b.mean[rowB + right] as number] as const;
    const dead = [(a.zero[rowA + left] as number) >= 1, (b.zero[rowB + right] as number) >= 1] as const;
    rows.push({ name, partner, mean, dead, change: mean[1] - mean[0], correlation, share: 0 });
  }
  const most = largest(rows.map((row) => row.change));
  const broken = ({ mean }: RankedChannel) => Number(Number.isNaN(mean[0]) !== Number.isNaN(mean[1]));
  return rows
    .map((row) => ({ ...row, share: shareOf(row.change, most) }))
    .sort((one, other) => broken(other) - broken(one) || bySize(one.change, other.change) || one.name - other.name);
}
