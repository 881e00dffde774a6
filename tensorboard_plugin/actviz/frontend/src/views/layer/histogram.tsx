// The values at the step in view against those of the reference step: of the whole layer, or of the chosen channel.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { nearestIndex } from "../../axis";
import { lut } from "../../colour";
import { Canvas } from "../../components/canvas";
import { drawHistogram } from "../../draw/histogram";
import { drawPixels } from "../../draw/pixels";
import { formatCount } from "../../format";
import { scaleLimits } from "../../maps";
import { palette } from "../../palette";
import { pixelHistogram } from "../../pixels";
import { axis, channel, dark, referenceStep, step } from "../../state";
import { indexOfStep } from "../../stats";
import type { LayerHistory, ShownMaps } from "./data";
import { DetailChoice, detail } from "./detail";

const PIXEL_BINS = 48;

interface HistogramPanelProps {
  history: LayerHistory;
  shown: ShownMaps | null;
  /** The maps of the reference step. */
  reference: ShownMaps | null;
  height: number;
}

export function HistogramPanel({ history, shown, reference, height }: HistogramPanelProps) {
  const holder = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(280);
  useEffect(() => {
    if (!holder.current) return undefined;
    const observer = new ResizeObserver(([entry]) => entry && setWidth(Math.floor(entry.contentRect.width)));
    observer.observe(holder.current);
    return () => observer.disconnect();
  }, []);
  const byChannel = shown?.maps.layout === "channels";
  const ofChannel = byChannel && detail.value === "channel";
  return (
    <div class="histogram-panel" ref={holder} title="Alt-click in a strip below sets the reference step">
      <div class="panel-head flush">
        <h2>Values</h2>
        <DetailChoice label="Values of" named={byChannel ? (channel.value ?? shown.maps.channels[0] ?? null) : null} />
        <span class="hint">{ofChannel ? countOfMaps(shown) : countOf(history)}</span>
      </div>
      {ofChannel ? (
        <ChannelValues history={history} shown={shown} reference={reference} width={width} height={height} />
      ) : (
        <LayerValues history={history} width={width} height={height} />
      )}
    </div>
  );
}

function countOf({ statistics }: LayerHistory): string {
  const at = indexOfStep(statistics.steps, step.value);
  if (at < 0) return "";
  const counts = statistics.columns.indexOf("count") * statistics.steps.length;
  return `${formatCount(statistics.values[counts + at] as number)}, training batch`;
}

function countOfMaps({ maps }: ShownMaps): string {
  const [height, width] = maps.pool;
  const means = height * width > 1 ? `, means of ${height} × ${width}` : "";
  return `${maps.samples.length} shown samples${means}`;
}

function LayerValues({ history, width, height }: { history: LayerHistory; width: number; height: number }) {
  const { histograms } = history;
  const now = indexOfStep(histograms.steps, step.value);
  const other = nearestIndex(histograms.steps, referenceStep.value ?? axis.value.first);
  const reference = other >= 0 && other !== now ? { index: other, label: `step ${histograms.steps[other]}` } : null;
  if (now < 0) return <p class="hint">not logged at step {step.value}</p>;
  return (
    <Canvas
      width={width}
      height={height}
      deps={[histograms, now, other]}
      data-testid="histogram"
      role="img"
      aria-label={`Histogram of the layer's values at step ${step.value}`}
      draw={(context, canvas) => {
        const lines = { now: { index: now, label: `step ${histograms.steps[now]}` }, reference };
        drawHistogram(context, histograms, lines, { width, height }, lut("activations", dark.value), palette.value);
        canvas.dataset.step = String(histograms.steps[now]);
        canvas.dataset.reference = String(reference === null ? "" : histograms.steps[other]);
        canvas.dataset.layer = history.layer;
        canvas.dataset.run = history.run;
      }}
    />
  );
}

interface ChannelValuesProps {
  history: LayerHistory;
  shown: ShownMaps;
  reference: ShownMaps | null;
  width: number;
  height: number;
}

function ChannelValues({ history, shown, reference, width, height }: ChannelValuesProps) {
  const { maps, key } = shown;
  const name = channel.value ?? maps.channels[0] ?? 0;
  // The layer's own limits over the whole run, whatever the colours are, so that the axis stays in place.
  const limits = scaleLimits("locked", "grey", maps, 0, history.statistics);
  const position = maps.channels.indexOf(name);
  const now = useMemo(
    () => (position < 0 ? null : pixelHistogram(maps, position, limits, PIXEL_BINS)),
    [maps, position, limits.low, limits.high],
  );
  const other = reference?.maps.channels.indexOf(name) ?? -1;
  const before = useMemo(
    () => (reference === null || other < 0 ? null : pixelHistogram(reference.maps, other, limits, PIXEL_BINS)),
    [reference, other, limits.low, limits.high],
  );
  if (now === null) return <p class="hint">no maps of channel {name} are logged</p>;
  return (
    <Canvas
      width={width}
      height={height}
      deps={[now, before, key.step]}
      data-testid="channel-histogram"
      role="img"
      aria-label={`Histogram of channel ${name} in the shown samples at step ${key.step}`}
      draw={(context, canvas) => {
        const line =
          before === null || reference === null || reference.key.step === key.step
            ? null
            : { histogram: before, label: `step ${reference.key.step}` };
        const bars = { histogram: now, label: `step ${key.step}` };
        drawPixels(context, bars, line, { width, height }, lut("activations", dark.value), palette.value);
        canvas.dataset.step = String(key.step);
        canvas.dataset.channel = String(name);
        canvas.dataset.shares = now.shares.join();
        canvas.dataset.low = String(now.low);
        canvas.dataset.high = String(now.high);
        canvas.dataset.zero = String(now.zero);
        canvas.dataset.reference = line === null ? "" : line.label;
      }}
    />
  );
}
