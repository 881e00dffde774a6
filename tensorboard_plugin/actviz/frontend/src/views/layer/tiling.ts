// Where the maps of the grid stand, and what is written below them. Pure functions; lengths in CSS pixels.

/** Between two tiles, and between their captions. */
export const GAP = 8;
/** Height of a caption. */
const LABEL = 16;
/** From one tile to the next: at least, for the name alone; and where name and number have room. */
const LEAST_PITCH = 44;
const CAPTION_PITCH = 92;
const LARGEST_TILE = 320;
/** The panel may grow by so much where the maps are then larger by a whole. */
const GROWTH = 1.1;

export interface Tiling {
  columns: number;
  /** CSS pixels of a map's pixel. */
  cell: number;
  /** From one tile to the next. */
  wide: number;
  tall: number;
}

/** The largest whole magnification at which `count` maps fit; 1 where none does, and the panel grows. */
export function tiling(count: number, mapWidth: number, mapHeight: number, width: number, height: number): Tiling {
  const room = height * GROWTH;
  for (let cell = Math.max(1, Math.floor(width / mapWidth)); ; cell--) {
    const least = Math.max(LEAST_PITCH, mapWidth * cell + GAP);
    const tall = mapHeight * cell + LABEL;
    const fitting = Math.max(1, Math.floor((width + GAP) / least));
    const rows = Math.ceil(count / fitting);
    if (cell > 1 && (rows * tall > room || cell * Math.max(mapWidth, mapHeight) > LARGEST_TILE)) continue;
    // As few in a row as the height allows, so that the captions have room; then rows of equal length.
    const roomy = Math.floor((width + GAP) / Math.max(least, CAPTION_PITCH));
    const fewest = Math.ceil(count / Math.max(rows, Math.floor(room / tall)));
    const columns = Math.ceil(count / Math.ceil(count / Math.max(1, fewest, Math.min(fitting, roomy))));
    const wide = Math.max(least, Math.min(CAPTION_PITCH, Math.floor((width + GAP) / columns)));
    return { columns, cell, wide, tall };
  }
}

/** The first of these texts that is not wider than `room`; empty where none fits. */
export function fittingText(texts: readonly string[], room: number, widthOf: (text: string) => number): string {
  return texts.find((text) => widthOf(text) <= room) ?? "";
}
