// One layer at one step, and all that it did before and after.
import { useEffect, useRef, useState } from "preact/hooks";
import { nearestIndex } from "../axis";
import { lut } from "../colour";
import { Canvas } from "../components/canvas";
import { drawHistogram } from "../draw/histogram";
import { formatCount } from "../format";
import { widestChannel } from "../maps";
import { palette } from "../palette";
import { axis, channel, dark, layerInfo, mainWidth, referenceStep, sample, scaleMode, step } from "../state";
import { indexOfStep } from "../stats";
import { type LayerHistory, useHistory, useInputs, useMaps } from "./layer/data";
import { FilmStrip } from "./layer/film";
import { Grid } from "./layer/grid";
import { ChannelMeans, Statistics, ValuesStrip } from "./layer/history";
import { Large } from "./layer/large";
import "./layer.css";

export { LayerControls } from "./layer/controls";

/** Height of the maps, and of the strips below them, such that all fit the page; in a low one it scrolls. */
function heights(available: number): { top: number; values: number; channels: number; statistics: number } {
  const spare = Math.max(0, available - 666);
  return {
    top: 252 + spare * 0.4,
    values: 80 + spare * 0.25,
    channels: 64 + spare * 0.2,
    statistics: 54 + spare * 0.15,
  };
}

export function LayerView({ available }: { available: number }) {
  const { top, values, channels, statistics: lines } = heights(available);
  const { shown: fetched, waitingFor, error } = useMaps();
  const { history, error: historyError } = useHistory();
  // A locked scale is known only with the history: no picture on another scale before that.
  const shown = history === null && historyError === null && scaleMode.value === "locked" ? null : fetched;
  const inputs = useInputs(shown);
  useEffect(() => {
    if (shown?.maps.layout === "channels" && (channel.value === null || !shown.maps.channels.includes(channel.value)))
      channel.value = widestChannel(shown.maps, sample.value);
  }, [shown?.maps]);
  const statistics = history?.statistics ?? null;
  const deadSince = new Map(history?.channels.dead_since ?? []);
  const wide = mainWidth.value;
  const gridWidth = wide > 1000 ? wide - 284 - Math.max(280, Math.min(360, wide * 0.27)) - 64 : wide - 48;
  const words =
    error ??
    (layerInfo.value?.layout === null
      ? `An output of this shape (${layerInfo.value.shape?.join(" × ")}) has no maps.`
      : null);
  return (
    <div data-testid="layer-view">
      <div class="layer-top" style={{ minHeight: `${top + 24}px` }}>
        {shown ? (
          <>
            <div class="grid-holder" style={{ flex: `1 1 ${gridWidth}px`, padding: 0, minWidth: 0 }}>
              <Grid
                shown={shown}
                statistics={statistics}
                deadSince={deadSince}
                labels={inputs?.labels ?? null}
                width={gridWidth}
                height={top}
              />
            </div>
            <Large shown={shown} statistics={statistics} inputs={inputs} />
          </>
        ) : (
          <p class="layer-words" data-testid="no-maps">
            {words === null ? "" : words}
          </p>
        )}
        {waitingFor !== null && <span class="waiting">waiting for step {formatCount(waitingFor)}</span>}
        {history && <HistogramPanel history={history} height={top - 34} />}
      </div>
      {historyError !== null && <p class="layer-words">{historyError}</p>}
      {shown && <FilmStrip shown={shown} statistics={statistics} />}
      {history && (
        <>
          <ValuesStrip history={history} height={values} />
          <ChannelMeans channels={history.channels} height={channels} />
          <Statistics statistics={history.statistics} height={lines} />
        </>
      )}
    </div>
  );
}

function HistogramPanel({ history, height }: { history: LayerHistory; height: number }) {
  const holder = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(280);
  useEffect(() => {
    if (!holder.current) return undefined;
    const observer = new ResizeObserver(([entry]) => entry && setWidth(Math.floor(entry.contentRect.width)));
    observer.observe(holder.current);
    return () => observer.disconnect();
  }, []);
  const { histograms, statistics } = history;
  const now = indexOfStep(histograms.steps, step.value);
  const other = nearestIndex(histograms.steps, referenceStep.value ?? axis.value.first);
  const reference = other >= 0 && other !== now ? { index: other, label: `step ${histograms.steps[other]}` } : null;
  const at = indexOfStep(statistics.steps, step.value);
  const count =
    at < 0 ? null : (statistics.values[statistics.columns.indexOf("count") * statistics.steps.length + at] as number);
  return (
    <div class="histogram-panel" ref={holder} title="Alt-click in a strip below sets the reference step">
      <div class="panel-head flush">
        <h2>Values of the layer</h2>
        <span class="hint">{count === null ? "" : `${formatCount(count)}, training batch`}</span>
      </div>
      {now < 0 ? (
        <p class="hint">not logged at step {step.value}</p>
      ) : (
        <Canvas
          width={width}
          height={height}
          data-testid="histogram"
          role="img"
          aria-label={`Histogram of the layer's values at step ${step.value}`}
          draw={(context, canvas) => {
            const lines = { now: { index: now, label: `step ${histograms.steps[now]}` }, reference };
            drawHistogram(context, histograms, lines, { width, height }, lut("activations", dark.value), palette.value);
            canvas.dataset.step = String(histograms.steps[now]);
            canvas.dataset.layer = history.layer;
            canvas.dataset.run = history.run;
          }}
        />
      )}
    </div>
  );
}
