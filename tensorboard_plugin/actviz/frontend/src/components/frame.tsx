// Small parts that every view uses.
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { chooseReference, chooseStep } from "../actions";
import { inkOn, runColour } from "../colour";
import { axis, dark, hoverStep, type RunLetter, step } from "../state";

/** A run's letter on its colour. */
export function Swatch({ letter, run }: { letter: RunLetter; run: string | null }) {
  const colour = run === null ? "transparent" : runColour(run, dark.value);
  const ink = run === null ? "var(--ink3)" : inkOn(colour);
  return (
    <span class="swatch" style={{ background: colour, color: ink }} aria-hidden="true">
      {letter}
    </span>
  );
}

/** The cursor lines of a plot over steps: the chosen step, and the step under the pointer. */
export function Cursors() {
  const { x, first, last } = axis.value;
  const inside = (at: number | null): at is number => at !== null && at >= first && at <= last;
  return (
    <>
      {inside(hoverStep.value) && <div class="cursor hover" style={{ left: `${x(hoverStep.value)}px` }} />}
      {inside(step.value) && <div class="cursor" style={{ left: `${x(step.value)}px` }} />}
    </>
  );
}

/** A plot over steps: hovering shows a cursor everywhere, a click or drag chooses the step, Alt-click the reference. */
export function StepPlot({ children, label }: { children: ComponentChildren; label: string }) {
  const at = (event: PointerEvent) =>
    axis.value.step(event.clientX - (event.currentTarget as HTMLElement).getBoundingClientRect().left);
  const inPlot = (event: PointerEvent) => {
    const x = event.clientX - (event.currentTarget as HTMLElement).getBoundingClientRect().left;
    return x >= axis.value.left - 4 && x <= axis.value.right + 4;
  };
  return (
    <div
      class="plot"
      role="group"
      aria-label={label}
      onPointerMove={(event) => {
        hoverStep.value = inPlot(event) ? at(event) : null;
        if (event.buttons === 1 && !event.altKey && inPlot(event)) chooseStep(at(event));
      }}
      onPointerLeave={() => {
        hoverStep.value = null;
      }}
      onPointerDown={(event) => {
        if (!inPlot(event)) return;
        if (event.altKey) chooseReference(at(event));
        else chooseStep(at(event));
      }}
    >
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
