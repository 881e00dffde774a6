// The time line's lanes: marks, the logged steps of each run with its restarts, and the axis.
import { indexRange, type StepAxis } from "../axis";
import { FONT, type Palette } from "../palette";
import { axisTicks } from "../spacing";
import type { Mark } from "../types";

export interface TimelineLane {
  letter: string;
  colour: string;
  steps: ArrayLike<number>;
  restarts: readonly number[];
}

export const MARK_TOP = 6;
export const LANES_TOP = 36;
/** Of all lanes together, and of one of few. */
export const LANES_HEIGHT = 22;
const LANE_HEIGHT = 10;
export const AXIS_TOP = 66;

export function drawTimeline(
  context: CanvasRenderingContext2D,
  axis: StepAxis,
  marks: readonly Mark[],
  lanes: readonly TimelineLane[],
  palette: Palette,
): void {
  context.font = FONT;
  context.textBaseline = "middle";
  drawMarks(context, axis, marks, lanes, palette);
  const pitch = Math.min(LANE_HEIGHT + 2, LANES_HEIGHT / lanes.length);
  const height = Math.max(2, pitch - 2);
  for (const [index, lane] of lanes.entries()) {
    const top = LANES_TOP + index * pitch;
    context.fillStyle = palette.ink3;
    if (height >= LANE_HEIGHT - 1) context.fillText(lane.letter, axis.left - 16, top + height / 2);
    drawSteps(context, axis, lane, top, height);
    drawRestarts(context, axis, lane, top, height, palette);
  }
  context.fillStyle = palette.line2;
  context.fillRect(axis.left, AXIS_TOP - 4, axis.right - axis.left, 1);
  context.fillStyle = palette.ink2;
  context.textAlign = "center";
  const room = Math.max(2, Math.floor((axis.right - axis.left) / 110));
  let free = Number.NEGATIVE_INFINITY;
  for (const { step, label } of axisTicks(axis.spacing, axis.first, axis.last, room)) {
    const half = context.measureText(label).width / 2;
    if (axis.x(step) - half < free) continue;
    context.fillText(label, axis.x(step), AXIS_TOP + 8);
    free = axis.x(step) + half + 12;
  }
  context.textAlign = "left";
}

/** Marks with their words where there is room; restarts, which are rare, come first. */
function drawMarks(
  context: CanvasRenderingContext2D,
  axis: StepAxis,
  marks: readonly Mark[],
  lanes: readonly TimelineLane[],
  palette: Palette,
): void {
  const taken: [number, number][] = [];
  const put = (step: number, text: string, line: string, ink: string) => {
    const x = Math.round(axis.x(step));
    if (step < axis.first || step > axis.last) return;
    const width = context.measureText(text).width + 12;
    // The words follow their line, at the right end they stand before it.
    const from = x + width - 8 <= axis.right ? x : x - width;
    const fits = from >= axis.left && taken.every(([start, end]) => from + width <= start || from >= end);
    context.fillStyle = line;
    context.fillRect(x, MARK_TOP, 1, fits ? 16 : 5);
    if (!fits) return;
    context.fillStyle = ink;
    context.fillText(text, from === x ? x + 4 : from + 8, MARK_TOP + 9);
    taken.push([from, from + width]);
  };
  for (const { letter, restarts } of lanes)
    for (const step of restarts) put(step, letter === "" ? "restart" : `restart ${letter}`, palette.warn, palette.warn);
  for (const { step, text } of marks) put(step, text, palette.line2, palette.ink2);
}

/** A bracket where the run was started again. */
function drawRestarts(
  context: CanvasRenderingContext2D,
  axis: StepAxis,
  lane: TimelineLane,
  top: number,
  height: number,
  palette: Palette,
): void {
  context.strokeStyle = palette.warn;
  for (const restart of lane.restarts) {
    if (restart < axis.first || restart > axis.last) continue;
    const x = Math.round(axis.x(restart)) + 0.5;
    context.beginPath();
    context.moveTo(x + 3, top);
    context.lineTo(x, top);
    context.lineTo(x, top + height);
    context.lineTo(x + 3, top + height);
    context.stroke();
  }
}

/** A line a logged step; where several share a pixel, the more there are, the taller. */
function drawSteps(
  context: CanvasRenderingContext2D,
  axis: StepAxis,
  { steps, colour }: TimelineLane,
  top: number,
  height: number,
): void {
  context.fillStyle = colour;
  const counts = density(axis, steps);
  let most = 1;
  for (const count of counts) if (count > most) most = count;
  for (let pixel = 0; pixel < counts.length; pixel++) {
    const count = counts[pixel] as number;
    if (count === 0) continue;
    const tall = most === 1 ? height : Math.max(2, Math.round((height * Math.log1p(count)) / Math.log1p(most)));
    context.fillRect(axis.left + pixel, top + height - tall, 1, tall);
  }
}

/** How many logged steps stand at each pixel of the axis. */
export function density(axis: StepAxis, steps: ArrayLike<number>): Uint32Array {
  const counts = new Uint32Array(Math.round(axis.right - axis.left) + 1);
  const [from, to] = indexRange(steps, axis.first, axis.last);
  for (let index = from; index < to; index++) {
    const pixel = Math.round(axis.x(steps[index] as number) - axis.left);
    counts[pixel] = (counts[pixel] ?? 0) + 1;
  }
  return counts;
}
