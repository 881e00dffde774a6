// The time line: it drives every view.
import { useEffect } from "preact/hooks";
import { chooseStep, moveStep, toggleFollow, togglePlay } from "../actions";
import { nearestIndex } from "../axis";
import { runColour } from "../colour";
import { AXIS_TOP, drawTimeline, LANE_HEIGHT, LANES_TOP, MARK_TOP } from "../draw/timeline";
import { formatCount, formatTime } from "../format";
import { palette } from "../palette";
import {
  axis,
  dark,
  following,
  hoverStep,
  mainWidth,
  playing,
  shownRuns,
  step,
  stepsInView,
  stepsPerSecond,
  timelines,
} from "../state";
import { indexOfStep } from "../stats";
import { Canvas } from "./canvas";
import { FindingsLane } from "./findings";
import { Cursors } from "./frame";

const HEIGHT = 87;
const SPEEDS = [1, 2, 5, 10, 20, 50];

/** The newest mark at or before the step, and when the step was logged. */
function whereabouts(): string {
  const here = step.value;
  if (here === null) return "";
  for (const { run } of shownRuns.value) {
    const timeline = timelines.value[run];
    const index = timeline ? indexOfStep(timeline.steps, here) : -1;
    if (!timeline || index < 0) continue;
    const mark = timeline.marks.filter((each) => each.step <= here).pop();
    const time = formatTime(timeline.wall_times_s[index] as number);
    return mark ? `${mark.text} · ${time}` : time;
  }
  return "";
}

export function Transport() {
  const steps = stepsInView.value;
  useEffect(() => {
    if (!playing.value) return undefined;
    const timer = setInterval(() => {
      moveStep(1);
      if (step.value === stepsInView.value[stepsInView.value.length - 1]) playing.value = false;
    }, 1000 / stepsPerSecond.value);
    return () => clearInterval(timer);
  }, [playing.value, stepsPerSecond.value]);
  const last = steps.length > 0 ? (steps[steps.length - 1] as number) : null;
  return (
    <div class="transport">
      <div class="row hint">
        <span>Step</span>
        <span class="wide" data-testid="step-count">
          {formatCount(steps.length)} logged
        </span>
      </div>
      <div class="row">
        <span>
          <span class="step" data-testid="current-step" data-step={step.value ?? ""}>
            {step.value === null ? "–" : formatCount(step.value)}
          </span>
          <span class="hint wide"> {last === null ? "" : `of ${formatCount(last)}`}</span>
        </span>
        <span class="row">
          <button
            type="button"
            class="nudge"
            aria-label="Former logged step"
            title="Former logged step (←)"
            onClick={() => moveStep(-1)}
          >
            ◀
          </button>
          <button
            type="button"
            class="play"
            data-testid="play"
            aria-label={playing.value ? "Pause" : "Play"}
            title={playing.value ? "Pause (space)" : "Play (space)"}
            onClick={togglePlay}
          >
            {playing.value ? "❚❚" : "▶"}
          </button>
          <button
            type="button"
            class="nudge"
            aria-label="Next logged step"
            title="Next logged step (→)"
            onClick={() => moveStep(1)}
          >
            ▶
          </button>
          <select
            class="wide hint"
            aria-label="Logged steps a second"
            value={stepsPerSecond.value}
            onChange={(event) => {
              stepsPerSecond.value = Number(event.currentTarget.value);
            }}
          >
            {SPEEDS.map((speed) => (
              <option key={speed} value={speed}>
                {speed}/s
              </option>
            ))}
          </select>
        </span>
      </div>
      <div class="row hint">
        <span class="wide">{whereabouts()}</span>
        <button
          type="button"
          class="follow"
          role="switch"
          data-testid="follow"
          aria-checked={following.value}
          title="Stay at the newest step"
          onClick={toggleFollow}
        >
          Follow
        </button>
      </div>
    </div>
  );
}

export function TimeLine() {
  const shown = shownRuns.value;
  const marks = shown.map(({ run }) => timelines.value[run]?.marks ?? []).find((each) => each.length > 0) ?? [];
  const lanes = shown.map(({ letter, run }) => ({
    letter,
    colour: runColour(run, dark.value),
    steps: timelines.value[run]?.steps ?? [],
    restarts: (timelines.value[run]?.restarts ?? []).map((each) => each.step),
  }));
  const position = step.value;
  const hovered = hoverStep.value;
  const steps = stepsInView.value;
  const snapped = hovered === null ? -1 : nearestIndex(steps, hovered);
  const at = (event: PointerEvent) =>
    axis.value.step(event.clientX - (event.currentTarget as HTMLElement).getBoundingClientRect().left);
  return (
    <div
      class="timeline"
      data-testid="timeline"
      role="slider"
      tabIndex={0}
      aria-label="Step; snaps to logged steps"
      aria-valuemin={axis.value.first}
      aria-valuemax={axis.value.last}
      aria-valuenow={position ?? axis.value.first}
      title={snapped >= 0 ? `nearest logged step: ${formatCount(steps[snapped] as number)}` : ""}
      onPointerDown={(event) => {
        event.currentTarget.setPointerCapture(event.pointerId);
        chooseStep(at(event));
      }}
      onPointerMove={(event) => {
        hoverStep.value = at(event);
        if (event.buttons === 1) chooseStep(at(event));
      }}
      onPointerLeave={() => {
        hoverStep.value = null;
      }}
    >
      <Canvas
        deps={[timelines.value, shown, dark.value]}
        width={mainWidth.value}
        height={HEIGHT}
        aria-hidden="true"
        draw={(context) => drawTimeline(context, axis.value, marks, lanes, palette.value)}
      />
      <FindingsLane />
      <Cursors />
      {position !== null && (
        <div class="playhead" style={{ left: `${axis.value.x(position)}px` }}>
          {formatCount(position)}
        </div>
      )}
      {marks.length > 0 && (
        <div class="lane-name" style={{ top: `${MARK_TOP + 3}px` }}>
          mark
        </div>
      )}
      <div class="lane-name" style={{ top: `${LANES_TOP + LANE_HEIGHT / 2 - 1}px` }}>
        logged
      </div>
      <div class="lane-name" style={{ top: `${AXIS_TOP + 2}px` }}>
        step
      </div>
    </div>
  );
}
