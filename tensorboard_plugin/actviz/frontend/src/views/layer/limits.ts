// The colour scale in force in the Layer view: by the chosen mode, or as the user gave it.
import { extremes, type ScaleLimits, scaleLimits, windowed } from "../../maps";
import { colormap, contrast, scaleMode } from "../../state";
import type { LayerStats, Maps } from "../../types";

/** Limits for a map; `statistics` hold those of the whole run, or of all shown runs. */
export function limitsOf(maps: Maps, map: number, statistics: LayerStats | null): ScaleLimits {
  const limits = scaleLimits(scaleMode.value, colormap.value, maps, map, statistics);
  return scaleMode.value === "map" ? limits : windowed(limits, contrast.value, colormap.value === "activations", maps);
}

/** Whether a layer has no negative value in the whole run, so that the lower half of a diverging scale is never seen. */
export function isPositive(statistics: LayerStats | null, maps: Maps): boolean {
  if (colormap.value !== "activations") return false;
  return statistics?.low_limit == null ? extremes(maps)[0] >= 0 : statistics.low_limit >= 0 && extremes(maps)[0] >= 0;
}
