// The probe's samples on the layer's first two principal components at the step in view.
import { useState } from "preact/hooks";
import { Canvas } from "../../components/canvas";
import { Swatch } from "../../components/frame";
import { type Cloud, drawCloud, drawPlane, drawRing, labelColours, type Plane, placeOf } from "../../draw/scatter";
import { hatch } from "../../draw/texture";
import { formatCount, formatPercent } from "../../format";
import { palette } from "../../palette";
import { alignedTo, beyond, nearestPoint, pointsAt, reachOf } from "../../similarity";
import { dark, layer, sample, scaleLocked, step } from "../../state";
import { indexOfStep } from "../../stats";
import { GramState, type Inputs, type Projection } from "../../types";
import { loggedAt, projections, useLatest } from "./data";
import type { Side } from "./panels";

const NEAR = 14;
/** Room for what stands above the plane. */
const HEAD = 330;

interface SamplesProps {
  of: Side;
  /** Over all steps, or as many as one answer has; null: not there yet. */
  history: Projection | null;
  probe: Inputs | null;
  width: number;
  height: number;
}

interface Here {
  step: number;
  points: Float32Array;
  explained: Float32Array;
  state: number;
}

export function stepOf(history: Projection, index: number): Here {
  const { steps, explained, states } = history;
  return {
    step: steps[index] as number,
    points: pointsAt(history, index),
    explained: explained.subarray(index * 2, index * 2 + 2),
    state: states[index] as number,
  };
}

/** The step in view: of the history, or where that has not every step, alone, and turned onto the one before it in the history. */
function useHere(of: Side, history: Projection | null): { here: Here | null; error: Error | null } {
  const index = history === null ? -1 : indexOfStep(history.steps, step.value);
  const logged = loggedAt(of.run, step.value);
  const alone = history !== null && index < 0 && logged !== null && step.value !== null;
  const query = alone
    ? { run: of.run, layer: history.layer, step: step.value as number, logged: logged as number }
    : null;
  const { shown, error } = useLatest(projections, query);
  if (history !== null && index >= 0) return { here: stepOf(history, index), error: null };
  if (history === null || query === null || shown === null) return { here: null, error };
  if (shown.run !== history.run || shown.layer !== history.layer) return { here: null, error };
  const here = stepOf(shown, 0);
  const before = history.steps.findLastIndex(
    (each, at) => each < here.step && history.states[at] === GramState.HasDirection,
  );
  const points = before < 0 ? here.points : alignedTo(here.points, stepOf(history, before).points);
  return { here: { ...here, points }, error };
}

export function Samples({ of, history, probe, width, height }: SamplesProps) {
  const [hovered, setHovered] = useState(-1);
  const { here, error } = useHere(of, history);
  const side = Math.floor(Math.max(80, Math.min(width, height)));
  const locked = scaleLocked.value;
  const labels = probe?.labels ?? null;
  const words =
    error !== null
      ? `${error.message}.`
      : step.value !== null && loggedAt(of.run, step.value) === null
        ? `Run ${of.letter} did not log step ${formatCount(step.value)}.`
        : here?.state === GramState.Equal
          ? "equal for all samples"
          : "";
  const count = here === null ? 0 : here.points.length / 2;
  const cloud: Cloud | null =
    here !== null && here.state === GramState.HasDirection
      ? { points: here.points, labels, colours: labelColours(labels, count, dark.value, palette.value.ink2) }
      : null;
  const reach = here === null || history === null ? 1 : reachOf(locked ? history.points : here.points);
  const plane: Plane = { left: 0, top: 0, side, reach };
  const chosen = probe?.samples[sample.value] ?? -1;
  const outside = cloud === null ? 0 : beyond(cloud.points, reach);
  const draw = (context: CanvasRenderingContext2D, canvas: HTMLCanvasElement) => {
    if (here?.state === GramState.NonFinite) {
      context.fillStyle = hatch(context, palette.value.bad, palette.value.bg);
      context.fillRect(0, 0, side, side);
    }
    drawPlane(context, plane, palette.value);
    if (cloud !== null) {
      if (chosen >= 0 && chosen < count) drawRing(context, cloud, chosen, plane, palette.value.accent);
      if (hovered >= 0 && hovered < count) drawRing(context, cloud, hovered, plane, palette.value.ink2);
      drawCloud(context, cloud, plane, labels === null ? 3 : null);
    }
    Object.assign(canvas.dataset, {
      run: of.run,
      layer: history?.layer ?? "",
      step: here === null ? "" : String(here.step),
    });
    canvas.dataset.reach = String(reach);
    canvas.dataset.points = cloud === null ? "" : Array.from(cloud.points, (value) => value.toPrecision(6)).join(" ");
  };
  const find = (event: MouseEvent): number => {
    if (cloud === null) return -1;
    const bounds = (event.currentTarget as HTMLElement).getBoundingClientRect();
    const places = new Float32Array(count * 2);
    for (let index = 0; index < count; index++) places.set(placeOf(cloud.points, index, plane), index * 2);
    return nearestPoint(places, event.clientX - bounds.left, event.clientY - bounds.top, NEAR);
  };
  const choose = (event: MouseEvent) => {
    const place = probe?.samples.indexOf(find(event)) ?? -1;
    if (place >= 0) sample.value = place;
  };
  return (
    <section class="samples" style={{ width: `${Math.max(side, Math.min(width, HEAD))}px` }} data-testid="samples">
      <div class="panel-head flush">
        <h2>Samples</h2>
        <Swatch letter={of.letter} run={of.run} />
        <span class="hint">{here !== null && `step ${formatCount(here.step)}`}</span>
        <span class="spacer" />
        <span class="hint" data-testid="explained">
          {cloud !== null &&
            here !== null &&
            `PC 1 ${formatPercent(here.explained[0] as number)}, PC 2 ${formatPercent(here.explained[1] as number)}`}
        </span>
      </div>
      <div class="matrix-cells" style={{ width: `${side}px`, height: `${side}px` }}>
        <Canvas
          width={side}
          height={side}
          draw={draw}
          deps={[here?.points, reach, hovered, chosen, labels, history]}
          data-testid="scatter"
          role="img"
          aria-label={summaryOf(of, history?.layer ?? layer.value ?? "", here, cloud, words)}
          onPointerMove={(event) => setHovered(find(event))}
          onPointerLeave={() => setHovered(-1)}
          onClick={choose}
        />
        {words !== "" && <span class="plate">{words}</span>}
        {here?.state === GramState.NonFinite && <span class="plate bad">NaN or infinity</span>}
      </div>
      <p class="readout-line" aria-live="polite" data-testid="sample-value">
        {hovered >= 0
          ? sampleWords(hovered, probe)
          : outside > 0
            ? `${outside} of ${count} beyond the edge, drawn there`
            : ""}
      </p>
    </section>
  );
}

function sampleWords(index: number, probe: Inputs | null): string {
  const label = probe?.labels?.[index];
  const named = label === undefined ? `sample ${index}` : `sample ${index}, label ${label}`;
  return probe !== null && !probe.samples.includes(index) ? `${named}; no maps of it are logged` : named;
}

function summaryOf(of: Side, name: string, here: Here | null, cloud: Cloud | null, words: string): string {
  if (here === null) return words || "The samples are awaited.";
  const head = `Samples on the first two principal components of ${name}, run ${of.letter}, step ${here.step}`;
  if (cloud === null) return `${head}: ${words || "NaN or infinity"}.`;
  const [first, second] = [here.explained[0] as number, here.explained[1] as number];
  return `${head}: ${cloud.points.length / 2} samples; they explain ${formatPercent(first)} and ${formatPercent(second)} of the variance.`;
}
