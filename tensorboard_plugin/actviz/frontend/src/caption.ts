// What a saved picture says of itself: what it shows, of which run, layer and step, on which scale.
import { css, lut, type ScaleName } from "./colour";
import { formatNumber } from "./format";
import { stepShown } from "./gif";
import { palette } from "./palette";
import { type Caption, fileName } from "./saving";
import { axisTicks } from "./spacing";
import { axis, dark, focusedRun, layer, shownRuns, step, view } from "./state";

const SCALE_COLOURS = 32;
const AXIS_TICKS = 8;

/** What a canvas shows; without what its label says of keys, behind a semicolon. */
export function labelOf(canvas: HTMLCanvasElement): string {
  return (canvas.getAttribute("aria-label") ?? "").split(";")[0] as string;
}

/** Of which run, layer, step, sample and channel a canvas says that it is; what it does not say is the chosen one. */
function factsOf(canvas: HTMLCanvasElement): string[] {
  const { run, runA: one, runB: other, stepA, stepB, sample, channel, layer: own } = canvas.dataset;
  const shown = shownRuns.peek();
  const named = (each: string) => [shown.find((of) => of.run === each)?.letter, each].filter(Boolean).join(" ");
  const runs =
    one !== undefined && other !== undefined
      ? [`A ${one}, step ${stepA}`, `B ${other}, step ${stepB}`]
      : (run !== undefined ? [run] : shown.map((each) => each.run).filter(isDrawn)).map(named);
  // A picture that waits for another step still says which one it is of.
  const at = stepA === undefined ? `step ${stepShown(canvas) ?? step.peek()}` : "";
  const inputs = sample === undefined ? "" : `sample ${sample}`;
  return [...runs, own ?? layer.peek() ?? "", at, inputs, channel ? `channel ${channel}` : ""].filter(Boolean);
}

function scaleOf({ dataset }: HTMLCanvasElement): Caption["scale"] {
  const { colormap, scaleLow, scaleHigh } = dataset;
  if (colormap === undefined || scaleLow === undefined || scaleHigh === undefined) return null;
  const table = lut(colormap as ScaleName, dark.peek());
  const colours = Array.from({ length: SCALE_COLOURS }, (_, index) => css(table, index / (SCALE_COLOURS - 1)));
  return { colours, low: formatNumber(Number(scaleLow)), high: formatNumber(Number(scaleHigh)) };
}

/** Layer and Propagation draw one of the two runs. */
function isDrawn(run: string): boolean {
  return !["layer", "propagation"].includes(view.peek()) || run === focusedRun.peek();
}

/** What is said below a canvas, as it is now. */
export function captionOf(canvas: HTMLCanvasElement): Caption {
  const { accent, bg, ink2 } = palette.peek();
  const { first, last, x, spacing } = axis.peek();
  const here = step.peek();
  const overSteps = canvas.closest(".plot") !== null;
  return {
    lines: [labelOf(canvas), factsOf(canvas).join("  ·  "), canvas.dataset.numbers ?? ""].filter(Boolean),
    ink: ink2,
    page: bg,
    cursor: overSteps && here !== null && here >= first && here <= last ? { x: x(here), colour: accent } : null,
    axis: overSteps
      ? axisTicks(spacing, first, last, AXIS_TICKS).map(({ step, label }) => ({ x: x(step), label }))
      : [],
    rows: JSON.parse(canvas.dataset.rowNames ?? "[]"),
    scale: scaleOf(canvas),
  };
}

/** The name of a file with a canvas in it. */
export function nameOf(canvas: HTMLCanvasElement, extension: string): string {
  const at = stepShown(canvas) ?? step.peek();
  return fileName([view.peek(), canvas.dataset.testid ?? "", layer.peek() ?? "", `step-${at}`], extension);
}
