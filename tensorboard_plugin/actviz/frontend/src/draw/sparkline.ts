// A statistic over steps in a layer's row: a thin line a run on one scale.
import { indexRange, type StepAxis } from "../axis";
import { onScale, type ScaleKind, statDomain } from "./scale";

export interface SparkLine {
  steps: ArrayLike<number>;
  values: Float32Array;
  colour: string;
}

/** Where a step of the axis stands in a sparkline `width` CSS pixels wide. */
export function sparkX(axis: StepAxis, width: number, step: number): number {
  return 1 + ((axis.x(step) - axis.left) / (axis.right - axis.left)) * (width - 2);
}

/** Draws the part that the step axis shows; where many steps share a pixel, from the least to the largest of their values. */
export function drawSparkline(
  context: CanvasRenderingContext2D,
  lines: readonly SparkLine[],
  axis: StepAxis,
  { width, height }: { width: number; height: number },
  stat: string,
  kind: ScaleKind,
): void {
  const parts = lines.map(({ steps, values, colour }) => {
    const [from, to] = indexRange(steps, axis.first, axis.last);
    return { steps, values, colour, from, to };
  });
  const domain = statDomain(
    parts.map(({ values, from, to }) => values.subarray(from, to)),
    stat,
    kind,
    0,
  );
  const y = (value: number) => height - 1.5 - onScale(domain, value) * (height - 3);
  context.lineWidth = 1.2;
  for (const { steps, values, colour, from, to } of parts) {
    context.strokeStyle = colour;
    context.beginPath();
    let drawing = false;
    let pixel = -1;
    let [least, most] = [0, 0];
    for (let index = from; index < to; index++) {
      const value = values[index] as number;
      if (!Number.isFinite(value)) {
        drawing = false;
        continue;
      }
      const x = sparkX(axis, width, steps[index] as number);
      const at = y(value);
      if (drawing && Math.floor(x) === pixel && at >= least && at <= most) continue;
      if (!drawing) context.moveTo(x, at);
      context.lineTo(x, at);
      [least, most] = Math.floor(x) === pixel ? [Math.min(least, at), Math.max(most, at)] : [at, at];
      pixel = Math.floor(x);
      drawing = true;
    }
    context.stroke();
  }
}
