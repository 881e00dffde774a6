// Whether two runs, or steps, show the same samples. Pure.
import type { Inputs } from "./types";

export type SameInputs = "same" | "different" | "unknown";

/**
 * Whether two sides show the same inputs, as far as these tell; null: none were logged. Without digests, where they cannot be drawn, a
 * probe's are not known to differ, and those of two training batches are taken to.
 */
export function sameInputs(a: Inputs | null, b: Inputs | null, source: readonly [string, string]): SameInputs {
  if (source[0] !== source[1]) return "different";
  if (a?.digest && b?.digest) {
    const same = a.digest === b.digest && JSON.stringify(a.labels) === JSON.stringify(b.labels);
    return same ? "same" : "different";
  }
  if (a === null || b === null || (a.data === undefined && b.data === undefined))
    return source[0] === "probe" ? "unknown" : "different";
  if (a === b) return "same";
  const equal = (name: "data" | "low" | "high") => {
    const [one, other] = [a[name], b[name]];
    return one?.length === other?.length && one.every((value, index) => value === other[index]);
  };
  return equal("data") && equal("low") && equal("high") && JSON.stringify(a.labels) === JSON.stringify(b.labels)
    ? "same"
    : "different";
}
