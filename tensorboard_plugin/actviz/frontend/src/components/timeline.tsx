// The time line: it drives every view.
import { nearestIndex } from "../axis";
import { runColour } from "../colour";
import { AXIS_TOP, drawTimeline, LANES_HEIGHT, LANES_TOP, MARK_TOP } from "../draw/timeline";
import { items } from "../findings";
import { formatCount, formatTime } from "../format";
import { palette } from "../palette";
import { AXIS_MODES, type AxisMode } from "../spacing";
import {
  axis,
  axisMode,
  dark,
  hoverStep,
  laneRuns,
  laneSteps,
  mainWidth,
  spacings,
  step,
  stepsInView,
  timelines,
} from "../state";
import type { Mark } from "../types";
import { Canvas } from "./canvas";
import { FindingsLane } from "./findings";
import { Cursors, scrubbing } from "./frame";
import { SecondPlayhead } from "./playhead";

const HEIGHT = 87;
const FINDINGS_TOP = 23;
/** A mark or restart is told when the pointer is so many pixels from it. */
const NEAR_PIXELS = 5;

/** Where a mark stands: one after the last logged step, as of a training's end, at that step. */
function placeOf({ step: at }: Mark): number {
  const steps = laneSteps.value;
  return Math.min(at, steps[steps.length - 1] ?? at);
}

/** What there is at a place on the axis, in words: the nearest logged step, and the marks and restarts there. */
function toldAt(hovered: number): string {
  const steps = stepsInView.value;
  const index = nearestIndex(steps, hovered);
  const { x } = axis.value;
  const near = (at: number) => Math.abs(x(at) - x(hovered)) <= NEAR_PIXELS;
  const words = index < 0 ? [] : [`nearest logged step: ${formatCount(steps[index] as number)}`];
  for (const { run } of laneRuns.value) {
    const timeline = timelines.value[run];
    for (const mark of timeline?.marks ?? [])
      if (near(placeOf(mark)))
        words.push(`${mark.text}: step ${formatCount(mark.step)}, ${formatTime(mark.wall_time_s)} (${run})`);
    for (const restart of timeline?.restarts ?? [])
      if (near(restart.step))
        words.push(`${run} was restarted at step ${formatCount(restart.step)}, ${formatTime(restart.wall_time_s)}`);
  }
  return [...new Set(words)].join("\n");
}

export function TimeLine() {
  const shown = laneRuns.value;
  const marks = shown.map(({ run }) => timelines.value[run]?.marks ?? []).find((each) => each.length > 0) ?? [];
  const placed = marks.map((mark) => ({ ...mark, step: placeOf(mark) }));
  const lanes = shown.map(({ letter, run }) => ({
    letter: letter ?? "",
    colour: runColour(run, dark.value),
    steps: timelines.value[run]?.steps ?? [],
    restarts: (timelines.value[run]?.restarts ?? []).map((each) => each.step),
  }));
  const position = step.value;
  const { first, last, left, right, x } = axis.value;
  const capture = scrubbing(Number.POSITIVE_INFINITY);
  return (
    <div class="timeline">
      <div
        class="timeline-slider"
        data-testid="timeline"
        role="slider"
        tabIndex={0}
        aria-label="Step; snaps to logged steps"
        aria-valuemin={first}
        aria-valuemax={last}
        aria-valuenow={position ?? first}
        title={hoverStep.value === null ? "" : toldAt(hoverStep.value)}
        {...capture}
        onPointerDown={(event) => {
          event.currentTarget.setPointerCapture(event.pointerId);
          capture.onPointerDown(event);
        }}
      >
        <Canvas
          deps={[timelines.value, shown, dark.value]}
          width={mainWidth.value}
          height={HEIGHT}
          aria-hidden="true"
          draw={(context) => drawTimeline(context, axis.value, placed, lanes, palette.value)}
        />
        <FindingsLane />
        <Cursors />
        {position !== null && position >= first && position <= last && (
          <div class="playhead" style={{ left: `${Math.max(left, Math.min(right, x(position)))}px` }}>
            {formatCount(position)}
          </div>
        )}
        <SecondPlayhead />
      </div>
      {marks.length > 0 && (
        <div class="lane-name" style={{ top: `${MARK_TOP + 3}px` }}>
          mark
        </div>
      )}
      {items.value.length > 0 && (
        <div class="lane-name" style={{ top: `${FINDINGS_TOP}px` }}>
          findings
        </div>
      )}
      <div class="lane-name" style={{ top: `${LANES_TOP + LANES_HEIGHT / 2 - 7}px` }}>
        logged
      </div>
      <AxisChoice />
    </div>
  );
}

/** By what the steps stand apart; in the place of the axis' name. */
function AxisChoice() {
  return (
    <select
      class="axis-mode"
      data-testid="axis-mode"
      aria-label="Step axis by"
      title="By what the steps stand apart: their number, the time of logging, or epochs (marks)"
      style={{ top: `${AXIS_TOP}px` }}
      value={axisMode.value}
      onChange={(event) => {
        axisMode.value = event.currentTarget.value as AxisMode;
      }}
    >
      {AXIS_MODES.map((mode) => (
        <option key={mode} value={mode} disabled={mode !== "step" && spacings.value[mode] === null}>
          {mode}
        </option>
      ))}
    </select>
  );
}
