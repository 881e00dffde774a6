// The step in view, and what moves it: back, play, forward, speed, loop, follow.
import { useEffect } from "preact/hooks";
import { moveStep, playOn, toggleFollow, togglePlay } from "../actions";
import { formatCount, formatTime } from "../format";
import { following, looping, playing, shownRuns, step, stepsInView, stepsPerSecond, timelines, zoom } from "../state";
import { indexOfStep } from "../stats";
import { resetZoom } from "../zoom";

export const SPEEDS = [1, 2, 5, 10, 20, 30, 60];

/** From here on the number takes all the room there is. */
const LONG = 1000;

/** The newest mark at or before the step, and when the step was logged. */
function whereabouts(): string {
  const here = step.value;
  if (here === null) return "";
  for (const { run } of shownRuns.value) {
    const timeline = timelines.value[run];
    const index = timeline ? indexOfStep(timeline.steps, here) : -1;
    if (!timeline || index < 0) continue;
    const mark = timeline.marks.findLast((each) => each.step <= here);
    const time = formatTime(timeline.wall_times_s[index] as number);
    return mark ? `${mark.text} · ${time}` : time;
  }
  return "";
}

export function Transport() {
  const steps = stepsInView.value;
  useEffect(() => {
    if (!playing.value) return undefined;
    const timer = setInterval(playOn, 1000 / stepsPerSecond.value);
    return () => clearInterval(timer);
  }, [playing.value, stepsPerSecond.value]);
  const last = steps.length > 0 ? (steps[steps.length - 1] as number) : null;
  return (
    <div class="transport">
      <div class="row hint">
        {zoom.value === null ? <span>Step</span> : <Range range={zoom.value} />}
        <span class="wide" data-testid="step-count">
          {formatCount(steps.length)} logged
        </span>
      </div>
      <div class="row">
        <span>
          <span class="step" data-testid="current-step" data-step={step.value ?? ""}>
            {step.value === null ? "–" : formatCount(step.value)}
          </span>
          <span class="hint wide">{last === null || last >= LONG ? "" : ` of ${last}`}</span>
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
            class="hint speed"
            data-testid="speed"
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
        <span class="wide whereabouts">{whereabouts()}</span>
        <button
          type="button"
          class="switch"
          role="switch"
          data-testid="loop"
          aria-checked={looping.value}
          title="Play the range in view again and again (l)"
          onClick={() => {
            looping.value = !looping.value;
          }}
        >
          Loop
        </button>
        <button
          type="button"
          class="switch"
          role="switch"
          data-testid="follow"
          aria-checked={following.value}
          title="Stay at the newest step (f)"
          onClick={toggleFollow}
        >
          Follow
        </button>
      </div>
    </div>
  );
}

/** The range that the step axis is zoomed to; a click shows all steps again. */
function Range({ range: [first, last] }: { range: readonly [number, number] }) {
  return (
    <button type="button" class="range" data-testid="zoom" title="Show all steps again (Esc)" onClick={resetZoom}>
      {formatCount(first)}–{formatCount(last)} <span aria-hidden="true">×</span>
      <span class="visually-hidden">: show all steps</span>
    </button>
  );
}
