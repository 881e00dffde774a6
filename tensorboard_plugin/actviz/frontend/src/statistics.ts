// The statistics that quilt and sparklines can show.

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

/** Whether a statistic is a fraction, 0 to 1, shown in per cent. */
export function isFraction(name: string): boolean {
  return FRACTIONS.has(name);
}
