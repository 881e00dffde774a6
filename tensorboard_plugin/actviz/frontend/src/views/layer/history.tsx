// Everything over steps, on the one step axis: film strip, values, channel means, statistics.
import { useEffect, useMemo, useState } from "preact/hooks";
import { nearestIndex } from "../../axis";
import { mapsCache } from "../../cache";
import { lut } from "../../colour";
import { Canvas } from "../../components/canvas";
import { StepPlot } from "../../components/frame";
import { columnOf, drawLines, LINEAR_LINES, LOG_LINES } from "../../draw/lines";
import { drawMap } from "../../draw/maps";
import { channelLimits, drawChannels } from "../../draw/strips";
import { drawValues, drawValueTicks, valueScale } from "../../draw/values";
import { formatNumber, formatPercent } from "../../format";
import { cellPixels, foldShape, mapNumber, scaleLimits } from "../../maps";
import { FONT, palette } from "../../palette";
import { axis, channel, colormap, dark, mainWidth, sample, scaleMode, statScale, step, timelines } from "../../state";
import { indexOfStep } from "../../stats";
import type { Channels, LayerStats, Maps } from "../../types";
import { keyOf, type LayerHistory, type ShownMaps } from "./data";

const FRAME = 40;
const FRAME_GAP = 3;

function Numbers({ rows, top = 0 }: { rows: readonly (readonly [string, string])[]; top?: number }) {
  return (
    <div class="lane-values" style={{ top: `${top}px` }}>
      {rows.map(([name, value]) => (
        <div key={name}>
          <span>{name}</span>
          {value}
        </div>
      ))}
    </div>
  );
}

/** The chosen channel at as many steps as whole frames fit. */
export function FilmStrip({ shown, statistics }: { shown: ShownMaps; statistics: LayerStats | null }) {
  const { run, layer } = shown.key;
  const { maps } = shown;
  const steps = timelines.value[run]?.steps ?? [];
  const { left, right } = axis.value;
  const [rows, columns] = maps.layout === "vector" ? foldShape(maps.width) : [maps.height, maps.width];
  const cell = cellPixels(rows, columns, FRAME);
  const fits = Math.max(rows, columns) * cell <= FRAME + 12;
  const wide = fits ? columns * cell : FRAME;
  const tall = fits ? rows * cell : Math.round((FRAME * rows) / columns);
  const count = Math.max(1, Math.min(steps.length, Math.floor((right - left) / (Math.max(wide, 20) + FRAME_GAP))));
  const pitch = (right - left) / count;
  const frames = Array.from(
    { length: count },
    (_, index) => steps[nearestIndex(steps, axis.value.step(left + (index + 0.5) * pitch))] as number,
  );
  const [arrived, setArrived] = useState(0);
  const name = JSON.stringify([run, layer, frames]);
  useEffect(() => {
    let current = true;
    void (async () => {
      for (const frame of frames) {
        const key = keyOf(run, layer, frame);
        if (!current || key === null) continue;
        if (mapsCache.peek(key) !== undefined) continue;
        await mapsCache.get(key).catch(() => undefined);
        if (current) setArrived((before) => before + 1);
      }
    })();
    return () => {
      current = false;
    };
  }, [name]);
  const nearest = frames.length > 0 && step.value !== null ? frames[nearestIndex(frames, step.value)] : null;
  const draw = (context: CanvasRenderingContext2D, canvas: HTMLCanvasElement) => {
    const table = lut(colormap.value, dark.value);
    let drawn = 0;
    for (const [index, frame] of frames.entries()) {
      const key = keyOf(run, layer, frame);
      const found: Maps | undefined = key === null ? undefined : mapsCache.peek(key);
      const x = Math.round(left + index * pitch + (pitch - wide) / 2);
      if (found === undefined) {
        context.fillStyle = palette.value.panel;
        context.fillRect(x, 2, wide, tall);
        continue;
      }
      const at = Math.min(sample.value, found.samples.length - 1);
      const map = mapNumber(found, at, Math.max(0, channel.value === null ? 0 : found.channels.indexOf(channel.value)));
      drawMap(
        context,
        found,
        map,
        scaleLimits(scaleMode.value, colormap.value, found, map, statistics),
        table,
        palette.value,
        { x, y: 2, width: wide, height: tall },
        [rows, columns],
      );
      drawn++;
      if (frame === nearest) {
        context.strokeStyle = palette.value.accent;
        context.lineWidth = 2;
        context.strokeRect(x - 1, 1, wide + 2, tall + 2);
      }
    }
    canvas.dataset.frames = String(drawn);
  };
  const every = Math.max(1, Math.round(steps.length / count));
  return (
    <section>
      <div class="panel-head">
        <h2>{maps.layout === "channels" ? `Channel ${channel.value ?? maps.channels[0]}` : "Maps"} over steps</h2>
        <span class="hint">{every === 1 ? "every logged step" : `about every ${ordinal(every)} logged step`}</span>
      </div>
      <StepPlot label="Film strip over steps">
        <Canvas
          width={mainWidth.value}
          height={tall + 4}
          draw={draw}
          deps={[name, nearest, arrived, statistics]}
          data-testid="film-strip"
          role="img"
          aria-label="The chosen channel over steps"
        />
      </StepPlot>
    </section>
  );
}

function ordinal(n: number): string {
  const words = ["", "", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"];
  return words[n] ?? `${n}th`;
}

export function ValuesStrip({ history, height }: { history: LayerHistory; height: number }) {
  const { histograms } = history;
  const scale = useMemo(() => valueScale([histograms], height), [histograms, height]);
  const index = indexOfStep(histograms.steps, step.value);
  const zeroBin = histograms.bins.indexOf(0);
  const zero =
    index < 0 ? Number.NaN : zeroBin < 0 ? 0 : (histograms.shares[index * histograms.bins.length + zeroBin] as number);
  return (
    <section>
      <div class="panel-head">
        <h2>Values</h2>
        <span class="hint">share in each quarter octave; exact zeros in their own row</span>
      </div>
      <StepPlot label="Values over steps">
        <Canvas
          width={mainWidth.value}
          height={height}
          deps={[histograms, scale]}
          data-testid="values-strip"
          role="img"
          aria-label="Where the layer's values lie over steps"
          draw={(context) => {
            drawValues(context, histograms, axis.value, scale, 0, lut("counts", dark.value));
            drawValueTicks(context, axis.value, scale, palette.value.ink2);
          }}
        />
        <Numbers rows={[["zero", formatPercent(zero)]]} top={height - 15} />
      </StepPlot>
    </section>
  );
}

export function ChannelMeans({ channels, height }: { channels: Channels; height: number }) {
  const limits = useMemo(() => channelLimits(channels), [channels]);
  const count = channels.channels.length;
  const index = indexOfStep(channels.steps, step.value);
  const row = Math.max(0, channel.value === null ? 0 : channels.channels.indexOf(channel.value));
  let dead = 0;
  if (index >= 0) for (let at = 0; at < count; at++) if ((channels.zero[index * count + at] as number) >= 1) dead++;
  return (
    <section>
      <div class="panel-head">
        <h2>Channel means</h2>
        <span class="hint">one row a channel; empty where every value is zero</span>
      </div>
      <StepPlot label="Channel means over steps">
        <Canvas
          width={mainWidth.value}
          height={height}
          deps={[channels, row]}
          data-testid="channel-means"
          role="img"
          aria-label="Mean of each channel over steps"
          draw={(context) => {
            drawChannels(context, channels, axis.value, height, limits, lut("activations", dark.value));
            context.font = FONT;
            context.fillStyle = palette.value.ink2;
            context.textAlign = "right";
            context.textBaseline = "middle";
            context.fillText(String(channels.channels[0] ?? ""), axis.value.left - 8, 6);
            context.fillText(String(channels.channels[count - 1] ?? ""), axis.value.left - 8, height - 6);
            context.fillStyle = palette.value.accent;
            context.fillRect(axis.value.left - 6, ((row + 0.5) / count) * height - 1, 5, 2);
          }}
        />
        {index >= 0 && (
          <Numbers
            rows={[
              [`ch ${channels.channels[row]}`, formatNumber(channels.mean[index * count + row] as number)],
              ["dead", `${dead}/${count}`],
            ]}
          />
        )}
      </StepPlot>
    </section>
  );
}

export function Statistics({ statistics, height }: { statistics: LayerStats; height: number }) {
  const log = statScale.value === "log";
  const index = indexOfStep(statistics.steps, step.value);
  const rows = (log ? LOG_LINES : LINEAR_LINES).map(
    ({ column, label }) =>
      [label, index < 0 ? "" : formatNumber(columnOf(statistics, column)[index] as number)] as const,
  );
  return (
    <section>
      <div class="panel-head">
        <h2>Statistics</h2>
        <button
          type="button"
          class="hint"
          title="linear or logarithmic"
          onClick={() => {
            statScale.value = log ? "linear" : "log";
          }}
        >
          {log ? "log" : "linear"}
        </button>
      </div>
      <StepPlot label="Statistics over steps">
        <Canvas
          width={mainWidth.value}
          height={height}
          deps={[statistics, log]}
          data-testid="statistics"
          role="img"
          aria-label="Statistics over steps"
          draw={(context) => drawLines(context, statistics, axis.value, height, log, palette.value)}
        />
        <Numbers rows={rows} />
      </StepPlot>
    </section>
  );
}
