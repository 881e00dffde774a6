// An input sample as a picture: three channels as red, green and blue, others as grey.
import { mapNumber, NONFINITE } from "../maps";
import type { Inputs } from "../types";

interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}

const tiles = new WeakMap<Inputs, Map<number, OffscreenCanvas>>();

/** One sample in its own pixels; painted once. */
function tileOf(inputs: Inputs, sample: number): OffscreenCanvas {
  const painted = tiles.get(inputs) ?? new Map<number, OffscreenCanvas>();
  tiles.set(inputs, painted);
  const tile = painted.get(sample) ?? paint(inputs, sample);
  painted.set(sample, tile);
  return tile;
}

function paint(inputs: Inputs, sample: number): OffscreenCanvas {
  const { height, width, channels } = inputs;
  const rgb = channels.length === 3;
  const maps = [0, 1, 2].map((part) => mapNumber(inputs, sample, rgb ? part : 0));
  const low = Math.min(...maps.map((map) => inputs.low[map] as number));
  const high = Math.max(...maps.map((map) => inputs.high[map] as number));
  const image = new ImageData(width, height);
  for (const [part, map] of maps.entries()) {
    const from = inputs.low[map] as number;
    const step = ((inputs.high[map] as number) - from) / 254;
    for (let pixel = 0; pixel < height * width; pixel++) {
      const code = inputs.data[map * height * width + pixel] as number;
      image.data[pixel * 4 + part] =
        code === NONFINITE || high <= low ? 0 : ((from + code * step - low) / (high - low)) * 255;
      image.data[pixel * 4 + 3] = 255;
    }
  }
  const tile = new OffscreenCanvas(width, height);
  tile.getContext("2d")?.putImageData(image, 0, 0);
  return tile;
}

/** Draws a sample as a thumbnail of at most `size` a side. */
export function drawInput(context: CanvasRenderingContext2D, inputs: Inputs, sample: number, size: number): void {
  const { height, width } = inputs;
  const scale = size / Math.max(width, height);
  drawInputIn(context, inputs, sample, { x: 0, y: 0, width: width * scale, height: height * scale });
}

/** Draws a sample stretched over a box. */
export function drawInputIn(context: CanvasRenderingContext2D, inputs: Inputs, sample: number, box: Box): void {
  context.imageSmoothingEnabled = box.width < inputs.width;
  context.drawImage(tileOf(inputs, sample), box.x, box.y, box.width, box.height);
  context.imageSmoothingEnabled = false;
}
