// Where the tiles of a panel stand. Pure functions; lengths in CSS pixels.

/** All panels have the same geometry, so that a channel has the same place in each. */
export interface Geometry {
  /** Tiles a row. */
  across: number;
  down: number;
  /** CSS pixels of a map's pixel, of a tile with its gap, and left of the first tile for the row's first number. */
  cell: number;
  wide: number;
  tall: number;
  gutter: number;
  /** Above the first tile. */
  top: number;
  /** Whether a number stands below each tile. */
  caption: boolean;
  /** Of all tiles together. */
  width: number;
  height: number;
}

/** Room for the hairline round the first tile. */
const EDGE = 1;
const GUTTER = 28;
const CAPTION = 14;
const LARGEST_TILE = 320;
const LARGEST_UNIT = 72;

/**
 * The largest whole magnification at which `count` tiles fit into width x height; 1 where none does. Numbers stand left of each row or, where
 * the tiles are then larger or `captions` asks for it, below each tile.
 */
export function geometry(
  count: number,
  rows: number,
  columns: number,
  width: number,
  height: number,
  captions: boolean,
): Geometry {
  const shape = { count, rows, columns };
  if (count === 1 || rows * columns === 1) return fitted(shape, width, height, EDGE, false);
  const below = fitted(shape, width, height, EDGE, true);
  const beside = captions ? below : fitted(shape, width, height, GUTTER, false);
  return below.cell > beside.cell ? below : beside;
}

function fitted(
  { count, rows, columns }: { count: number; rows: number; columns: number },
  width: number,
  height: number,
  gutter: number,
  caption: boolean,
): Geometry {
  const unit = rows * columns === 1;
  const gap = unit ? 1 : 6;
  const most = Math.floor((unit ? LARGEST_UNIT : Math.max(LARGEST_TILE, rows, columns)) / Math.max(rows, columns));
  const room = width - gutter - EDGE;
  for (let cell = count === 1 ? Math.max(1, Math.floor(room / columns)) : most; ; cell--) {
    const wide = Math.max(caption ? 44 : 0, columns * cell) + gap;
    const tall = rows * cell + gap + (caption ? CAPTION : 0);
    const fitting = Math.max(1, Math.floor((room + gap) / wide));
    const across = Math.ceil(count / Math.ceil(count / fitting)); // rows of equal length
    const down = Math.ceil(count / across);
    const size = { width: gutter + across * wide - gap + EDGE, height: down * tall - gap + 2 * EDGE };
    if (cell <= 1 || (size.height <= height && size.width <= width))
      return { across, down, cell, wide, tall, gutter, top: EDGE, caption, ...size };
  }
}

/** The tile, and its pixel, at a place in a panel; null between tiles. */
export function tileAt(
  { across, cell, wide, tall, gutter, top }: Geometry,
  { count, rows, columns }: { count: number; rows: number; columns: number },
  x: number,
  y: number,
): { tile: number; pixel: number } | null {
  const [right, down] = [x - gutter, y - top];
  const [column, row] = [Math.floor(right / wide), Math.floor(down / tall)];
  const tile = row * across + column;
  if (right < 0 || down < 0 || column >= across || tile >= count) return null;
  const [across1, down1] = [Math.floor((right - column * wide) / cell), Math.floor((down - row * tall) / cell)];
  return across1 < columns && down1 < rows ? { tile, pixel: down1 * columns + across1 } : null;
}
