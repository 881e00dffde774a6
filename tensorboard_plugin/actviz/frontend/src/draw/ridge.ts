// Where a layer's values lie over the steps, as a ridge for each of some steps: values upwards, shares across, mirrored, so that none leaves the axis.
import { nearestIndex, type StepAxis } from "../axis";
import type { Palette } from "../palette";
import type { Histograms } from "../types";
import type { ValueScale } from "./values";

/** Distance of two ridges in CSS pixels at least, and the width of the widest one in distances. */
const PITCH = 28;
const REACH = 1.6;

/** Indices of the logged steps that have a ridge: as many as fit, evenly over the axis. */
export function ridgeSteps(steps: ArrayLike<number>, axis: StepAxis): number[] {
  const count = Math.max(1, Math.floor((axis.right - axis.left) / PITCH));
  if (steps.length <= count) return Array.from(steps, (_, index) => index);
  const chosen = new Set<number>();
  for (let place = 0; place < count; place++)
    chosen.add(nearestIndex(steps, axis.step(axis.left + ((place + 0.5) / count) * (axis.right - axis.left))));
  return [...chosen].sort((one, other) => one - other);
}

/** Draws the ridges on the scale of `drawValues`, as wide as the share, `full` the widest. What occurs at all is seen. */
export function drawRidges(
  context: CanvasRenderingContext2D,
  { bins, shares, steps }: Histograms,
  axis: StepAxis,
  scale: ValueScale,
  palette: Palette,
  full: number,
): void {
  const chosen = ridgeSteps(steps, axis);
  const reach = Math.min((axis.right - axis.left) / Math.max(chosen.length, 1), 3 * PITCH) * REACH;
  const sides = [...(scale.positive ? [1] : []), ...(scale.negative ? [-1] : [])];
  const byBin = new Map<number, number>();
  context.save();
  context.beginPath();
  // The first and the last ridge lose a half, which is the mirror image of the other one.
  context.rect(axis.left, 0, axis.right - axis.left, scale.height);
  context.clip();
  context.strokeStyle = palette.ink2;
  context.lineWidth = 1;
  for (const index of chosen) {
    const x = axis.x(steps[index] as number);
    const half = (share: number) => (share > 0 ? Math.max(0.5, (Math.min(1, share / full) * reach) / 2) : 0);
    byBin.clear();
    for (let column = 0; column < bins.length; column++) {
      const bin = bins[column] as number;
      const place = bin === 0 ? 0 : Math.sign(bin) * Math.max(scale.lowest, Math.min(scale.highest, Math.abs(bin)));
      byBin.set(place, (byBin.get(place) ?? 0) + (shares[index * bins.length + column] as number));
    }
    for (const side of sides) {
      context.beginPath();
      for (const edge of [1, -1])
        for (let place = 0; place <= scale.highest - scale.lowest; place++) {
          // Outwards along the right edge, back along the left one.
          const bin = side * (edge > 0 ? scale.lowest + place : scale.highest - place);
          const across = x + edge * half(byBin.get(bin) ?? 0);
          const [top, bottom] = [scale.binTop(bin), scale.binTop(bin) + scale.row];
          const downwards = edge > 0 === side < 0;
          context.lineTo(across, downwards ? top : bottom);
          context.lineTo(across, downwards ? bottom : top);
        }
      context.closePath();
      context.globalAlpha = 0.85;
      context.fillStyle = palette.bg;
      context.fill();
      context.globalAlpha = 1;
      context.stroke();
    }
    const zero = (byBin.get(0) ?? 0) * Math.min(reach, (axis.right - axis.left) / Math.max(chosen.length, 1) - 2);
    context.fillStyle = palette.ink3;
    if (zero > 0)
      context.fillRect(x - Math.max(1, zero) / 2, scale.zeroTop, Math.max(1, zero), scale.zeroBottom - scale.zeroTop);
  }
  context.restore();
}
