// The histograms of A and B on one signed log axis as outlines over each other; exact zeros apart, as bars.
import { formatPercent, formatTick } from "../format";
import { FONT, type Palette } from "../palette";
import type { Histograms } from "../types";
import { binOf, type ValueScale } from "./values";

export interface OverlayLine {
  letter: string;
  colour: string;
  histograms: Histograms;
  /** Row of the step. */
  index: number;
}

const ZERO_WIDTH = 112;
const AXIS_HEIGHT = 18;
const HEAD = 18;
const LETTER = 12;
const TICK_GAP = 36;

/** Share in each row of the axis, outermost negative to outermost positive, and of exact zeros. */
export function rowShares({ histograms, index }: OverlayLine, scale: ValueScale): { rows: Float64Array; zero: number } {
  const side = scale.highest - scale.lowest + 1;
  const negative = scale.negative ? side : 0;
  const rows = new Float64Array(negative + (scale.positive ? side : 0));
  const { bins, shares } = histograms;
  let zero = 0;
  for (let column = 0; column < bins.length; column++) {
    const bin = bins[column] as number;
    const share = shares[index * bins.length + column] as number;
    if (bin === 0) zero += share;
    if (bin === 0 || !(share > 0)) continue;
    const at = Math.max(0, Math.min(side - 1, Math.abs(bin) - scale.lowest));
    const row = bin > 0 ? negative + at : negative - 1 - at;
    rows[row] = (rows[row] ?? 0) + share;
  }
  return { rows, zero };
}

export function drawOverlay(
  context: CanvasRenderingContext2D,
  lines: readonly OverlayLine[],
  scale: ValueScale,
  full: number,
  { width, height }: { width: number; height: number },
  palette: Palette,
): void {
  const base = height - AXIS_HEIGHT;
  const tall = base - HEAD;
  const left = ZERO_WIDTH + 16;
  const side = scale.highest - scale.lowest + 1;
  const negative = scale.negative ? side : 0;
  const count = negative + (scale.positive ? side : 0);
  const pitch = (width - left - 8) / count;
  context.font = FONT;
  context.textBaseline = "alphabetic";
  const letters: { x: number; y: number }[] = [];
  for (const [order, line] of lines.entries()) {
    const { rows, zero } = rowShares(line, scale);
    let peak = 0;
    context.beginPath();
    context.moveTo(left, base);
    for (let row = 0; row < count; row++) {
      const share = rows[row] as number;
      if (share > (rows[peak] as number)) peak = row;
      const y = base - Math.min(1, share / full) * tall;
      context.lineTo(left + row * pitch, y);
      context.lineTo(left + (row + 1) * pitch, y);
    }
    context.lineTo(left + count * pitch, base);
    const bar = 24 + order * (ZERO_WIDTH / 2);
    context.globalAlpha = 0.2;
    context.fillStyle = line.colour;
    context.fill();
    context.fillRect(bar, base - zero * tall, 24, zero * tall);
    context.globalAlpha = 1;
    context.strokeStyle = line.colour;
    context.lineWidth = 1.5;
    context.stroke();
    context.fillStyle = line.colour;
    context.fillRect(bar, base - zero * tall - 1, 24, 2);
    context.fillStyle = palette.ink;
    context.textAlign = "center";
    context.fillText(`${line.letter} ${formatPercent(zero)}`, bar + 12, base - zero * tall - 5);
    if ((rows[peak] ?? 0) > 0) {
      const at = { x: left + (peak + 0.5) * pitch, y: base - Math.min(1, (rows[peak] as number) / full) * tall - 5 };
      // Beside the other one's letter where it would lie on it.
      const near = letters.some(({ x, y }) => Math.abs(x - at.x) < LETTER && Math.abs(y - at.y) < LETTER);
      context.fillText(line.letter, near ? at.x + LETTER : at.x, at.y);
      letters.push(at);
    }
  }
  context.fillStyle = palette.line2;
  context.fillRect(8, base, ZERO_WIDTH, 1);
  context.fillRect(left, base, count * pitch, 1);
  context.fillStyle = palette.ink2;
  context.fillText("exactly 0", 8 + ZERO_WIDTH / 2, height - 4);
  const ticks: number[] = [];
  for (let power = 38; power >= -40; power--) {
    const at = binOf(10 ** power) - scale.lowest;
    if (at < 2 || at > side) continue;
    for (const [sign, text] of [
      [1, formatTick(10 ** power)],
      [-1, formatTick(-(10 ** power))],
    ] as const) {
      const x = left + (negative + sign * at) * pitch;
      if (!(sign > 0 ? scale.positive : scale.negative) || ticks.some((other) => Math.abs(other - x) < TICK_GAP))
        continue;
      context.fillText(text, x, height - 4);
      ticks.push(x);
    }
  }
  context.textAlign = "left";
}
