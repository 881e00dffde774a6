// Attention weights, and what heads did over the steps.
import type { StepAxis } from "../axis";
import { formatTick } from "../format";
import { entryOf, type ScaleLimits } from "../maps";
import { FONT, type Palette } from "../palette";
import { hatch } from "./texture";
import { columnEdges } from "./values";

interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}

/** Draws weights [rows, columns] in a box; hatched where one is not finite. */
export function drawWeights(
  context: CanvasRenderingContext2D,
  weights: Float32Array,
  [rows, columns]: readonly [number, number],
  limits: ScaleLimits,
  lut: Uint8ClampedArray,
  palette: Palette,
  box: Box,
): void {
  const image = new ImageData(columns, rows);
  const pixels = new Uint32Array(image.data.buffer);
  const colours = new Uint32Array(lut.buffer, lut.byteOffset, 256);
  let broken = false;
  for (let pixel = 0; pixel < pixels.length; pixel++) {
    const value = weights[pixel] as number;
    if (Number.isNaN(value)) broken = true;
    else pixels[pixel] = colours[entryOf(value, limits)] as number;
  }
  if (broken) {
    context.fillStyle = hatch(context, palette.bad, palette.bg);
    context.fillRect(box.x, box.y, box.width, box.height);
  }
  const tile = new OffscreenCanvas(columns, rows);
  tile.getContext("2d")?.putImageData(image, 0, 0);
  context.imageSmoothingEnabled = false;
  context.drawImage(tile, box.x, box.y, box.width, box.height);
}

/** Draws [steps, heads] as a row a head, a column a logged step. */
export function drawHeadHeat(
  context: CanvasRenderingContext2D,
  steps: Float64Array,
  values: Float32Array,
  heads: number,
  limits: ScaleLimits,
  axis: StepAxis,
  height: number,
  lut: Uint8ClampedArray,
): void {
  const [left, right] = columnEdges(axis, steps);
  const colours = new Uint32Array(lut.buffer, lut.byteOffset, 256);
  const width = Math.max(1, Math.round(axis.right - axis.left));
  const image = new ImageData(width, heads);
  const pixels = new Uint32Array(image.data.buffer);
  for (let step = 0; step < steps.length; step++) {
    const from = Math.max(0, Math.round((left[step] as number) - axis.left));
    const to = Math.min(width, Math.round((right[step] as number) - axis.left));
    for (let head = 0; head < heads; head++) {
      const value = values[step * heads + head] as number;
      if (Number.isNaN(value)) continue;
      pixels.fill(colours[entryOf(value, limits)] as number, head * width + from, head * width + to);
    }
  }
  const tile = new OffscreenCanvas(width, heads);
  tile.getContext("2d")?.putImageData(image, 0, 0);
  context.imageSmoothingEnabled = false;
  context.drawImage(tile, axis.left, 0, width, height);
}

/** Draws [steps, heads] as a line a head, the chosen one strong; the axis takes its limits from all steps. */
export function drawHeadLines(
  context: CanvasRenderingContext2D,
  steps: Float64Array,
  values: Float32Array,
  heads: number,
  chosen: number | null,
  axis: StepAxis,
  height: number,
  palette: Palette,
): void {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const value of values) {
    if (!Number.isFinite(value)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (low > high) return;
  if (low > 0) low = 0;
  if (low === high) high = low + 1;
  const y = (value: number) => height - 5 - ((value - low) / (high - low)) * (height - 10);
  context.font = FONT;
  context.textAlign = "right";
  context.textBaseline = "middle";
  for (const value of [low, high]) {
    context.fillStyle = palette.line;
    context.fillRect(axis.left, Math.round(y(value)), axis.right - axis.left, 1);
    context.fillStyle = palette.ink2;
    context.fillText(
      formatTick(Number(value.toPrecision(2))),
      axis.left - 6,
      Math.max(6, Math.min(height - 6, y(value))),
    );
  }
  const order = Array.from({ length: heads }, (_, head) => head).sort((one) => (one === chosen ? 1 : -1));
  for (const head of order) {
    context.strokeStyle = head === chosen ? palette.ink : palette.ink3;
    context.lineWidth = head === chosen ? 1.8 : 0.8;
    context.beginPath();
    let drawing = false;
    for (let step = 0; step < steps.length; step++) {
      const value = values[step * heads + head] as number;
      const drawable = Number.isFinite(value);
      if (drawable && drawing) context.lineTo(axis.x(steps[step] as number), y(value));
      else if (drawable) context.moveTo(axis.x(steps[step] as number), y(value));
      drawing = drawable;
    }
    context.stroke();
  }
}
