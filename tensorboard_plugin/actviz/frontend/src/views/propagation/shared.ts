// What the parts of the score tell each other.
import type { ScoreRow } from "./score";

/** What is the same for all rows. */
export interface Shared {
  run: string;
  /** The chosen samples, as the probe or batch counts them. */
  samples: readonly number[];
  panelWidth: number;
  ratio: number;
  textWidth: number;
  mapsLeft: number;
  width: number;
  /** The layer whose values are taken as logits, and the names of its units. */
  logits: string | null;
}

/** The layer that a click on the row chooses: attention weights belong to a layer. */
export function layerOf(row: ScoreRow): string {
  return row.layers[row.layers.length - 1] as string;
}
