// Small parts that every view uses.
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { chooseReference, chooseStep } from "../actions";
import { inkOn, runColour } from "../colour";
import { axis, brush, dark, hoverStep, type RunLetter, step } from "../state";
import { zoomTo } from "../zoom";
import { secondStep } from "./playhead";

/** A run's letter on its colour. */
export function Swatch({ letter, run }: { letter: RunLetter | null; run: string | null }) {
  const colour = run === null ? "transparent" : runColour(run, dark.value);
  const ink = run === null ? "var(--ink3)" : inkOn(colour);
  return (
    <span class="swatch" style={{ background: colour, color: ink }} aria-hidden="true">
      {letter}
    </span>
  );
}

/** The cursor lines of a plot over steps: the chosen step, the reference, the step under the pointer; and the range that is being drawn. */
export function Cursors() {
  const { x, first, last } = axis.value;
  const range = brush.value?.map(x);
  const inside = (at: number | null): at is number => at !== null && at >= first && at <= last;
  return (
    <>
      {inside(hoverStep.value) && <div class="cursor hover" style={{ left: `${x(hoverStep.value)}px` }} />}
      {range && (
        <div
          class="brush"
          style={{
            left: `${Math.min(...range)}px`,
            width: `${Math.abs((range[1] as number) - (range[0] as number))}px`,
          }}
        />
      )}
      {inside(secondStep.value) && <div class="cursor other" style={{ left: `${x(secondStep.value)}px` }} />}
      {inside(step.value) && <div class="cursor" style={{ left: `${x(step.value)}px` }} />}
    </>
  );
}

const SLACK = 4;

/** Step, not snapped, under the pointer; null beside the axis. `slack`: so many pixels beside it still count. */
function stepUnder(event: PointerEvent, slack: number): number | null {
  const x = event.clientX - (event.currentTarget as HTMLElement).getBoundingClientRect().left;
  const { left, right, step: stepOf } = axis.value;
  return x < left - slack || x > right + slack ? null : stepOf(Math.max(left, Math.min(right, x)));
}

/**
 * What the pointer does on a step axis: hovering shows a cursor everywhere, a click or drag chooses the step, Shift-drag the range to zoom
 * to, Alt-click the reference.
 */
export function scrubbing(slack = SLACK) {
  return {
    onPointerMove: (event: PointerEvent) => {
      const at = stepUnder(event, slack);
      hoverStep.value = at;
      if (event.buttons !== 1) return;
      if (brush.value !== null) brush.value = [brush.value[0], stepUnder(event, Number.POSITIVE_INFINITY) as number];
      else if (at !== null && !event.altKey && !event.shiftKey) chooseStep(at);
    },
    onPointerLeave: () => {
      hoverStep.value = null;
    },
    onPointerDown: (event: PointerEvent) => {
      const at = stepUnder(event, slack);
      if (at === null || event.button !== 0) return;
      if (event.altKey) chooseReference(at);
      else if (event.shiftKey) {
        (event.currentTarget as HTMLElement).setPointerCapture(event.pointerId);
        brush.value = [at, at];
        event.preventDefault(); // no selection of text
      } else chooseStep(at);
    },
    onPointerUp: () => {
      if (brush.value !== null) zoomTo(...brush.value);
      brush.value = null;
    },
    onPointerCancel: () => {
      brush.value = null;
    },
  };
}

/** A plot over steps, with the cursors. */
export function StepPlot({ children, label }: { children: ComponentChildren; label: string }) {
  // A plot that goes from under the pointer hears of no pointerleave.
  useEffect(
    () => () => {
      hoverStep.value = null;
    },
    [],
  );
  return (
    <div class="plot" role="group" aria-label={label} {...scrubbing()}>
      {children}
      <Cursors />
    </div>
  );
}

interface Fetched<T> {
  data: T | null;
  /** What `data` is of; another than asked for while the answer is awaited. */
  key: string | null;
  error: Error | null;
}

/** Fetches whenever `key` changes; keeps the last answer, with its own key, until the next one is there. */
export function useFetched<T>(key: string | null, load: (signal: AbortSignal) => Promise<T>): Fetched<T> {
  const [answer, setAnswer] = useState<Fetched<T>>({ data: null, key: null, error: null });
  const latest = useRef(load);
  latest.current = load;
  useEffect(() => {
    if (key === null) return undefined;
    const controller = new AbortController();
    latest
      .current(controller.signal)
      .then((data) => {
        if (!controller.signal.aborted) setAnswer({ data, key, error: null });
      })
      .catch((error: unknown) => {
        if (!controller.signal.aborted)
          setAnswer({ data: null, key, error: error instanceof Error ? error : new Error(String(error)) });
      });
    return () => controller.abort();
  }, [key]);
  return answer;
}
