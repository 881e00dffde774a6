// What a layer did over the steps, on the one step axis: values and statistics.
import type { ComponentChildren } from "preact";
import { useMemo } from "preact/hooks";
import { lut } from "../../colour";
import { Canvas } from "../../components/canvas";
import { StepPlot } from "../../components/frame";
import { CHANNEL_LINES, columnOf, drawLines, drawShare, LINEAR_LINES, LOG_LINES } from "../../draw/lines";
import { drawRidges, ridgeSteps } from "../../draw/ridge";
import { drawValues, drawValueTicks, fullShare, valueScale } from "../../draw/values";
import { formatPercent, formatShort, shortOf } from "../../format";
import { palette } from "../../palette";
import { axis, channel, dark, mainWidth, statScale, step, valuesStyle } from "../../state";
import { titled } from "../../statistics";
import { indexOfStep } from "../../stats";
import type { Channels, LayerStats } from "../../types";
import type { LayerHistory } from "./data";
import { Choice, DetailChoice, detail } from "./detail";

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

export interface StripProps {
  title: string;
  hint: ComponentChildren;
  testid: string;
  height: number;
  deps: readonly unknown[];
  draw: (context: CanvasRenderingContext2D, canvas: HTMLCanvasElement) => void;
  /** Values at the step in view, at the right edge. */
  numbers: readonly (readonly [string, string])[];
  numbersTop?: number;
  /** At the right end of the head. */
  extra?: ComponentChildren;
  onPointerMove?: (event: PointerEvent) => void;
  onPointerLeave?: () => void;
}

/** One plot over steps, with its head, and the values at the cursor. */
export function Strip({
  title,
  hint,
  testid,
  height,
  deps,
  draw,
  numbers,
  numbersTop = 0,
  extra,
  onPointerMove,
  onPointerLeave,
}: StripProps) {
  return (
    <section>
      <div class="panel-head">
        <h2>{title}</h2>
        <span class="hint">{hint}</span>
        {extra}
      </div>
      <StepPlot label={`${title} over steps`}>
        <Canvas
          width={mainWidth.value}
          height={height}
          deps={deps}
          data-testid={testid}
          role="img"
          aria-label={`${title} over steps`}
          data-numbers={numbers.map((each) => each.join(" ")).join(", ")}
          draw={draw}
          {...(onPointerMove && { onPointerMove })}
          {...(onPointerLeave && { onPointerLeave })}
        />
        <Numbers rows={numbers} top={numbersTop} />
      </StepPlot>
    </section>
  );
}

export function ValuesStrip({ history, height }: { history: LayerHistory; height: number }) {
  const { histograms } = history;
  const scale = useMemo(() => valueScale([histograms], height), [histograms, height]);
  const full = useMemo(() => fullShare([histograms]), [histograms]);
  const index = indexOfStep(histograms.steps, step.value);
  const zeroBin = histograms.bins.indexOf(0);
  const zero = zeroBin < 0 ? 0 : (histograms.shares[index * histograms.bins.length + zeroBin] as number);
  const ridge = valuesStyle.value === "ridge";
  const ridges = ridge ? ridgeSteps(histograms.steps, axis.value).length : 0;
  return (
    <Strip
      title={titled("Values", history.of)}
      hint={
        <>
          <Choice
            label="Values over steps as"
            state={valuesStyle}
            choices={[
              ["heat", "heat"],
              ["ridge", "ridge"],
            ]}
          />
          {ridge
            ? `${ridges < histograms.steps.length ? `${ridges} of ${histograms.steps.length} steps; ` : ""}share as width; exact zeros in their own row`
            : "share in each quarter octave; exact zeros in their own row"}
        </>
      }
      testid="values-strip"
      height={height}
      deps={[histograms, scale]}
      draw={(context, canvas) => {
        if (valuesStyle.value === "ridge") drawRidges(context, histograms, axis.value, scale, palette.value, full);
        else drawValues(context, histograms, axis.value, scale, 0, lut("counts", dark.value), full);
        drawValueTicks(context, axis.value, scale, palette.value.ink2);
        canvas.dataset.style = valuesStyle.value;
      }}
      numbers={index < 0 ? [] : [["zero", formatPercent(zero)]]}
      numbersTop={height - 15}
    />
  );
}

const ZERO_LANE = 14;

/** Statistics of the layer, or of the chosen channel. */
export function Statistics({ history, height }: { history: LayerHistory; height: number }) {
  const { channels } = history;
  const row = channels.channels.indexOf(channel.value ?? 0);
  return detail.value === "channel" && row >= 0 ? (
    <ChannelHistory channels={channels} row={row} height={height} />
  ) : (
    <LayerLines history={history} height={height} />
  );
}

function StatisticsChoices({ channels }: { channels: Channels }) {
  return (
    <>
      <DetailChoice label="Statistics of" named={channel.value ?? channels.channels[0] ?? null} />
      <Choice
        label="Axis"
        state={statScale}
        choices={[
          ["log", "log"],
          ["linear", "linear"],
        ]}
      />
    </>
  );
}

function LayerLines({ history: { of, statistics, channels }, height }: { history: LayerHistory; height: number }) {
  const log = statScale.value === "log";
  const format = shortOf(of);
  const index = indexOfStep(statistics.steps, step.value);
  return (
    <Strip
      title={titled("Statistics", of)}
      hint={<StatisticsChoices channels={channels} />}
      testid="statistics"
      height={height}
      deps={[statistics, log]}
      draw={(context) => drawLines(context, statistics, axis.value, height, log, palette.value)}
      numbers={(log ? LOG_LINES : LINEAR_LINES).map(
        ({ column, label }) => [label, index < 0 ? "" : format(columnOf(statistics, column)[index] as number)] as const,
      )}
    />
  );
}

/** One channel's column of [steps, channels]. */
function columnOfChannel(values: Float32Array, row: number, count: number): Float64Array {
  return Float64Array.from({ length: values.length / count }, (_, index) => values[index * count + row] as number);
}

/** The chosen channel over the training batches: mean, largest absolute value, share of zeros. */
function ChannelHistory({ channels, row, height }: { channels: Channels; row: number; height: number }) {
  const log = statScale.value === "log";
  const index = indexOfStep(channels.steps, step.value);
  const count = channels.channels.length;
  const lines = log ? CHANNEL_LINES.slice(0, 1) : CHANNEL_LINES;
  const [statistics, zero] = useMemo(() => {
    const values = new Float64Array(2 * channels.steps.length);
    values.set(columnOfChannel(channels.max, row, count));
    values.set(columnOfChannel(channels.mean, row, count), channels.steps.length);
    const limits = { abs_limit: null, low_limit: null, high_limit: null };
    const { run, layer, steps } = channels;
    const found: LayerStats = { run, layer, columns: ["max", "mean"], steps, values, ...limits };
    return [found, columnOfChannel(channels.zero, row, count)] as const;
  }, [channels, row, count]);
  const at = (values: Float32Array) => (index < 0 ? Number.NaN : (values[index * count + row] as number));
  return (
    <Strip
      title="Statistics"
      hint={
        <>
          <StatisticsChoices channels={channels} />
          of the training batch; grey: share of zeros
        </>
      }
      testid="statistics"
      height={height}
      deps={[statistics, log]}
      draw={(context, canvas) => {
        const top = height - ZERO_LANE;
        drawLines(context, statistics, axis.value, top, log, palette.value, lines);
        drawShare(context, channels.steps, zero, axis.value, top, ZERO_LANE - 1, palette.value);
        canvas.dataset.channel = String(channels.channels[row]);
      }}
      numbers={
        index < 0
          ? []
          : [
              ["max |x|", formatShort(at(channels.max))],
              ["mean", formatShort(at(channels.mean))],
              ["zero", formatPercent(at(channels.zero))],
            ]
      }
    />
  );
}
