// Drawing one row of the score: maps of channels side by side, the map of a sequence, the cells of a vector, or bars with numbers.
import { css } from "../colour";
import { formatNumber, formatShort, formatTick } from "../format";
import { codeColours, isZero, mapNumber, type ScaleLimits, valueAt } from "../maps";
import { FONT, type Palette } from "../palette";
import type { Maps } from "../types";
import { drawMap } from "./maps";
import { dots, hatch } from "./texture";

export interface Ink {
  lut: Uint8ClampedArray;
  palette: Palette;
  /** Limits of the scale of a map. */
  limits(map: number): ScaleLimits;
}

interface Columns {
  /** Of the panel's left edge; lengths in CSS pixels. */
  left: number;
  pitch: number;
  tile: number;
  /** Device pixels a CSS pixel. */
  ratio: number;
}

/** Device pixels of a map's pixel, so that it fits a tile. */
export function cellOf({ height, width }: Maps, tile: number, ratio: number): number {
  return Math.max(1, Math.floor((tile * ratio) / Math.max(height, width)));
}

/** Draws the maps at these positions of the record, one a column, with a hairline round each: zero is the page's colour. */
export function drawChannels(
  context: CanvasRenderingContext2D,
  maps: Maps,
  at: number,
  positions: readonly number[],
  { left, pitch, tile, ratio }: Columns,
  { lut, palette, limits }: Ink,
): void {
  const cell = cellOf(maps, tile, ratio) / ratio;
  const [width, height] = [maps.width * cell, maps.height * cell];
  context.strokeStyle = palette.line;
  context.lineWidth = 1;
  for (const [column, position] of positions.entries()) {
    const x = left + column * pitch;
    context.strokeRect(x + 0.5, 0.5, width + 1, height + 1);
    if (position < 0) continue; // not among those kept at this step
    const map = mapNumber(maps, at, position);
    drawMap(context, maps, map, limits(map), lut, palette, { x: x + 1, y: 1, width, height });
  }
}

/** Draws one sample's map of a sequence, in cells of these device pixels; what is wider than the panel is cut off. */
export function drawSequence(
  context: CanvasRenderingContext2D,
  maps: Maps,
  at: number,
  left: number,
  cells: readonly [number, number],
  ratio: number,
  { lut, palette, limits }: Ink,
): void {
  const [width, height] = [(maps.width * cells[0]) / ratio, (maps.height * cells[1]) / ratio];
  context.strokeStyle = palette.line;
  context.strokeRect(left + 0.5, 0.5, width + 1, height + 1);
  drawMap(context, maps, at, limits(at), lut, palette, { x: left + 1, y: 1, width, height });
}

/** Draws the units at these positions as cells of one strip. */
export function drawUnits(
  context: CanvasRenderingContext2D,
  maps: Maps,
  at: number,
  positions: readonly number[],
  { left, pitch }: Columns,
  height: number,
  { lut, palette, limits }: Ink,
): void {
  const width = positions.length * pitch;
  context.strokeStyle = palette.line;
  context.strokeRect(left + 0.5, 0.5, width + 1, height - 1);
  context.fillStyle = isZero(maps, at)
    ? dots(context, palette.ink3, palette.bg)
    : hatch(context, palette.bad, palette.bg);
  context.fillRect(left + 1, 1, width, height - 2);
  if (isZero(maps, at)) return;
  const colours = new Uint8ClampedArray(codeColours(maps, at, limits(at), lut, new Uint32Array(256)).buffer);
  for (const [column, position] of positions.entries()) {
    const code = maps.data[at * maps.width + position];
    if (code === undefined || colours[code * 4 + 3] === 0) continue; // not kept, or not finite: the hatch stays
    context.fillStyle = `rgb(${colours[code * 4]},${colours[code * 4 + 1]},${colours[code * 4 + 2]})`;
    context.fillRect(left + 1 + column * pitch, 1, pitch, height - 2);
  }
}

export interface BarText {
  name: string;
  /** Its probability, where it has one. */
  below: string;
  strong: boolean;
}

/** Height of a line of text below the bars, and how much of a picture they are left. */
const LINE = 13;
const LINES = 3;
/** Where on the colour table a bar's colour is: its length tells the value, its colour the sign. */
const POSITIVE = 0.86;
const NEGATIVE = 0.16;

/** Draws the units as bars from a line at zero; below, in lines of their own, names, values and probabilities. The limits are symmetric. */
export function drawBars(
  context: CanvasRenderingContext2D,
  maps: Maps,
  at: number,
  texts: readonly BarText[],
  { left, pitch }: Columns,
  height: number,
  { lut, palette, limits }: Ink,
): void {
  const scale = limits(at);
  const reach = Math.max(Math.abs(scale.low), Math.abs(scale.high));
  const tall = height - LINES * LINE - 2;
  const middle = Math.round(tall / 2);
  const bar = Math.max(2, Math.min(38, pitch - 4));
  const values = texts.map((_, unit) => valueAt(maps, at, unit));
  context.fillStyle = palette.line2;
  context.fillRect(left, middle, texts.length * pitch, 1);
  for (const [unit, value] of values.entries()) {
    const x = left + unit * pitch + (pitch - bar) / 2;
    if (Number.isNaN(value)) {
      context.fillStyle = hatch(context, palette.bad, palette.bg);
      context.fillRect(x, 1, bar, tall - 2);
      continue;
    }
    const length = Math.min(1, Math.abs(value) / reach) * (middle - 1);
    context.fillStyle = css(lut, value > 0 ? POSITIVE : NEGATIVE);
    context.fillRect(x, value > 0 ? middle - length : middle + 1, bar, length);
  }
  drawBarTexts(context, texts, values, { left, pitch, top: tall }, palette);
}

function drawBarTexts(
  context: CanvasRenderingContext2D,
  texts: readonly BarText[],
  values: readonly number[],
  { left, pitch, top }: { left: number; pitch: number; top: number },
  palette: Palette,
): void {
  const room = pitch - 4;
  const bold = `500 ${FONT}`;
  context.textBaseline = "alphabetic";
  context.textAlign = "center";
  context.font = FONT;
  const fits = (text: string) => context.measureText(text).width <= room;
  const numbers = values.map(
    (value) => [formatNumber(value), formatShort(value), formatTick(Number(value.toPrecision(2)))].find(fits) ?? "",
  );
  // All or none: where one is left out, it would seem to be nothing.
  const lines = [
    texts.map(({ name }) => name),
    numbers.every((text) => text !== "") ? numbers : [],
    texts.every(({ below }) => fits(below)) ? texts.map(({ below }) => below) : [],
  ].filter((line) => line.every(fits));
  for (const [line, words] of lines.entries())
    for (const [unit, text] of words.entries()) {
      const strong = texts[unit]?.strong ?? false;
      context.font = line === 0 || strong ? bold : FONT;
      context.fillStyle = line === 0 || strong ? palette.ink : palette.ink2;
      context.fillText(text, left + (unit + 0.5) * pitch, top + (line + 1) * LINE);
    }
}
