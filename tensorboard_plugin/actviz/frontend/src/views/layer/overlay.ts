// Maps over the input that they are of.
import { overlay } from "../../state";
import type { Inputs, Maps } from "../../types";

/** Index of a shown sample among the inputs, where both are pictures, so that one can lie over the other; else -1. */
export function inputBelow(inputs: Inputs | null, maps: Maps, at: number): number {
  // A volume's slice is of the middle depth, and its input has none.
  if (inputs?.layout !== "channels" || maps.layout !== "channels" || maps.shape.length !== 4) return -1;
  return inputs.shape.length === 4 ? inputs.samples.indexOf(maps.samples[at] as number) : -1;
}

/** The input to draw below a sample's maps; null where the user wants none. */
export function overlaid(inputs: Inputs | null, maps: Maps, at: number): { inputs: Inputs; at: number } | null {
  const below = overlay.value > 0 ? inputBelow(inputs, maps, at) : -1;
  return inputs === null || below < 0 ? null : { inputs, at: below };
}
