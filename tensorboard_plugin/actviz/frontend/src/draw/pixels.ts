// A channel's own values as bars, against those of the reference step as a line; height: the square root of the share, so that it needs no limit.
import { css } from "../colour";
import { formatPercent, formatTick } from "../format";
import { FONT, type Palette } from "../palette";
import type { PixelHistogram } from "../pixels";

const ZERO_WIDTH = 12;
const AXIS_HEIGHT = 18;
const HEAD_HEIGHT = 30;

interface Box {
  width: number;
  height: number;
}

interface Labelled {
  histogram: PixelHistogram;
  label: string;
}

export function drawPixels(
  context: CanvasRenderingContext2D,
  now: Labelled,
  reference: Labelled | null,
  { width, height }: Box,
  lut: Uint8ClampedArray,
  palette: Palette,
): void {
  const { low, high, shares, zero } = now.histogram;
  const hasZero = zero > 0 || (reference?.histogram.zero ?? 0) > 0;
  const left = hasZero ? 8 + ZERO_WIDTH + 12 : 8;
  const right = width - 8;
  const base = height - AXIS_HEIGHT;
  const tall = base - HEAD_HEIGHT;
  const wide = (right - left) / shares.length;
  const size = (share: number) => Math.sqrt(Math.min(1, share)) * tall;
  context.font = FONT;
  for (let bin = 0; bin < shares.length; bin++) {
    const share = shares[bin] as number;
    if (share <= 0) continue;
    const middle = low + ((bin + 0.5) / shares.length) * (high - low);
    context.fillStyle = css(lut, middle < 0 ? 0.18 : 0.82);
    context.fillRect(
      left + bin * wide,
      base - Math.max(1, size(share)),
      Math.max(1, wide - 0.5),
      Math.max(1, size(share)),
    );
  }
  context.textBaseline = "alphabetic";
  context.textAlign = "left";
  if (hasZero) {
    context.fillStyle = palette.ink3;
    context.fillRect(8, base - size(zero), ZERO_WIDTH, size(zero));
    context.fillStyle = palette.ink;
    context.fillText(formatPercent(zero), 2, base - size(zero) - 4);
    context.fillStyle = palette.ink2;
    context.fillText("≈0", 8, height - 5);
  }
  if (reference) {
    context.strokeStyle = palette.ink;
    context.lineWidth = 1;
    context.beginPath();
    for (const [bin, share] of reference.histogram.shares.entries()) {
      const y = base - size(share) - 0.5;
      context.lineTo(left + bin * wide, y);
      context.lineTo(left + (bin + 1) * wide, y);
    }
    if (hasZero) {
      const y = base - size(reference.histogram.zero) - 0.5;
      context.moveTo(6, y);
      context.lineTo(10 + ZERO_WIDTH, y);
    }
    context.stroke();
  }
  context.fillStyle = palette.line2;
  context.fillRect(8, base, width - 16, 1);
  context.fillStyle = palette.ink2;
  const ticks = low < 0 && high > 0 ? [low, low / 2, 0, high / 2, high] : [low, (low + high) / 2, high];
  for (const [index, value] of ticks.entries()) {
    context.textAlign = index === 0 ? "left" : index === ticks.length - 1 ? "right" : "center";
    const beyond =
      index === 0 && now.histogram.below ? "≤ " : index === ticks.length - 1 && now.histogram.above ? "≥ " : "";
    const x = left + ((value - low) / (high - low)) * (right - left);
    context.fillText(beyond + formatTick(Number(value.toPrecision(2))), x, height - 5);
  }
  context.textAlign = "right";
  context.fillStyle = palette.ink;
  context.fillText(`${now.label} ■`, right, 10);
  context.fillStyle = palette.ink2;
  if (reference) context.fillText(`${reference.label} ─`, right, 23);
  context.textAlign = "left";
}
