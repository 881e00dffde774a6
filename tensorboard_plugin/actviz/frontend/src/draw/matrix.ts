// A matrix of CKA: colours, numbers where they can be read, and textures where there is no value.
import { css, inkOn } from "../colour";
import { FONT, type Palette } from "../palette";
import { formatCka } from "../similarity";
import { GramState } from "../types";
import { hatch } from "./texture";

/** A side of cells so small that a gap between them would show more than they do. */
const GAP_FROM = 12;
const NUMBERS_FROM = 24;

export interface MatrixCells {
  rows: number;
  columns: number;
  /** Row-major; NaN: no value. */
  values: Float32Array;
  rowStates: Uint8Array;
  columnStates: Uint8Array;
  /** Where the colours begin; they end at 1. */
  low: number;
}

/** Where cell `index` of `count` begins on a side of whole pixels. */
export function edge(index: number, count: number, side: number): number {
  return Math.round((index * side) / count);
}

/** Index of the cell at a place on a side; -1 beside it. */
export function cellAt(place: number, count: number, side: number): number {
  if (place < 0 || place >= side) return -1;
  let index = Math.min(count - 1, Math.floor((place * count) / side));
  if (edge(index, count, side) > place) index--;
  else if (edge(index + 1, count, side) <= place) index++;
  return index;
}

function entry(value: number, low: number): number {
  return Math.round(Math.max(0, Math.min(1, (value - low) / (1 - low))) * 255);
}

/** Draws the matrix into a square; returns the numbers that it wrote, row by row, none where cells are too small. */
export function drawMatrix(
  context: CanvasRenderingContext2D,
  cells: MatrixCells,
  side: number,
  lut: Uint8ClampedArray,
  palette: Palette,
): string[] {
  const { rows, columns, values, low } = cells;
  const smallest = side / Math.max(rows, columns);
  context.fillStyle = palette.panel;
  context.fillRect(0, 0, side, side);
  if (smallest < GAP_FROM) drawPixels(context, cells, side, lut);
  const texts: string[] = [];
  context.font = FONT;
  context.textAlign = "center";
  context.textBaseline = "middle";
  for (let row = 0; smallest >= GAP_FROM && row < rows; row++)
    for (let column = 0; column < columns; column++) {
      const value = values[row * columns + column] as number;
      const [x, y] = [edge(column, columns, side), edge(row, rows, side)];
      const [width, height] = [edge(column + 1, columns, side) - x - 1, edge(row + 1, rows, side) - y - 1];
      if (!Number.isNaN(value)) {
        context.fillStyle = css(lut, entry(value, low) / 255);
        context.fillRect(x, y, width, height);
      }
      if (smallest < NUMBERS_FROM) continue;
      const text = formatCka(value);
      texts.push(text);
      context.fillStyle = inkOn(css(lut, entry(value, low) / 255));
      context.fillText(text, x + width / 2, y + height / 2 + 0.5);
    }
  drawAbsent(context, cells, side, palette);
  return texts;
}

function drawPixels(context: CanvasRenderingContext2D, cells: MatrixCells, side: number, lut: Uint8ClampedArray): void {
  const image = new ImageData(side, side);
  const pixels = new Uint32Array(image.data.buffer);
  const colours = new Uint32Array(lut.buffer, lut.byteOffset, 256);
  for (let row = 0; row < cells.rows; row++)
    for (let column = 0; column < cells.columns; column++) {
      const value = cells.values[row * cells.columns + column] as number;
      if (Number.isNaN(value)) continue;
      const colour = colours[entry(value, cells.low)] as number;
      const [left, right] = [edge(column, cells.columns, side), edge(column + 1, cells.columns, side)];
      for (let y = edge(row, cells.rows, side); y < edge(row + 1, cells.rows, side); y++)
        pixels.fill(colour, y * side + left, y * side + right);
    }
  const tile = new OffscreenCanvas(side, side);
  tile.getContext("2d")?.putImageData(image, 0, 0);
  context.drawImage(tile, 0, 0);
}

/** Red hatch over what is not finite; all else without a value stays the empty panel. */
function drawAbsent(context: CanvasRenderingContext2D, cells: MatrixCells, side: number, palette: Palette): void {
  context.fillStyle = hatch(context, palette.bad, palette.bg);
  for (const [index, state] of cells.rowStates.entries()) {
    const top = edge(index, cells.rows, side);
    if (state === GramState.NonFinite) context.fillRect(0, top, side, edge(index + 1, cells.rows, side) - top);
  }
  for (const [index, state] of cells.columnStates.entries()) {
    const left = edge(index, cells.columns, side);
    if (state === GramState.NonFinite) context.fillRect(left, 0, edge(index + 1, cells.columns, side) - left, side);
  }
}
