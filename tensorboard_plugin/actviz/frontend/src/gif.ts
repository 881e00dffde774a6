// A play of a canvas as GIF: goes from step to step, and takes each when it is drawn, however long that takes.
import { applyPalette, GIFEncoder, quantize } from "gifenc";
import { type Caption, compose, LAST_FRAME_MS } from "./saving";

/** Bounds on time, memory and the file's size: so many frames, and so many pixels in all of them together. */
const MOST_FRAMES = 240;
const MOST_PIXELS = 100e6;
/** Browsers show frames of less than this ten times as long. */
const LEAST_DELAY_MS = 20;
/** So long, over the whole play, steps whose picture is not there yet are waited for. */
const PATIENCE_MS = 15_000;

export interface Gif {
  blob: Blob;
  /** How many frames there are, and how many of them show another step than they were taken for. */
  frames: number;
  late: number;
}

export interface Play {
  /** The steps to take, in order. */
  steps: readonly number[];
  /** Goes to a step; false: this is no longer possible, and the play ends. */
  go(step: number): boolean;
  perSecond: number;
}

/** The step that a canvas says that it shows; null: its picture is of all steps. */
export function stepShown(canvas: HTMLCanvasElement): string | null {
  return canvas.dataset.step || canvas.dataset.stepA || null;
}

/** Of `steps`, all that a GIF of so many pixels a frame takes: the first, the last, and evenly many between them. */
export function stepsTaken(steps: ArrayLike<number>, pixels: number): number[] {
  const most = Math.max(2, Math.min(MOST_FRAMES, Math.floor(MOST_PIXELS / pixels)));
  if (steps.length <= most) return Array.from(steps);
  return Array.from(
    { length: most },
    (_, index) => steps[Math.round((index * (steps.length - 1)) / (most - 1))] as number,
  );
}

/** Makes a GIF of a play, which ends early when `signal` is aborted or the canvas goes; `captionNow` is asked for every frame. */
export async function gif(
  source: HTMLCanvasElement,
  captionNow: () => Caption,
  { steps, go, perSecond }: Play,
  signal: AbortSignal,
): Promise<Gif> {
  const screen = document.createElement("canvas");
  const context = screen.getContext("2d", { willReadFrequently: true });
  if (context === null) throw new Error("This browser gives no canvas to draw on");
  const encoder = GIFEncoder();
  const delay = Math.max(LEAST_DELAY_MS, 1000 / perSecond);
  let [patience, frames, late] = [PATIENCE_MS, 0, 0];
  let size = "";
  for (const step of steps) {
    if (signal.aborted || !go(step)) break;
    patience -= await drawn(source, step, patience, signal);
    if (!source.isConnected || signal.aborted) break;
    compose(source, captionNow(), screen);
    const { width, height } = screen;
    size ||= `${width} ${height}`;
    if (size !== `${width} ${height}`) break; // all frames of a GIF have one size
    if (!shows(source, step)) late++;
    // In pieces, so that the page stays responsive.
    const { data } = context.getImageData(0, 0, width, height);
    const palette = quantize(data, 256);
    await pause();
    const index = applyPalette(data, palette);
    await pause();
    const isLast = step === steps[steps.length - 1];
    encoder.writeFrame(index, width, height, { palette, delay: isLast ? Math.max(delay, LAST_FRAME_MS) : delay });
    frames++;
  }
  if (frames === 0) throw new Error("There was no frame to save");
  encoder.finish();
  return { blob: new Blob([encoder.bytes()], { type: "image/gif" }), frames, late };
}

function shows(canvas: HTMLCanvasElement, step: number): boolean {
  const shown = stepShown(canvas);
  return shown === null || shown === String(step);
}

/** Waits until a canvas shows a step, `patience` ms at most; returns how long that was beyond the two frames that drawing takes. */
async function drawn(canvas: HTMLCanvasElement, step: number, patience: number, signal: AbortSignal): Promise<number> {
  await nextFrame();
  await nextFrame();
  const start = performance.now();
  while (!shows(canvas, step) && performance.now() - start < patience && canvas.isConnected && !signal.aborted)
    await nextFrame();
  return performance.now() - start;
}

function nextFrame(): Promise<number> {
  return new Promise(requestAnimationFrame);
}

function pause(): Promise<void> {
  return new Promise((done) => setTimeout(done));
}
