// One number over the steps, a line a run, on an axis from zero.
import { ticks } from "d3-array";
import type { StepAxis } from "../axis";
import { formatTick } from "../format";
import { FONT, type Palette } from "../palette";

export interface RunLine {
  steps: ArrayLike<number>;
  values: ArrayLike<number>;
  colour: string;
}

/** Upper limit of the axis: of the whole runs, so that it stays in place. */
export function upperLimit(lines: readonly RunLine[]): number {
  let high = 1;
  for (const { values } of lines)
    for (let index = 0; index < values.length; index++) high = Math.max(high, values[index] || 0);
  return high * 1.05;
}

/** Draws the lines; one breaks where there is no value, and a value between two gaps is a dot. */
export function drawDimensions(
  context: CanvasRenderingContext2D,
  lines: readonly RunLine[],
  axis: StepAxis,
  height: number,
  palette: Palette,
): void {
  const high = upperLimit(lines);
  const y = (value: number) => height - 6 - (value / high) * (height - 12);
  context.font = FONT;
  context.textBaseline = "middle";
  context.textAlign = "right";
  for (const value of ticks(0, high, 3)) {
    context.fillStyle = palette.line;
    context.fillRect(axis.left, Math.round(y(value)), axis.right - axis.left, 1);
    context.fillStyle = palette.ink2;
    context.fillText(formatTick(value), axis.left - 6, y(value));
  }
  context.lineWidth = 1.5;
  for (const { steps, values, colour } of lines) {
    context.strokeStyle = context.fillStyle = colour;
    context.beginPath();
    for (let index = 0; index < values.length; index++) {
      const [before, here, after] = [values[index - 1], values[index] as number, values[index + 1]];
      if (!Number.isFinite(here)) continue;
      const [x, top] = [axis.x(steps[index] as number), y(here)];
      if (Number.isFinite(before)) context.lineTo(x, top);
      else context.moveTo(x, top);
      if (!Number.isFinite(before) && !Number.isFinite(after)) context.fillRect(x - 1.5, top - 1.5, 3, 3);
    }
    context.stroke();
  }
}
