// A layer's values at one step as bars, against a reference step as a line; exact zeros have a bar of their own.
import { css } from "../colour";
import { formatPercent, formatTick } from "../format";
import { FONT, type Palette } from "../palette";
import type { Histograms } from "../types";
import { BINS_A_DECADE, binOf, type ValueScale, valueScale } from "./values";

const ZERO_WIDTH = 12;
const ZERO_GAP = 6;
const AXIS_HEIGHT = 18;
const HEAD_HEIGHT = 26;
const LABEL_WIDTH = 36;

interface Box {
  width: number;
  height: number;
}

export interface HistogramLines {
  now: { index: number; label: string };
  reference: { index: number; label: string } | null;
}

/** Largest share of a bin other than zero at any step: the axis stays in place between steps. */
export function largestShare({ bins, shares }: Histograms): number {
  let largest = 0;
  for (let index = 0; index < shares.length; index++)
    if (bins[index % bins.length] !== 0 && (shares[index] as number) > largest) largest = shares[index] as number;
  return largest || 1;
}

const limits = new WeakMap<Histograms, { scale: ValueScale; full: number }>();

/** Scale and largest share, which take a look at all steps: found once. */
function limitsOf(histograms: Histograms): { scale: ValueScale; full: number } {
  const known = limits.get(histograms);
  if (known) return known;
  const found = { scale: valueScale([histograms], 1000), full: largestShare(histograms) };
  limits.set(histograms, found);
  return found;
}

export function drawHistogram(
  context: CanvasRenderingContext2D,
  histograms: Histograms,
  lines: HistogramLines,
  { width, height }: Box,
  lut: Uint8ClampedArray,
  palette: Palette,
): void {
  const { scale, full } = limitsOf(histograms);
  const sides = (scale.negative ? 1 : 0) + (scale.positive ? 1 : 0);
  const side = (width - 16 - ZERO_WIDTH - 2 * ZERO_GAP) / sides;
  const rows = scale.highest - scale.lowest + 1;
  const zeroLeft = 8 + (scale.negative ? side + ZERO_GAP : 0);
  const positiveLeft = zeroLeft + ZERO_WIDTH + ZERO_GAP;
  const base = height - AXIS_HEIGHT;
  const tall = base - HEAD_HEIGHT;
  const left = (bin: number) => {
    const at = Math.max(0, Math.min(rows - 1, Math.abs(bin) - scale.lowest));
    return bin > 0 ? positiveLeft + (at / rows) * side : 8 + ((rows - 1 - at) / rows) * side;
  };
  const binWidth = side / rows;
  context.font = FONT;
  context.textBaseline = "alphabetic";

  const { bins, shares } = histograms;
  const inner = [0, 0];
  const rowShares = (index: number, visit: (bin: number, share: number) => void) => {
    inner.fill(0);
    for (let column = 0; column < bins.length; column++) {
      const bin = bins[column] as number;
      const share = shares[index * bins.length + column] as number;
      if (!(share > 0)) continue;
      if (bin !== 0 && Math.abs(bin) <= scale.lowest)
        inner[bin > 0 ? 1 : 0] = (inner[bin > 0 ? 1 : 0] as number) + share;
      else visit(bin, share);
    }
    if (inner[0]) visit(-scale.lowest, inner[0]);
    if (inner[1]) visit(scale.lowest, inner[1]);
  };

  let zeroNow = 0;
  rowShares(lines.now.index, (bin, share) => {
    if (bin === 0) {
      zeroNow = share;
      return;
    }
    context.fillStyle = css(lut, bin > 0 ? 0.82 : 0.18);
    const size = Math.min(1, share / full) * tall;
    context.fillRect(left(bin), base - size, Math.max(1, binWidth - 0.5), size);
  });
  context.fillStyle = palette.ink3;
  context.fillRect(zeroLeft, base - zeroNow * tall, ZERO_WIDTH, zeroNow * tall);

  if (lines.reference) {
    const outline = new Map<number, number>();
    rowShares(lines.reference.index, (bin, share) => outline.set(bin, share));
    context.strokeStyle = palette.ink;
    context.lineWidth = 1;
    for (const sign of [-1, 1]) {
      if (!(sign < 0 ? scale.negative : scale.positive)) continue;
      context.beginPath();
      for (let place = 0; place < rows; place++) {
        const bin = sign * (scale.lowest + (sign < 0 ? rows - 1 - place : place));
        const y = base - Math.min(1, (outline.get(bin) ?? 0) / full) * tall - 0.5;
        context.lineTo(left(bin), y);
        context.lineTo(left(bin) + binWidth, y);
      }
      context.stroke();
    }
    const zero = outline.get(0) ?? 0;
    context.beginPath();
    context.moveTo(zeroLeft - 2, base - zero * tall - 0.5);
    context.lineTo(zeroLeft + ZERO_WIDTH + 2, base - zero * tall - 0.5);
    context.stroke();
  }

  context.fillStyle = palette.line2;
  context.fillRect(8, base, width - 16, 1);
  context.textAlign = "center";
  context.fillStyle = palette.ink;
  if (zeroNow > 0)
    context.fillText(
      formatPercent(zeroNow),
      Math.max(24, zeroLeft + ZERO_WIDTH / 2),
      Math.min(base - zeroNow * tall - 4, base - 6),
    );
  context.fillStyle = palette.ink2;
  context.fillText("0", zeroLeft + ZERO_WIDTH / 2, height - 5);
  const decade = (side / rows) * BINS_A_DECADE;
  const step = Math.ceil(LABEL_WIDTH / decade);
  for (let power = -40; power <= 38; power++) {
    const bin = Math.round(binOf(10 ** power));
    if (bin < scale.lowest + 3 || bin > scale.highest || power % step !== 0) continue;
    const text = formatTick(10 ** power);
    if (scale.positive) context.fillText(text, left(bin), height - 5);
    if (scale.negative) context.fillText(`\u2212${text}`, left(-bin) + binWidth, height - 5);
  }
  context.textAlign = "right";
  context.fillStyle = palette.ink;
  context.fillText(`${lines.now.label} ■`, width - 8, 10);
  context.fillStyle = palette.ink2;
  if (lines.reference) context.fillText(`${lines.reference.label} ─`, width - 8, 23);
  context.textAlign = "left";
}
