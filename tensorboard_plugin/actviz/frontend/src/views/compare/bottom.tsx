// Below the maps: where the layer's values lie in A and in B, and its statistics side by side.
import { useMemo } from "preact/hooks";
import { runColour } from "../../colour";
import { Canvas } from "../../components/canvas";
import { largestShare } from "../../draw/histogram";
import { drawOverlay } from "../../draw/overlay";
import { valueScale } from "../../draw/values";
import { formatNumber, formatPercent, MINUS, signed } from "../../format";
import { palette } from "../../palette";
import type { Side } from "../../sides";
import { dark } from "../../state";
import { isFraction, STATISTICS } from "../../statistics";
import { indexOfStep } from "../../stats";
import type { Histograms } from "../../types";
import type { History } from "./data";

export interface SideRecords {
  side: Side;
  history: History;
  /** Those of the side's step. */
  histograms: Histograms;
}

export function Overlaid({ sides, width, height }: { sides: readonly SideRecords[]; width: number; height: number }) {
  const whole = sides.map(({ history }) => history.histograms);
  // Of both runs over all their steps, so that the axes stay in place.
  const scale = useMemo(() => valueScale(whole, 1000), whole);
  const full = useMemo(() => Math.max(...whole.map(largestShare)), whole);
  const lines = sides.map(({ side, histograms }, index) => ({
    letter: side.letter,
    colour: index === 1 && side.run === sides[0]?.side.run ? palette.value.ink : runColour(side.run, dark.value),
    histograms,
    index: indexOfStep(histograms.steps, side.step),
  }));
  const steps = sides.map(({ side }) => `${side.letter} step ${side.step}`).join(", ");
  return (
    <section class="overlaid">
      <div class="panel-head flush">
        <h2>Values, overlaid</h2>
        <span class="hint">share in each quarter octave, training forward; {steps}</span>
      </div>
      <Canvas
        width={width}
        height={height}
        data-testid="overlaid"
        role="img"
        aria-label={`Histograms of ${steps}`}
        draw={(context, canvas) => {
          drawOverlay(
            context,
            lines.filter(({ index }) => index >= 0),
            scale,
            full,
            { width, height },
            palette.value,
          );
          canvas.dataset.steps = sides.map(({ side }) => side.step).join(" ");
          canvas.dataset.runs = sides.map(({ side }) => side.run).join(" ");
        }}
      />
    </section>
  );
}

function statisticOf({ side, history: { statistics } }: SideRecords, name: string): number {
  const at = indexOfStep(statistics.steps, side.step);
  const row = statistics.columns.indexOf(name);
  return at < 0 || row < 0 ? Number.NaN : (statistics.values[row * statistics.steps.length + at] as number);
}

/** Differences of fractions are in points of per cent. */
function changeText(name: string, change: number): string {
  if (Number.isNaN(change)) return "–";
  if (!isFraction(name)) return signed(change);
  if (Math.abs(change) < 0.001) return change < 0 ? `>${MINUS}0.1 %` : formatPercent(change);
  return (change < 0 ? MINUS : "+") + formatPercent(Math.abs(change));
}

export function StatisticsTable({ sides }: { sides: readonly SideRecords[] }) {
  const [a, b] = sides;
  if (a === undefined || b === undefined) return null;
  return (
    <table class="compare-table" data-testid="compare-table" data-step-a={a.side.step} data-step-b={b.side.step}>
      <thead>
        <tr>
          <th scope="col">statistic</th>
          <th scope="col">A</th>
          <th scope="col">B</th>
          <th scope="col">B − A</th>
        </tr>
      </thead>
      <tbody>
        {STATISTICS.map(([name, label]) => {
          const [one, other] = [statisticOf(a, name), statisticOf(b, name)];
          if (Number.isNaN(one) && Number.isNaN(other)) return null;
          const text = (value: number) =>
            Number.isNaN(value) ? "–" : isFraction(name) ? formatPercent(value) : formatNumber(value);
          return (
            <tr key={name} data-statistic={name}>
              <th scope="row">{label}</th>
              <td>{text(one)}</td>
              <td>{text(other)}</td>
              <td>{changeText(name, other - one)}</td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}
