// Tiles of maps on a grid, and the difference of two such; absence by its texture.
import { entryOf, type ScaleLimits } from "../maps";
import type { Palette } from "../palette";
import { drawOutline } from "./maps";
import { dots, hatch } from "./texture";

export interface TileSource {
  count: number;
  rows: number;
  columns: number;
  /** Of a tile's pixel; NaN where it is not finite. */
  value(tile: number, pixel: number): number;
  /** Whether every value is exactly zero. */
  zero(tile: number): boolean;
  /** Whether there is no such tile. */
  missing(tile: number): boolean;
}

export interface TilePlaces {
  across: number;
  cell: number;
  wide: number;
  tall: number;
  gutter: number;
  top: number;
}

/** The top left corner of a tile. */
export function cornerOf({ across, wide, tall, gutter, top }: TilePlaces, tile: number): [x: number, y: number] {
  return [gutter + (tile % across) * wide, top + Math.floor(tile / across) * tall];
}

let tile: HTMLCanvasElement | null = null;

/** Draws each tile at its place; a whole number of CSS pixels for each of the maps'. */
export function drawTiles(
  context: CanvasRenderingContext2D,
  source: TileSource,
  places: TilePlaces,
  limits: ScaleLimits,
  lut: Uint8ClampedArray,
  palette: Palette,
): void {
  const { rows, columns, count } = source;
  const { cell } = places;
  tile ??= document.createElement("canvas");
  tile.width = columns;
  tile.height = rows;
  const drawing = tile.getContext("2d") as CanvasRenderingContext2D;
  const image = drawing.createImageData(columns, rows);
  const pixels = new Uint32Array(image.data.buffer);
  const colours = new Uint32Array(lut.buffer, lut.byteOffset, 256);
  context.imageSmoothingEnabled = false;
  for (let index = 0; index < count; index++) {
    const [x, y] = cornerOf(places, index);
    const [width, height] = [columns * cell, rows * cell];
    drawOutline(context, { x, y, width, height }, palette);
    if (source.missing(index)) {
      context.fillStyle = palette.panel;
      context.fillRect(x, y, width, height);
      continue;
    }
    if (source.zero(index)) {
      context.fillStyle = dots(context, palette.ink3, palette.bg);
      context.fillRect(x, y, width, height);
      continue;
    }
    let finite = true;
    for (let pixel = 0; pixel < pixels.length; pixel++) {
      const value = source.value(index, pixel);
      if (Number.isNaN(value)) {
        finite = false;
        pixels[pixel] = 0;
      } else pixels[pixel] = colours[entryOf(value, limits)] as number;
    }
    if (!finite) {
      context.fillStyle = hatch(context, palette.bad, palette.bg);
      context.fillRect(x, y, width, height);
    }
    drawing.putImageData(image, 0, 0);
    context.drawImage(tile, x, y, width, height);
  }
}

/** The part of the panel that shows A in a wipe (`first`), or B: of each tile, or of the whole where tiles are single values. */
export function wipeClip(source: TileSource, places: TilePlaces, edge: number, first: boolean): Path2D {
  const { rows, columns, count } = source;
  const { across, cell, wide, tall, gutter, top } = places;
  const path = new Path2D();
  const add = (x: number, y: number, width: number, height: number) => {
    const cut = Math.round(width * edge);
    // With the hairline round it.
    if (first) path.rect(x - 1, y - 1, cut + 1, height + 2);
    else path.rect(x + cut, y - 1, width - cut + 1, height + 2);
  };
  if (rows * columns === 1) add(gutter, top, across * wide, Math.ceil(count / across) * tall);
  else for (let index = 0; index < count; index++) add(...cornerOf(places, index), columns * cell, rows * cell);
  return path;
}
