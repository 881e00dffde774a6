// Drawing quantised maps, a whole number of device pixels for each of theirs.
import { codeColours, hasNonfinite, isZero, type ScaleLimits } from "../maps";
import type { Palette } from "../palette";
import type { Maps } from "../types";
import { dots, hatch } from "./texture";

let tile: HTMLCanvasElement | null = null;
let image: ImageData | null = null;
const colours = new Uint32Array(256);

/** Paints one map's pixels, `columns` a row, into a canvas of its own size; the next call overwrites it. */
function paint(
  maps: Maps,
  map: number,
  limits: ScaleLimits,
  lut: Uint8ClampedArray,
  rows: number,
  columns: number,
): HTMLCanvasElement {
  tile ??= document.createElement("canvas");
  if (tile.width !== columns || tile.height !== rows) {
    tile.width = columns;
    tile.height = rows;
    image = null;
  }
  const context = tile.getContext("2d") as CanvasRenderingContext2D;
  image ??= context.createImageData(columns, rows);
  const pixels = new Uint32Array(image.data.buffer);
  const size = maps.height * maps.width;
  const table = codeColours(maps, map, limits, lut, colours);
  for (let pixel = 0; pixel < pixels.length; pixel++)
    pixels[pixel] = pixel < size ? (table[maps.data[map * size + pixel] as number] as number) : 0;
  context.putImageData(image, 0, 0);
  return tile;
}

interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}

/** A hairline round a map, outside of it: zero is the page's colour, and a map of small values would not be seen. */
export function drawOutline(context: CanvasRenderingContext2D, { x, y, width, height }: Box, palette: Palette): void {
  context.strokeStyle = palette.line;
  context.lineWidth = 1;
  context.strokeRect(x - 0.5, y - 0.5, width + 1, height + 1);
}

/** Draws a map with its top left corner at (x, y), in a box of width x height; folded to `columns` a row for a vector. */
export function drawMap(
  context: CanvasRenderingContext2D,
  maps: Maps,
  map: number,
  limits: ScaleLimits,
  lut: Uint8ClampedArray,
  palette: Palette,
  box: Box,
  [rows, columns]: readonly [number, number] = [maps.height, maps.width],
): void {
  if (isZero(maps, map)) {
    context.fillStyle = dots(context, palette.ink3, palette.bg);
    context.fillRect(box.x, box.y, box.width, box.height);
    return;
  }
  if (hasNonfinite(maps, map)) {
    context.fillStyle = hatch(context, palette.bad, palette.bg);
    context.fillRect(box.x, box.y, box.width, box.height);
  }
  context.imageSmoothingEnabled = false;
  context.drawImage(paint(maps, map, limits, lut, rows, columns), box.x, box.y, box.width, box.height);
}
