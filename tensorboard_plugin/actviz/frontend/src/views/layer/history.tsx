// What a layer did over the steps, on the one step axis: values, channel means, statistics.
import type { ComponentChildren } from "preact";
import { useMemo } from "preact/hooks";
import { lut } from "../../colour";
import { Canvas } from "../../components/canvas";
import { StepPlot } from "../../components/frame";
import { columnOf, drawLines, LINEAR_LINES, LOG_LINES } from "../../draw/lines";
import { channelLimits, drawChannels } from "../../draw/strips";
import { drawValues, drawValueTicks, valueScale } from "../../draw/values";
import { formatPercent, formatShort } from "../../format";
import { FONT, palette } from "../../palette";
import { axis, channel, dark, mainWidth, statScale, step } from "../../state";
import { indexOfStep } from "../../stats";
import type { Channels, LayerStats } from "../../types";
import type { LayerHistory } from "./data";

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

interface StripProps {
  title: string;
  hint: ComponentChildren;
  testid: string;
  height: number;
  deps: readonly unknown[];
  draw: (context: CanvasRenderingContext2D) => void;
  /** Values at the step in view, at the right edge. */
  numbers: readonly (readonly [string, string])[];
  numbersTop?: number;
}

/** One plot over steps, with its head, and the values at the cursor. */
function Strip({ title, hint, testid, height, deps, draw, numbers, numbersTop = 0 }: StripProps) {
  return (
    <section>
      <div class="panel-head">
        <h2>{title}</h2>
        <span class="hint">{hint}</span>
      </div>
      <StepPlot label={`${title} over steps`}>
        <Canvas
          width={mainWidth.value}
          height={height}
          deps={deps}
          data-testid={testid}
          role="img"
          aria-label={`${title} over steps`}
          draw={draw}
        />
        <Numbers rows={numbers} top={numbersTop} />
      </StepPlot>
    </section>
  );
}

export function ValuesStrip({ history, height }: { history: LayerHistory; height: number }) {
  const { histograms } = history;
  const scale = useMemo(() => valueScale([histograms], height), [histograms, height]);
  const index = indexOfStep(histograms.steps, step.value);
  const zeroBin = histograms.bins.indexOf(0);
  const zero = zeroBin < 0 ? 0 : (histograms.shares[index * histograms.bins.length + zeroBin] as number);
  return (
    <Strip
      title="Values"
      hint="share in each quarter octave; exact zeros in their own row"
      testid="values-strip"
      height={height}
      deps={[histograms, scale]}
      draw={(context) => {
        drawValues(context, histograms, axis.value, scale, 0, lut("counts", dark.value));
        drawValueTicks(context, axis.value, scale, palette.value.ink2);
      }}
      numbers={index < 0 ? [] : [["zero", formatPercent(zero)]]}
      numbersTop={height - 15}
    />
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
    <Strip
      title="Channel means"
      hint="one row a channel; empty where every value is zero"
      testid="channel-means"
      height={height}
      deps={[channels, row]}
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
      numbers={
        index < 0
          ? []
          : [
              [`#${channels.channels[row]}`, formatShort(channels.mean[index * count + row] as number)],
              ["dead", `${dead}/${count}`],
            ]
      }
    />
  );
}

export function Statistics({ statistics, height }: { statistics: LayerStats; height: number }) {
  const log = statScale.value === "log";
  const index = indexOfStep(statistics.steps, step.value);
  const toggle = () => {
    statScale.value = log ? "linear" : "log";
  };
  return (
    <Strip
      title="Statistics"
      hint={
        <button type="button" title="linear or logarithmic" onClick={toggle}>
          {log ? "log" : "linear"}
        </button>
      }
      testid="statistics"
      height={height}
      deps={[statistics, log]}
      draw={(context) => drawLines(context, statistics, axis.value, height, log, palette.value)}
      numbers={(log ? LOG_LINES : LINEAR_LINES).map(
        ({ column, label }) =>
          [label, index < 0 ? "" : formatShort(columnOf(statistics, column)[index] as number)] as const,
      )}
    />
  );
}
