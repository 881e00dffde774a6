// The value under the pointer, wherever a map is drawn; and the same pixel marked in the enlarged map.
import { signal } from "@preact/signals";
import { formatCount, formatValue } from "../../format";
import { unitAt, valueAt } from "../../maps";
import type { Maps } from "../../types";

/** Where maps are drawn; each place has its own line for the value. */
export type Place = "grid" | "large" | "film";

export interface Pointed {
  place: Place;
  /** Which of the maps drawn there. */
  tile: number;
  /** Index into a map's pixels. */
  pixel: number;
}

/** Kept without the value, which another step changes while the pointer rests. */
export const pointed = signal<Pointed | null>(null);

export function point(place: Place, tile: number, pixel: number): void {
  const now = pointed.value;
  if (now?.place !== place || now.tile !== tile || now.pixel !== pixel) pointed.value = { place, tile, pixel };
}

export function pointNowhere(): void {
  pointed.value = null;
}

/** Says what a pixel of a map is: its row and column, or its unit. */
export function pixelName(maps: Maps, pixel: number): string {
  if (maps.layout === "vector") return `unit ${formatCount(unitAt(maps, pixel))}`;
  return `row ${Math.floor(pixel / maps.width)}  column ${pixel % maps.width}`;
}

interface PointedMap {
  maps: Maps;
  map: number;
  /** What the map is of. */
  name: string;
}

interface PointedValueProps {
  place: Place;
  /** The map that a tile shows now. */
  mapOf: (tile: number) => PointedMap | null;
  hint?: string;
}

/** The value under the pointer in one place; keeps its height where there is none. */
export function PointedValue({ place, mapOf, hint = "" }: PointedValueProps) {
  const now = pointed.value?.place === place ? pointed.value : null;
  const found = now && mapOf(now.tile);
  const inside = now && found && now.pixel < found.maps.height * found.maps.width;
  return (
    <p class="pointed-value" data-testid={`value-${place}`}>
      {inside ? (
        <>
          <span class="hint">
            {found.name}, {pixelName(found.maps, now.pixel)}
          </span>
          <strong>{formatValue(valueAt(found.maps, found.map, now.pixel))}</strong>
        </>
      ) : (
        <span class="hint">{hint}</span>
      )}
    </p>
  );
}
