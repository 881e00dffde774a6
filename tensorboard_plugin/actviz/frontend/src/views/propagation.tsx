// One input on its way through the network at one step: a score, read downwards, a row a layer, channels as columns.
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import {
  focusedRun,
  layer,
  layerStops,
  layersInView,
  mainWidth,
  modelIn,
  models,
  optionsIn,
  scaleMode,
  sideBySide,
  toggledBlocks,
} from "../state";
import type { LayerInfo, Model } from "../types";
import { scoreEntries } from "./propagation/blocks";
import { useInputsInView, usePicture } from "./propagation/data";
import { dataFlow, hasNode, INPUT_ROW } from "./propagation/flow";
import { barsLayer, logitsLayer } from "./propagation/logits";
import { pulse, pulseRows, stopPulse } from "./propagation/pulse";
import { arcRoom, Rail } from "./propagation/rail";
import { Row } from "./propagation/row";
import { Samples, shownPositions } from "./propagation/samples";
import { layoutScore, rowsBetween } from "./propagation/score";
import type { Shared } from "./propagation/shared";
import { unfoldAround } from "./propagation/toggle";
import "./propagation.css";

export { PropagationControls } from "./propagation/controls";

const TEXT_WIDTH = 152;
const MARGIN = 16;
/** Rows so far out of sight are made all the same. */
const AROUND = 300;

export function PropagationView({ available }: { available: number }) {
  const run = focusedRun.value;
  const model = run === null ? undefined : models.value[run];
  const name = modelIn(run);
  const layers = useMemo(() => layersInView(run), [run, model, name]);
  if (run === null || model === undefined || layers.length === 0) return <p class="no-match">Reading the run.</p>;
  return <Score key={`${run} ${name}`} run={run} model={model} layers={layers} available={available} />;
}

function option(run: string, name: string, otherwise: number): number {
  const given = optionsIn(run)[name];
  return typeof given === "number" && given > 0 ? given : otherwise;
}

/** The samples whose maps are kept: those of the inputs, else those of a layer's maps. */
function useSamples(run: string, layers: readonly LayerInfo[]) {
  const inputs = useInputsInView();
  const needed = inputs !== null && inputs.samples.length === 0;
  const pictured = layers.find((info) => info.layout === "channels" || info.layout === "sequence") ?? layers[0];
  const { shown } = usePicture(run, needed ? (pictured?.name ?? null) : null);
  const last = useRef<readonly number[]>([]);
  const found = needed ? shown?.maps.samples : inputs?.samples;
  if (found !== undefined && found.length > 0) last.current = found;
  const pictures = useRef(false);
  if (inputs !== null) pictures.current = inputs.layout === "channels";
  return { inputs, pictures: pictures.current, ids: last.current };
}

interface ScoreProps {
  run: string;
  model: Model;
  /** Those of the model in view. */
  layers: readonly LayerInfo[];
  available: number;
}

function Score({ run, model, layers, available }: ScoreProps) {
  const { inputs, pictures, ids } = useSamples(run, layers);
  const entries = useMemo(
    () => scoreEntries(layers, model.attention, toggledBlocks.value),
    [layers, model.attention, toggledBlocks.value],
  );
  const flow = useMemo(() => dataFlow(entries, layers), [entries]);
  const railX = MARGIN + TEXT_WIDTH + 12 + arcRoom(flow);
  const mapsLeft = railX + 16;
  const ratio = globalThis.devicePixelRatio || 1;
  const width = Math.max(120, mainWidth.value - mapsLeft - MARGIN);
  const positions = shownPositions(ids.length);
  const panels = Math.max(1, positions.length);
  const score = useMemo(
    () =>
      layoutScore(entries, {
        width: width - 2,
        panels,
        ratio,
        maxChannels: option(run, "max_channels", 64),
        maxSize: option(run, "max_size", 64),
        bars: barsLayer(layers),
      }),
    [entries, width, panels, ratio],
  );
  const samples = positions.flatMap((position) => ids[position] ?? []);
  const logits = logitsLayer(layers);
  const shared = useMemo<Shared>(
    () => ({ run, samples, panelWidth: score.panelWidth, ratio, textWidth: TEXT_WIDTH, mapsLeft, width, logits }),
    [run, samples.join(), score, mapsLeft],
  );
  const outcome = usePicture(run, logits);

  useEffect(() => unfoldAround(entries, layer.value), [layer.value]);
  useLayoutEffect(() => {
    const others = model.layers.filter((info) => !layers.includes(info)); // of another model, which comes into view with them
    layerStops.value = [...entries.filter(hasNode), ...others.map((info) => ({ info }))].map(({ info }) => info.name);
    pulseRows.value = [INPUT_ROW, ...entries.flatMap((entry, index) => (hasNode(entry) ? [index] : []))];
  }, [entries]);
  useEffect(
    () => () => {
      stopPulse();
      layerStops.value = null;
    },
    [],
  );

  const scroller = useRef<HTMLDivElement>(null);
  const [seen, setSeen] = useState({ top: 0, height: 900 });
  useLayoutEffect(() => {
    const element = scroller.current;
    if (element === null) return undefined;
    const measure = () => setSeen({ top: element.scrollTop, height: element.clientHeight });
    measure(); // before rows far out of sight are asked for
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    element.addEventListener("scroll", measure, { passive: true });
    return () => {
      observer.disconnect();
      element.removeEventListener("scroll", measure);
    };
  }, []);
  const goal = pulse.value ?? score.rows.findIndex((row) => hasNode(row) && row.layers.includes(layer.value ?? ""));
  const goalTop = goal === INPUT_ROW ? null : score.rows[goal]?.top;
  useLayoutEffect(() => {
    const row = score.rows[goal];
    const element = scroller.current;
    if (element === null) return;
    if (pulse.value === INPUT_ROW) element.scrollTop = 0;
    if (row === undefined) return;
    const { scrollTop, clientHeight } = element;
    if (row.top < scrollTop) element.scrollTop = row.top;
    else if (row.top + row.height > scrollTop + clientHeight) element.scrollTop = row.top + row.height - clientHeight;
  }, [goal, goalTop, seen.height]);

  const [from, to] = [seen.top - AROUND, seen.top + seen.height + AROUND];
  const [first, end] = rowsBetween(score.rows, from, to);
  return (
    <div
      class={pulse.value === null ? "propagation" : "propagation pulsing"}
      style={{ height: `${available}px` }}
      data-testid="propagation-view"
      data-samples={samples.join()}
      data-scale={scaleMode.value}
      data-several={sideBySide.value.length > 1}
    >
      <Samples inputs={inputs} pictures={pictures} ids={ids} logits={outcome.shown} shared={shared} railX={railX} />
      <div class="score" ref={scroller} data-testid="score">
        <div
          class="score-rows"
          role="list"
          aria-label="Layers in execution order"
          style={{ height: `${score.height + MARGIN}px` }}
        >
          <Rail score={score} flow={flow} x={railX} from={from} to={to} />
          {samples.length > 0 &&
            score.rows
              .slice(first, end)
              .map((row, offset) => (
                <Row key={`${row.kind} ${row.info.name}`} row={row} index={first + offset} shared={shared} />
              ))}
        </div>
      </div>
    </div>
  );
}
