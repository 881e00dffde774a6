// The statistics that quilt and sparklines can show.
import type { Quantity } from "./state";

export const STATISTICS: readonly (readonly [name: string, label: string])[] = [
  ["rms", "RMS"],
  ["mean", "mean"],
  ["std", "standard deviation"],
  ["min", "minimum"],
  ["max", "maximum"],
  ["kurtosis", "kurtosis"],
  ["zero", "zeros"],
  ["near_zero", "near zero"],
  ["saturated", "saturated"],
  ["nonfinite", "NaN or Inf"],
  ["dead_channels", "dead channels"],
];

const FRACTIONS = new Set(["zero", "near_zero", "saturated", "nonfinite", "dead_channels"]);

export function statLabel(name: string): string {
  return STATISTICS.find(([each]) => each === name)?.[1] ?? name;
}

/** A name, or a title, of what is told of a quantity. */
export function titled(name: string, of: Quantity): string {
  if (of === "activations") return name;
  const capital = /^[A-Z][a-z]/.test(name);
  return capital ? `Gradient ${name[0]?.toLowerCase()}${name.slice(1)}` : `gradient ${name}`;
}

/** Whether a statistic is a fraction, 0 to 1, shown in per cent. */
export function isFraction(name: string): boolean {
  return FRACTIONS.has(name);
}
