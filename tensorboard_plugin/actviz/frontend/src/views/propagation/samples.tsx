// The samples above the score: which one, or which ones, go through the network, and what comes out.
import { css, lut } from "../../colour";
import { Canvas } from "../../components/canvas";
import { drawInput } from "../../draw/input";
import { shorten } from "../../format";
import { colormap, dark, type ScaleMode, sample, scaleLocked, scaleMode, sideBySide, step } from "../../state";
import type { Inputs } from "../../types";
import type { ShownMaps } from "../layer/data";
import { INPUT_ROW } from "./flow";
import { formatProbability, type Interval, labelsNameUnits, predict } from "./logits";
import { pulse, togglePulse } from "./pulse";
import { PANEL_GAP } from "./score";
import type { Shared } from "./shared";

const TILE = 54;
const SMALL_TILE = 36;
const MOST = 4;

/** The positions of the samples that are shown: several, or one. */
export function shownPositions(count: number): number[] {
  const several = sideBySide.value.filter((position) => position < count);
  return several.length > 1 ? several : [Math.min(sample.value, Math.max(0, count - 1))];
}

function choose(position: number, count: number, add: boolean): void {
  const shown = shownPositions(count);
  if (shown.length === 1 && !add) {
    sample.value = position;
    return;
  }
  let next = shown.filter((each) => each !== position);
  if (next.length === shown.length) next = [...shown.slice(0, MOST - 1), position];
  if (next.length < 2) return;
  sideBySide.value = next;
}

function toggleSeveral(count: number): void {
  const shown = shownPositions(count);
  if (shown.length > 1) {
    sample.value = shown[0] as number;
    sideBySide.value = [];
  } else {
    const here = shown[0] as number;
    sideBySide.value = [here, (here + 1) % count];
  }
}

interface SamplesProps {
  inputs: Inputs | null;
  /** Whether the inputs can be drawn; known from another step while those of this one are awaited. */
  pictures: boolean;
  /** The samples that the maps keep. */
  ids: readonly number[];
  logits: ShownMaps | null;
  shared: Shared;
  railX: number;
}

export function Samples({ inputs, pictures, ids, logits, shared, railX }: SamplesProps) {
  const positions = shownPositions(ids.length);
  const labels = inputs?.labels ?? null;
  const tile = ids.length * (TILE + 6) <= shared.width * 0.62 ? TILE : SMALL_TILE;
  const label = positions.length === 1 ? labels?.[ids[positions[0] as number] as number] : undefined;
  return (
    <div class="samples" data-reached={true} data-lit={pulse.value === INPUT_ROW}>
      <svg class="rail" width={railX + 12} height="100%" aria-hidden="true">
        <line x1={railX} x2={railX} y1={pictures ? 32 : 20} y2="100%" />
        <circle
          cx={railX}
          cy={pictures ? 32 : 20}
          r="4"
          class={pulse.value === INPUT_ROW ? "chosen-node" : undefined}
        />
      </svg>
      <div class="row-text" style={{ width: `${shared.textWidth}px` }}>
        <div class="first-line">
          <span class="name">input</span>
        </div>
        <div class="hint">{label !== undefined ? `label “${shorten(label, 14)}”` : ""}</div>
      </div>
      <div class="samples-body" style={{ marginLeft: `${shared.mapsLeft}px` }}>
        <div class="sample-tiles" role="group" aria-label="Samples">
          {ids.map((id, position) => (
            <button
              type="button"
              key={id}
              class="sample-tile"
              aria-pressed={positions.includes(position)}
              aria-label={`Sample ${id}${labels?.[id] !== undefined ? `, label ${labels[id]}` : ""}`}
              title={`sample ${id}${labels?.[id] !== undefined ? `, label “${labels[id]}”` : ""}\nShift-click: side by side`}
              data-testid="sample-tile"
              data-sample={id}
              onClick={(event) => choose(position, ids.length, event.shiftKey)}
            >
              {pictures ? (
                <Canvas
                  width={tile}
                  height={tile}
                  aria-hidden="true"
                  deps={[inputs, position, tile]}
                  draw={(context) => inputs && drawInput(context, inputs, inputs.samples.indexOf(id), tile)}
                />
              ) : (
                <span class="sample-name">{labels?.[id] ?? id}</span>
              )}
            </button>
          ))}
        </div>
        <div class="outcome">
          {positions.length === 1 && (
            <Outcome logits={logits} id={ids[positions[0] as number]} labels={labels} name={shared.logits} />
          )}
          {inputs !== null && (
            <p class="hint">
              {inputs.samples.length > 0 && (inputs.shape[0] ?? 0) > inputs.samples.length
                ? `${inputs.samples.length} of ${inputs.shape[0]} ${inputs.source === "probe" ? "probe samples" : "samples of the batch"} kept as maps`
                : `${ids.length} ${inputs.source === "probe" ? "probe samples" : "samples of the training batch"}`}
            </p>
          )}
          <Legend />
          <div class="samples-buttons">
            <button
              type="button"
              class="link"
              data-testid="play-through"
              aria-pressed={pulse.value !== null}
              onClick={togglePulse}
            >
              {pulse.value === null ? "▶ Play through" : "■ Stop"} <kbd>p</kbd>
            </button>
            {ids.length > 1 && (
              <button
                type="button"
                class="link"
                data-testid="side-by-side"
                aria-pressed={positions.length > 1}
                title="Two to four samples side by side; click samples to add and remove them"
                onClick={() => toggleSeveral(ids.length)}
              >
                {positions.length > 1 ? "One input" : "Several inputs"}
              </button>
            )}
          </div>
        </div>
      </div>
      {positions.length > 1 && (
        <div class="panel-heads" style={{ marginLeft: `${shared.mapsLeft}px` }}>
          {positions.map((position, panel) => {
            const id = ids[position] as number;
            return (
              <div
                key={id}
                class="panel-caption"
                style={{ left: `${panel * (shared.panelWidth + PANEL_GAP)}px`, width: `${shared.panelWidth}px` }}
                data-testid="panel-caption"
              >
                {pictures && (
                  <Canvas
                    width={20}
                    height={20}
                    aria-hidden="true"
                    deps={[inputs, id]}
                    draw={(context) => inputs && drawInput(context, inputs, inputs.samples.indexOf(id), 20)}
                  />
                )}
                <strong>
                  {labels?.[id] !== undefined ? `“${shorten(labels[id] as string, 16)}”` : `sample ${id}`}
                </strong>
                <Outcome logits={logits} id={id} labels={labels} name={shared.logits} />
              </div>
            );
          })}
        </div>
      )}
    </div>
  );
}

interface OutcomeProps {
  logits: ShownMaps | null;
  id: number | undefined;
  labels: readonly string[] | null;
  name: string | null;
}

/** What the last layer predicts, where its values are plausible logits. */
function Outcome({ logits, id, labels, name }: OutcomeProps) {
  if (name === null) return null;
  const prediction = logits === null || id === undefined ? null : predict(logits.maps, logits.maps.samples.indexOf(id));
  if (logits === null || prediction === null) return <p class="prediction">&nbsp;</p>;
  const named = labelsNameUnits(labels, logits.maps.width);
  const units = prediction.units.map((unit) => (named ? `“${unit}”` : String(unit))).join(" or ");
  const probability = formatProbability(prediction.probabilities[prediction.units[0] as number] as Interval);
  return (
    <p
      class="prediction"
      data-testid="prediction"
      title={`p: softmax over ${name}, the last layer, a Linear, its values taken as logits`}
    >
      {logits.key.step !== step.value && `Step ${logits.key.step}: `}
      Predicted {named ? units : `unit ${units}`}, p {probability}
      <span class="hint"> softmax of {shorten(name, 20)}</span>
    </p>
  );
}

const OF: Readonly<Record<ScaleMode, string>> = {
  map: "of each map",
  layer: "of each layer at this step",
  locked: "of each layer, whole run",
  runs: "of each layer, whole run",
};

function Legend() {
  const table = lut(colormap.value, dark.value);
  const stops = Array.from({ length: 9 }, (_, index) => css(table, index / 8)).join(", ");
  const signed = colormap.value === "activations";
  const title = scaleLocked.value
    ? "The limits are the 99.9th percentile of a layer's values in the whole run; what is beyond has the colour of the end"
    : undefined;
  return (
    <p class="legend" title={title}>
      {signed ? "−max" : "min"}
      <span style={{ width: "104px", height: "8px", background: `linear-gradient(to right, ${stops})` }} />
      max <span class="hint">{OF[scaleMode.value]}</span>
    </p>
  );
}
