// The slices of a volume whose maps are logged: at most eight, evenly spaced, and the middle one, as maps.py on the logging side has it.
import { depth, layers } from "./state";
import type { LayerInfo } from "./types";

const MOST = 8;

/** The logged slices, ascending; none of what is no volume. */
export function depthsOf(info: LayerInfo | null | undefined): number[] {
  const { shape = [], layout, channel_axis } = info ?? {};
  if (layout !== "channels" || shape.length !== 5) return [];
  const count = shape[channel_axis === 1 ? 2 : 1] as number;
  const kept = Math.min(count, MOST);
  const evenly = Array.from({ length: kept }, (_, index) => Math.floor((index * count) / kept));
  return [...new Set([...evenly, middleOf(count)])].sort((one, other) => one - other);
}

function middleOf(count: number): number {
  return Math.floor(count / 2);
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
  return middleOf(shape[channel_axis === 1 ? 2 : 1] as number);
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
