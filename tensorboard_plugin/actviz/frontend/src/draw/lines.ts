// Statistics of one layer over steps as lines on one axis.
import type { StepAxis } from "../axis";
import { formatTick } from "../format";
import { FONT, type Palette } from "../palette";
import type { LayerStats } from "../types";
import { columnEdges } from "./values";

export interface StatLine {
  column: string;
  label: string;
  width: number;
  dashed: boolean;
}

export const LOG_LINES: readonly StatLine[] = [
  { column: "max", label: "max", width: 1, dashed: false },
  { column: "rms", label: "RMS", width: 1.8, dashed: false },
  { column: "std", label: "std", width: 1, dashed: true },
];

export const LINEAR_LINES: readonly StatLine[] = [
  { column: "max", label: "max", width: 1, dashed: false },
  { column: "rms", label: "RMS", width: 1.8, dashed: false },
  { column: "mean", label: "mean", width: 1, dashed: true },
  { column: "min", label: "min", width: 1, dashed: false },
];

export function columnOf(statistics: LayerStats, column: string): Float64Array {
  const row = statistics.columns.indexOf(column);
  const count = statistics.steps.length;
  return row < 0
    ? new Float64Array(count).fill(Number.NaN)
    : statistics.values.subarray(row * count, (row + 1) * count);
}

/** Lines of one channel: the largest absolute value, and the mean, which a log axis cannot have. */
export const CHANNEL_LINES: readonly StatLine[] = [
  { column: "max", label: "max |x|", width: 1, dashed: false },
  { column: "mean", label: "mean", width: 1.8, dashed: false },
];

/** Draws a share 0..1 over the steps as an area from the bottom. */
export function drawShare(
  context: CanvasRenderingContext2D,
  steps: ArrayLike<number>,
  shares: ArrayLike<number>,
  axis: StepAxis,
  top: number,
  height: number,
  palette: Palette,
): void {
  context.fillStyle = palette.line;
  context.fillRect(axis.left, top + height, axis.right - axis.left, 1);
  context.fillStyle = palette.ink3;
  const [left, right] = columnEdges(axis, steps);
  for (let index = 0; index < steps.length; index++) {
    const share = shares[index] as number;
    if (!(share > 0)) continue;
    const tall = Math.max(1, share * height);
    context.fillRect(
      left[index] as number,
      top + height - tall,
      (right[index] as number) - (left[index] as number),
      tall,
    );
  }
}

/** Draws the lines over the whole run; the axis takes its limits from all of it. */
export function drawLines(
  context: CanvasRenderingContext2D,
  statistics: LayerStats,
  axis: StepAxis,
  height: number,
  log: boolean,
  palette: Palette,
  drawn: readonly StatLine[] = log ? LOG_LINES : LINEAR_LINES,
): void {
  const lines = drawn.map((line) => ({
    ...line,
    values: columnOf(statistics, line.column),
  }));
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (const { values } of lines)
    for (const value of values) {
      if (!Number.isFinite(value) || (log && value <= 0)) continue;
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
  if (low > high) return;
  if (low === high) [low, high] = log ? [low / 2, high * 2] : [low - 1, high + 1];
  if (log) low = Math.max(low, high / 1e5);
  const place = (value: number) =>
    log ? Math.log(Math.max(value, low) / low) / Math.log(high / low) : (value - low) / (high - low);
  const y = (value: number) => height - 5 - place(value) * (height - 10);
  context.font = FONT;
  context.textBaseline = "middle";
  context.textAlign = "right";
  for (const value of ticksOf(low, high, log)) {
    context.fillStyle = palette.line;
    context.fillRect(axis.left, Math.round(y(value)), axis.right - axis.left, 1);
    context.fillStyle = palette.ink2;
    context.fillText(formatTick(value), axis.left - 6, Math.max(6, Math.min(height - 6, y(value))));
  }
  context.save();
  context.beginPath();
  context.rect(axis.left, 0, axis.right - axis.left, height);
  context.clip(); // zoomed, the lines go on beyond the axis
  for (const { values, width, dashed } of lines) {
    context.strokeStyle = width > 1 ? palette.ink : palette.ink3;
    context.lineWidth = width;
    context.setLineDash(dashed ? [3, 3] : []);
    context.beginPath();
    let drawing = false;
    for (let index = 0; index < values.length; index++) {
      const value = values[index] as number;
      const drawable = Number.isFinite(value) && (!log || value > 0);
      if (drawable && drawing) context.lineTo(axis.x(statistics.steps[index] as number), y(value));
      else if (drawable) context.moveTo(axis.x(statistics.steps[index] as number), y(value));
      drawing = drawable;
    }
    context.stroke();
  }
  context.restore();
}

function ticksOf(low: number, high: number, log: boolean): number[] {
  if (!log) return low < 0 && high > 0 ? [low, 0, high] : [low, high];
  const powers: number[] = [];
  for (let power = Math.ceil(Math.log10(low)); power <= Math.floor(Math.log10(high)); power++) powers.push(10 ** power);
  if (powers.length === 0) return [low, high];
  const every = Math.ceil(powers.length / 3);
  return powers.filter((_, index) => index % every === 0);
}
