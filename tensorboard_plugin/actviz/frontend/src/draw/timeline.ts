// The time line's lanes: marks, the logged steps of each run with its restarts, and the axis.
import { ticks } from "d3-array";
import type { StepAxis } from "../axis";
import { formatCount } from "../format";
import { FONT, type Palette } from "../palette";
import type { Mark } from "../types";

export interface TimelineLane {
  letter: string;
  colour: string;
  steps: ArrayLike<number>;
  restarts: readonly number[];
}

export const MARK_TOP = 6;
export const LANES_TOP = 36;
export const LANE_HEIGHT = 10;
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
  drawMarks(context, axis, marks, palette);
  for (const [index, lane] of lanes.entries()) {
    const top = LANES_TOP + index * (LANE_HEIGHT + 2);
    context.fillStyle = palette.ink3;
    context.fillText(lane.letter, axis.left - 16, top + LANE_HEIGHT / 2);
    drawSteps(context, axis, lane, top);
    context.strokeStyle = palette.warn;
    for (const restart of lane.restarts) {
      const x = Math.round(axis.x(restart)) + 0.5;
      context.beginPath();
      context.moveTo(x + 3, top);
      context.lineTo(x, top);
      context.lineTo(x, top + LANE_HEIGHT);
      context.lineTo(x + 3, top + LANE_HEIGHT);
      context.stroke();
    }
  }
  context.fillStyle = palette.line2;
  context.fillRect(axis.left, AXIS_TOP - 4, axis.right - axis.left, 1);
  context.fillStyle = palette.ink2;
  context.textAlign = "center";
  for (const step of ticks(axis.first, axis.last, Math.max(2, Math.floor((axis.right - axis.left) / 110))))
    if (Number.isInteger(step)) context.fillText(formatCount(step), axis.x(step), AXIS_TOP + 8);
  context.textAlign = "left";
}

function drawMarks(context: CanvasRenderingContext2D, axis: StepAxis, marks: readonly Mark[], palette: Palette): void {
  let free = Number.NEGATIVE_INFINITY;
  for (const mark of marks) {
    const x = Math.round(axis.x(mark.step));
    if (x < axis.left - 1 || x > axis.right + 1) continue;
    context.fillStyle = palette.line2;
    context.fillRect(x, MARK_TOP, 1, x >= free ? 16 : 5);
    if (x < free) continue;
    const room = axis.right - x;
    const width = context.measureText(mark.text).width;
    if (width > room) continue;
    context.fillStyle = palette.ink2;
    context.fillText(mark.text, x + 4, MARK_TOP + 9);
    free = x + width + 16;
  }
}

function drawSteps(context: CanvasRenderingContext2D, axis: StepAxis, lane: TimelineLane, top: number): void {
  context.fillStyle = lane.colour;
  let former = Number.NaN;
  for (let index = 0; index < lane.steps.length; index++) {
    const x = Math.round(axis.x(lane.steps[index] as number));
    if (x === former) continue;
    context.fillRect(x, top, 1, LANE_HEIGHT);
    former = x;
  }
}
