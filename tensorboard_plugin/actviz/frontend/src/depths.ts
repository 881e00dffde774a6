// The slices of a volume whose maps are logged.
import { depth, layers } from "./state";
import type { LayerInfo } from "./types";

/** The logged slices, ascending; none where there is but one. */
export function depthsOf(info: LayerInfo | null | undefined): number[] {
  if (!info?.slices) return [];
  return [...info.slices, middleIn(info)].sort((one, other) => one - other);
}

/** The slice of a layer that is shown: the logged one nearest to the chosen one; null of what is no volume. */
export function depthIn(info: LayerInfo | null | undefined): number | null {
  const logged = depthsOf(info);
  const last = logged[logged.length - 1];
  if (last === undefined) return null;
  const wanted = depth.value ?? middleIn(info as LayerInfo);
  return logged.reduce((best, each) => (Math.abs(each - wanted) < Math.abs(best - wanted) ? each : best), last);
}

function middleIn({ shape = [], channel_axis }: LayerInfo): number {
  return Math.floor((shape[channel_axis === 1 ? 2 : 1] as number) / 2);
}

/** What stands behind a layer's name for the slice that is shown; empty for the middle one. */
export function partOf(name: string | null): string {
  const info = layers.value.find((each) => each.name === name);
  const shown = depthIn(info);
  return info === undefined || shown === null || shown === middleIn(info) ? "" : `#depth=${shown}`;
}

/** The slice that maps with this behind their layer's name are of. */
export function sliceOf(part: string, info: LayerInfo | undefined): number | null {
  return part === "" ? (info === undefined ? null : middleIn(info)) : Number(part.split("=")[1]);
}

/** Goes to another logged slice of the layer. */
export function moveDepth(info: LayerInfo | null, by: number): void {
  const logged = depthsOf(info);
  const here = depthIn(info);
  if (here === null) return;
  depth.value = logged[Math.max(0, Math.min(logged.length - 1, logged.indexOf(here) + by))] as number;
}
