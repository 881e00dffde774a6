// Over the steps: the samples' plane as frames, and how many dimensions they use.
import { nearestIndex, type StepAxis } from "../../axis";
import { runColour } from "../../colour";
import { Canvas } from "../../components/canvas";
import { StepPlot, Swatch } from "../../components/frame";
import { drawDimensions, type RunLine } from "../../draw/dimensions";
import { type Cloud, drawCloud, labelColours } from "../../draw/scatter";
import { hatch } from "../../draw/texture";
import { formatNumber } from "../../format";
import { FONT, palette } from "../../palette";
import { reachOf } from "../../similarity";
import { axis, dark, dimensions, layer, mainWidth, scaleLocked, scaleMode, step } from "../../state";
import { indexOfStep } from "../../stats";
import { GramState, type Inputs, type Projection } from "../../types";
import type { Side } from "./panels";
import { stepOf } from "./samples";

const FRAME_GAP = 6;
const DOT = 1.4;

/** A run with its projections; null where they are awaited, in words where there are none. */
export interface RunHistory {
  of: Side;
  history: Projection | null;
  words: string;
  probe: Inputs | null;
  /** Whether its plane is turned onto that of the other run. */
  turned: boolean;
}

/** Indices of the steps that frames stand for, and their left edges: as many as fit, none where the run has no step nearby; that at `here` is it. */
export function framesOn(
  axis: StepAxis,
  steps: ArrayLike<number>,
  side: number,
  here: number | null,
): { index: number; left: number }[] {
  const fitting = Math.floor((axis.right - axis.left + FRAME_GAP) / (side + FRAME_GAP));
  const count = Math.max(1, Math.min(steps.length, fitting));
  const pitch = (axis.right - axis.left) / count;
  const frames: { index: number; left: number }[] = [];
  for (let place = 0; place < count; place++) {
    const middle = axis.left + (place + 0.5) * pitch;
    const index = nearestIndex(steps, axis.step(middle));
    if (index < 0 || Math.abs(axis.x(steps[index] as number) - middle) > pitch) continue;
    if (frames[frames.length - 1]?.index !== index) frames.push({ index, left: Math.round(middle - side / 2) });
  }
  const at =
    here === null
      ? undefined
      : frames[
          nearestIndex(
            frames.map(({ index }) => steps[index] as number),
            here,
          )
        ];
  if (at && here !== null) at.index = nearestIndex(steps, here);
  return frames;
}

export function Frames({ runs, side }: { runs: readonly RunHistory[]; side: number }) {
  return (
    <section>
      <div class="panel-head">
        <h2>PCA over steps</h2>
        <span class="hint">aligned to the step before{runs.some(({ turned }) => turned) ? ", B to A" : ""}, scale</span>
        <select
          class="hint"
          data-testid="scale-mode"
          aria-label="Scale of the principal components"
          value={scaleLocked.value ? "locked" : "layer"}
          onChange={(event) => {
            scaleMode.value = event.currentTarget.value as typeof scaleMode.value;
          }}
        >
          <option value="locked">locked over the run</option>
          <option value="layer">of each step</option>
        </select>
      </div>
      {runs.map((each) => (
        <FrameRow key={each.of.letter} {...each} side={side} />
      ))}
    </section>
  );
}

function FrameRow({ of, history, words, probe, side }: RunHistory & { side: number }) {
  const labels = probe?.labels ?? null;
  if (history === null)
    return (
      <div class="frame-row" style={{ height: `${side + FRAME_GAP}px` }}>
        <RowSwatch of={of} />
        <p class="hint">{words}</p>
      </div>
    );
  const frames = framesOn(axis.value, history.steps, side, step.value);
  const steps = frames.map(({ index }) => history.steps[index] as number);
  const nearest = step.value === null ? -1 : nearestIndex(steps, step.value);
  const draw = (context: CanvasRenderingContext2D, canvas: HTMLCanvasElement) => {
    const colours = labelColours(labels, history.samples, dark.value, palette.value.ink2);
    const reach = reachOf(history.points);
    let before = -1;
    for (const [place, { index, left }] of frames.entries()) {
      const { points, state } = stepOf(history, index);
      const plane = { left, top: 3, side, reach: scaleLocked.value ? reach : reachOf(points) };
      drawFrame(context, { points, labels, colours }, plane, state, state !== before);
      if (place === nearest) {
        context.strokeStyle = palette.value.accent;
        context.lineWidth = 2;
        context.strokeRect(left - 1, 2, side + 2, side + 2);
      }
      before = state;
    }
    Object.assign(canvas.dataset, {
      run: of.run,
      layer: history.layer,
      frames: steps.join(" "),
      chosen: String(steps[nearest] ?? ""),
    });
    canvas.dataset.states = frames.map(({ index }) => history.states[index]).join(" ");
  };
  return (
    <StepPlot label={`Samples of ${history.layer} in run ${of.run} over steps`}>
      <Canvas
        width={mainWidth.value}
        height={side + FRAME_GAP}
        draw={draw}
        deps={[history, labels, steps.join(), side]}
        data-testid="pca-frames"
        role="img"
        aria-label={framesWords(of, history, steps)}
      />
      <RowSwatch of={of} />
    </StepPlot>
  );
}

function drawFrame(
  context: CanvasRenderingContext2D,
  cloud: Cloud,
  plane: { left: number; top: number; side: number; reach: number },
  state: number,
  first: boolean,
): void {
  const { left, top, side } = plane;
  const { bg, panel, line, bad, ink2 } = palette.value;
  context.fillStyle = state === GramState.NonFinite ? hatch(context, bad, bg) : state === GramState.Equal ? panel : bg;
  context.fillRect(left, top, side, side);
  context.strokeStyle = line;
  context.lineWidth = 1;
  context.strokeRect(left + 0.5, top + 0.5, side - 1, side - 1);
  if (state === GramState.HasDirection) drawCloud(context, cloud, plane, DOT);
  else if (first)
    drawWords(
      context,
      state === GramState.Equal ? ["equal for", "all samples"] : ["NaN"],
      plane,
      state === GramState.Equal ? ink2 : bad,
      bg,
    );
}

/** Words in the middle of a frame; on a plate where they stand on a texture. */
function drawWords(
  context: CanvasRenderingContext2D,
  lines: readonly string[],
  { left, top, side }: { left: number; top: number; side: number },
  ink: string,
  plate: string,
): void {
  context.font = FONT;
  context.textAlign = "center";
  context.textBaseline = "middle";
  for (const [index, text] of lines.entries()) {
    const y = top + side / 2 + (index - (lines.length - 1) / 2) * 14;
    if (lines.length === 1) {
      const width = context.measureText(text).width + 8;
      context.fillStyle = plate;
      context.fillRect(left + (side - width) / 2, y - 8, width, 16);
    }
    context.fillStyle = ink;
    context.fillText(text, left + side / 2, y, side - 4);
  }
}

function framesWords(of: Side, { layer: name, states }: Projection, steps: readonly number[]): string {
  const count = (state: GramState) => states.filter((each) => each === state).length;
  const parts = [`Samples of ${name} on two principal components, run ${of.letter}: ${steps.length} frames`];
  if (count(GramState.Equal) > 0)
    parts.push(`equal for all samples at ${count(GramState.Equal)} of ${states.length} steps`);
  if (count(GramState.NonFinite) > 0)
    parts.push(`NaN or infinity at ${count(GramState.NonFinite)} of ${states.length} steps`);
  return `${parts.join("; ")}.`;
}

function RowSwatch({ of }: { of: Side }) {
  return (
    <div class="row-swatch">
      <Swatch letter={of.letter} run={of.run} />
    </div>
  );
}

function dimensionsOf(history: Projection): Float32Array {
  return dimensions.value === "participation" ? history.participation : history.effectiveRank;
}

export function Dimensions({ runs, height }: { runs: readonly RunHistory[]; height: number }) {
  const known = runs.filter((each): each is RunHistory & { history: Projection } => each.history !== null);
  const lines: RunLine[] = known.map(({ of, history }) => ({
    steps: history.steps,
    values: dimensionsOf(history),
    colour: runColour(of.run, dark.value),
  }));
  const values = known.map(({ of, history }) => {
    const index = indexOfStep(history.steps, step.value);
    return { of, value: index < 0 ? null : (dimensionsOf(history)[index] as number), state: history.states[index] };
  });
  const label = dimensions.value === "participation" ? "participation ratio" : "effective rank";
  const words = values.map(({ of, value, state }) => `run ${of.letter} ${valueWords(value, state)}`).join(", ");
  const most = known.length > 0 ? Math.max(...known.map(({ history }) => history.samples)) - 1 : 0;
  return (
    <section data-testid="dimensions">
      <div class="panel-head">
        <h2>Dimensions used</h2>
        <select
          class="hint"
          data-testid="measure"
          aria-label="How dimensions are counted"
          value={dimensions.value}
          onChange={(event) => {
            dimensions.value = event.currentTarget.value as typeof dimensions.value;
          }}
        >
          <option value="participation">participation ratio</option>
          <option value="effective">effective rank</option>
        </select>
        <span class="hint">
          of {layer.value}
          {most > 0 && `; at most ${most}, one less than the samples`}
        </span>
      </div>
      <StepPlot label={`Dimensions used by ${layer.value} over steps`}>
        <Canvas
          width={mainWidth.value}
          height={height}
          data-testid="dimensions-plot"
          deps={[...known.map(({ history }) => history), dimensions.value, height]}
          role="img"
          aria-label={`Dimensions used by ${layer.value}, ${label}, at step ${step.value}: ${words}`}
          draw={(context, canvas) => {
            drawDimensions(context, lines, axis.value, height, palette.value);
            canvas.dataset.measure = dimensions.value;
          }}
        />
        <div class="lane-values" data-testid="dimensions-values">
          {values.map(({ of, value, state }) => (
            <div key={of.letter}>
              <Swatch letter={of.letter} run={of.run} />
              {valueWords(value, state)}
            </div>
          ))}
        </div>
      </StepPlot>
    </section>
  );
}

function valueWords(value: number | null, state: number | undefined): string {
  if (value === null) return "";
  if (Number.isNaN(value)) return state === GramState.NonFinite ? "NaN" : "none";
  return formatNumber(value);
}
