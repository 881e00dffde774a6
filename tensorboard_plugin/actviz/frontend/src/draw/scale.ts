// The colour scale of a statistic: its limits, and where a value stands between them.
import { isFraction } from "../statistics";

export type ScaleKind = "linear" | "log" | "symlog";

/** From `low` to `high`; a symmetric logarithm is linear up to about `threshold`. */
export interface StatDomain {
  low: number;
  high: number;
  kind: ScaleKind;
  threshold: number;
}

const DECADES = 1e4;
/** This share of the values at either end is beyond the scale. */
const CLIPPED = 0.001;

function finiteOf(all: readonly Float32Array[]): Float64Array {
  const finite: number[] = [];
  for (const values of all) for (const value of values) if (Number.isFinite(value)) finite.push(value);
  return Float64Array.from(finite).sort();
}

function at(sorted: Float64Array, share: number): number {
  return sorted[Math.round((sorted.length - 1) * share)] as number;
}

/** Magnitude below which a symmetric logarithm is linear: exceeded by three in four of the values that are not zero. */
function thresholdOf(finite: Float64Array, high: number): number {
  const sizes = finite
    .map(Math.abs)
    .filter((size) => size > 0)
    .sort();
  return Math.max(sizes.length > 0 ? at(sizes, 0.25) : 1, high / DECADES);
}

const EMPTY: StatDomain = { low: 0, high: 1, kind: "linear", threshold: 1 };

/**
 * One domain for all values, of the whole runs: it never moves with the step in view. Fractions go from 0 to 1; a logarithm without
 * positive values only is a symmetric one.
 */
export function statDomain(
  all: readonly Float32Array[],
  stat: string,
  wanted: ScaleKind,
  beyond = CLIPPED,
): StatDomain {
  if (isFraction(stat)) return EMPTY;
  const finite = finiteOf(all);
  if (finite.length === 0) return EMPTY;
  const [low, high] = [at(finite, beyond), at(finite, 1 - beyond)];
  const positive = finite.find((value) => value > 0);
  if (wanted === "log" && (finite[0] as number) >= 0 && positive !== undefined && high > 0)
    return { low: Math.max(Math.min(positive, high / 2), high / DECADES), high, kind: "log", threshold: 1 };
  const largest = Math.max(Math.abs(low), Math.abs(high));
  return {
    low,
    high: high > low ? high : low + 1,
    kind: wanted === "linear" || largest === 0 ? "linear" : "symlog",
    threshold: thresholdOf(finite, largest),
  };
}

/** Limits of differences: symmetric about zero. */
export function differenceDomain(all: readonly Float32Array[], wanted: ScaleKind): StatDomain {
  const finite = finiteOf(all);
  const sizes = finite.map(Math.abs).sort();
  const high = sizes.length > 0 ? at(sizes, 1 - CLIPPED) : 0;
  if (high === 0) return { low: -1, high: 1, kind: "linear", threshold: 1 };
  return { low: -high, high, kind: wanted === "linear" ? "linear" : "symlog", threshold: thresholdOf(finite, high) };
}

/** Place of a value on the scale, 0 to 1. */
export function onScale({ low, high, kind, threshold }: StatDomain, value: number): number {
  const bent = (x: number) => (kind === "symlog" ? Math.sign(x) * Math.log1p(Math.abs(x) / threshold) : x);
  const place =
    kind === "log"
      ? Math.log(Math.max(value, low) / low) / Math.log(high / low)
      : (bent(value) - bent(low)) / (bent(high) - bent(low));
  return Math.max(0, Math.min(1, place));
}
