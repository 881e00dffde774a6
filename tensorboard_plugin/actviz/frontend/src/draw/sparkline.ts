// A statistic over steps in a layer's row: a thin line a run on one scale, and the cursor.

export interface SparkLine {
  steps: ArrayLike<number>;
  values: Float32Array;
  colour: string;
}

interface Frame {
  first: number;
  last: number;
  width: number;
  height: number;
}

export function drawSparkline(
  context: CanvasRenderingContext2D,
  lines: readonly SparkLine[],
  { first, last, width, height }: Frame,
  log: boolean,
  cursor: number | null,
  accent: string,
): void {
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (const { values } of lines)
    for (const value of values) {
      if (!Number.isFinite(value) || (log && value <= 0)) continue;
      if (value < low) low = value;
      if (value > high) high = value;
    }
  const x = (step: number) => 1 + ((step - first) / (last - first || 1)) * (width - 2);
  const onLog = log && low > 0;
  const place = (value: number) =>
    onLog ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low);
  context.lineWidth = 1.2;
  for (const { steps, values, colour } of lines) {
    context.strokeStyle = colour;
    context.beginPath();
    let drawing = false;
    for (let index = 0; index < values.length; index++) {
      const value = values[index] as number;
      if (!Number.isFinite(value)) {
        drawing = false;
        continue;
      }
      const at = high > low ? Math.max(0, Math.min(1, place(value) || 0)) : 0.5;
      const y = height - 1.5 - at * (height - 3);
      if (drawing) context.lineTo(x(steps[index] as number), y);
      else context.moveTo(x(steps[index] as number), y);
      drawing = true;
    }
    context.stroke();
  }
  if (cursor === null || cursor < first || cursor > last) return;
  context.fillStyle = accent;
  context.fillRect(x(cursor) - 0.5, 0, 1, height);
}
