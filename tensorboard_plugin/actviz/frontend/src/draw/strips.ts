// Channel means over steps: a row a channel, a column a logged step.
import type { StepAxis } from "../axis";
import { entryOf, type ScaleLimits } from "../maps";
import type { Palette } from "../palette";
import type { Channels } from "../types";
import { columnEdges } from "./values";

/** Symmetric limits: the 99.9th percentile of the absolute means over the whole run. */
export function channelLimits({ mean }: Channels): ScaleLimits {
  const sizes = mean
    .filter((value) => Number.isFinite(value))
    .map(Math.abs)
    .sort();
  const limit = sizes.length > 0 ? (sizes[Math.floor((sizes.length - 1) * 0.999)] as number) : 0;
  return limit > 0 ? { low: -limit, high: limit, clips: true } : { low: -1, high: 1, clips: false };
}

/** Draws the strip; where a channel is zero for every value, the page shows. */
export function drawChannels(
  context: CanvasRenderingContext2D,
  { steps, channels, mean, zero }: Channels,
  axis: StepAxis,
  height: number,
  limits: ScaleLimits,
  lut: Uint8ClampedArray,
): void {
  const [left, right] = columnEdges(axis, steps);
  const count = channels.length;
  const width = Math.max(1, Math.round(axis.right - axis.left));
  if (count === 0) return;
  const image = new ImageData(width, count);
  const pixels = new Uint32Array(image.data.buffer);
  const colours = new Uint32Array(lut.buffer, lut.byteOffset, 256);
  for (let step = 0; step < steps.length; step++) {
    const from = Math.max(0, Math.round((left[step] as number) - axis.left));
    const to = Math.min(width, Math.round((right[step] as number) - axis.left));
    for (let row = 0; row < count; row++) {
      const value = mean[step * count + row] as number;
      if (Number.isNaN(value) || (zero[step * count + row] as number) >= 1) continue;
      pixels.fill(colours[entryOf(value, limits)] as number, row * width + from, row * width + to);
    }
  }
  const tile = new OffscreenCanvas(width, count);
  tile.getContext("2d")?.putImageData(image, 0, 0);
  context.imageSmoothingEnabled = false;
  context.drawImage(tile, axis.left, 0, width, height);
}

/** Marks where channels die (in the colour of what is bad), are born or revive: a bar at the first step of the new state. */
export function drawLife(
  context: CanvasRenderingContext2D,
  { steps, channels }: Channels,
  events: readonly { channel: number; step: number; kind: string }[],
  axis: StepAxis,
  height: number,
  palette: Palette,
): void {
  const [left] = columnEdges(axis, steps);
  const column = new Map(Array.from(steps, (step, index) => [step, index] as const));
  const row = new Map(Array.from(channels, (name, index) => [name, index] as const));
  const tall = height / Math.max(1, channels.length);
  for (const { channel, step, kind } of events) {
    const x = left[column.get(step) ?? -1];
    const at = row.get(channel);
    if (x === undefined || at === undefined) continue;
    context.fillStyle = kind === "died" ? palette.bad : palette.ink;
    context.fillRect(x - 1, at * tall, 2, Math.max(1, tall - (tall > 3 ? 1 : 0)));
  }
}
