// An input sample as a thumbnail: three channels as red, green and blue, others as grey.
import { mapNumber, NONFINITE } from "../maps";
import type { Inputs } from "../types";

export function drawInput(context: CanvasRenderingContext2D, inputs: Inputs, sample: number, size: number): void {
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
  const scale = size / Math.max(width, height);
  context.imageSmoothingEnabled = scale < 1;
  context.drawImage(tile, 0, 0, width * scale, height * scale);
}
