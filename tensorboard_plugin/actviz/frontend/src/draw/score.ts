// Drawing one row of the score: maps of channels side by side, the map of a sequence, the cells of a vector, or bars with numbers.
import { css } from "../colour";
import { formatNumber } from "../format";
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

const BAR_TEXT = 17;
/** Where on the colour table a bar's colour is: its length tells the value, its colour the sign. */
const POSITIVE = 0.86;
const NEGATIVE = 0.16;

/** Draws the units as bars from a line at zero, with their values; the limits are symmetric. */
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
  const half = height / 2 - 1;
  const narrow = pitch < 84;
  const bar = narrow ? Math.max(2, pitch - 4) : Math.min(38, pitch - 62);
  context.fillStyle = palette.line2;
  context.fillRect(left, Math.round(height / 2), texts.length * pitch, 1);
  for (const [unit, text] of texts.entries()) {
    const x = left + unit * pitch;
    const value = valueAt(maps, at, unit);
    if (Number.isNaN(value)) {
      context.fillStyle = hatch(context, palette.bad, palette.bg);
      context.fillRect(x, 1, bar, height - 2);
    } else {
      const length = Math.min(1, Math.abs(value) / reach) * half;
      context.fillStyle = css(lut, value > 0 ? POSITIVE : NEGATIVE);
      context.fillRect(x, value > 0 ? height / 2 - length : height / 2 + 1, bar, length);
    }
    drawBarText(
      context,
      text,
      Number.isNaN(value) ? "NaN" : formatNumber(value),
      narrow,
      { x, bar, pitch, height },
      palette,
    );
  }
}

function drawBarText(
  context: CanvasRenderingContext2D,
  { name, below, strong }: BarText,
  value: string,
  narrow: boolean,
  { x, bar, pitch, height }: { x: number; bar: number; pitch: number; height: number },
  palette: Palette,
): void {
  context.textBaseline = "alphabetic";
  context.textAlign = narrow ? "center" : "left";
  const bold = `500 ${FONT}`;
  const middle = height / 2;
  const write = (text: string, at: number, y: number, ink: string, font: string) => {
    context.font = font;
    // A plate, so that no number stands on a bar.
    if (narrow && text !== "") {
      const { width } = context.measureText(text);
      context.fillStyle = palette.bg;
      context.globalAlpha = 0.8;
      context.fillRect(at - width / 2 - 1, y - 9, width + 2, 11);
      context.globalAlpha = 1;
    }
    context.fillStyle = ink;
    context.fillText(text, at, y);
  };
  if (narrow) {
    if (pitch < 14) return;
    const centre = x + bar / 2;
    write(name, centre, middle - 4, strong ? palette.ink : palette.ink2, strong ? bold : FONT);
    if (pitch >= 40) write(value, centre, middle + BAR_TEXT - 4, palette.ink2, FONT);
    if (pitch >= 52) write(below, centre, middle + 2 * BAR_TEXT - 6, palette.ink2, strong ? bold : FONT);
    return;
  }
  write(name, x + bar + 6, middle - 5, palette.ink, bold);
  const after = x + bar + 10 + context.measureText(name).width;
  write(value, after, middle - 5, palette.ink2, FONT);
  write(below, x + bar + 6, middle + 13, strong ? palette.ink : palette.ink2, strong ? bold : FONT);
}
