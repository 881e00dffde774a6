// The quilt of all layers over all steps, level with the tree; below it where the selected layer's values lie.
import { useMemo } from "preact/hooks";
import { chooseLayer, openLayer } from "../actions";
import { fetchHistograms } from "../api";
import { css, lut, runColour } from "../colour";
import { Canvas } from "../components/canvas";
import { StepPlot, Swatch, useFetched } from "../components/frame";
import { drawLane, laneOf, lastingFault, type StatDomain, statDomain } from "../draw/quilt";
import { drawValues, drawValueTicks, fullShare, valueScale } from "../draw/values";
import { formatNumber, formatPercent } from "../format";
import { FONT, palette } from "../palette";
import { rows, rowsHeight, rowsScroll } from "../rows";
import {
  axis,
  dark,
  layer,
  mainWidth,
  type RunLetter,
  runs,
  type StatScale,
  shownRuns,
  stat,
  statScale,
  stats,
  step,
  timelines,
} from "../state";
import { isFraction, STATISTICS, statLabel } from "../statistics";
import { indexOfStep, rowOf } from "../stats";
import type { Histograms, LayerInfo } from "../types";

const domain = (): StatDomain =>
  statDomain(
    shownRuns.value.flatMap(({ run }) => (stats.value[run] ? [stats.value[run].values] : [])),
    stat.value,
    statScale.value === "log",
  );

/** Below a strip's swatch there is room for labels. */
const SWATCH_BOTTOM = 20;

const formatStat = (value: number) => (isFraction(stat.value) ? formatPercent(value) : formatNumber(value));

export function OverviewControls() {
  const { low, high } = domain();
  const table = lut("statistics", dark.value);
  const gradient = `linear-gradient(to right, ${Array.from({ length: 9 }, (_, index) => css(table, index / 8)).join(", ")})`;
  return (
    <>
      <label>
        Colour
        <select
          data-testid="stat"
          value={stat.value}
          onChange={(event) => {
            stat.value = event.currentTarget.value;
          }}
        >
          {STATISTICS.map(([name, label]) => (
            <option key={name} value={name}>
              {label}
            </option>
          ))}
        </select>
      </label>
      <label>
        scale
        <select
          data-testid="stat-scale"
          disabled={isFraction(stat.value)}
          value={isFraction(stat.value) ? "linear" : statScale.value}
          onChange={(event) => {
            statScale.value = event.currentTarget.value as StatScale;
          }}
        >
          <option value="log">log</option>
          <option value="linear">linear</option>
        </select>
      </label>
      <span class="legend">
        {formatStat(low)}
        <span style={{ width: "96px", height: "10px", background: gradient }} />
        {isFraction(stat.value) ? formatStat(high) : `≥ ${formatStat(high)}`}
      </span>
      <span class="legend">
        <TextureKey kind="dots" /> all zero
        <TextureKey kind="hatch" /> NaN, Inf
      </span>
    </>
  );
}

function TextureKey({ kind }: { kind: "dots" | "hatch" }) {
  const { bad, ink3 } = palette.value;
  const background =
    kind === "hatch"
      ? `repeating-linear-gradient(135deg, ${bad} 0 1px, transparent 1px 4px)`
      : `radial-gradient(${ink3} 0.7px, transparent 1px) 0 0 / 4px 4px`;
  return <span style={{ width: "14px", height: "10px", background }} />;
}

/** Height at which tree and quilt stand level; null where the view has no quilt. */
export function quiltHeight(available: number): number {
  return Math.min(rowsHeight.value + 4, Math.max(120, Math.floor((available - 24) * 0.56)));
}

interface LanePlace {
  info: LayerInfo;
  run: string;
  letter: RunLetter;
  top: number;
  height: number;
}

function lanePlaces(): LanePlace[] {
  const shown = shownRuns.value;
  const places: LanePlace[] = [];
  for (const row of rows.value) {
    if (row.kind !== "layer") continue;
    const height = shown.length > 1 ? 12 : row.height - 4;
    for (const [index, { run, letter }] of shown.entries())
      places.push({ info: row.info, run, letter, top: row.top + 2 + index * (height + 1), height });
  }
  return places;
}

export function Overview({ available }: { available: number }) {
  const height = quiltHeight(available);
  return (
    <>
      <div class="quilt-head hint">{step.value === null ? "" : `value at ${step.value}`}</div>
      <div
        class="quilt-scroll"
        style={{ height: `${height}px` }}
        ref={(node) => {
          if (node && Math.abs(node.scrollTop - rowsScroll.value) > 1) node.scrollTop = rowsScroll.value;
        }}
        onScroll={(event) => {
          rowsScroll.value = event.currentTarget.scrollTop;
        }}
      >
        <Quilt />
      </div>
      <ValuesOverSteps height={available - height - 24} />
    </>
  );
}

function Quilt() {
  const places = lanePlaces();
  const width = mainWidth.value;
  const height = Math.max(1, rowsHeight.value + 2);
  const scale = domain();
  const lanes = useMemo(
    () =>
      places.map(({ info, run }) => {
        const known = stats.value[run];
        if (known === undefined || !known.layers.includes(info.name)) return null;
        return laneOf(
          axis.value,
          known.steps,
          rowOf(known, info.name),
          rowOf(known, info.name, "zero"),
          rowOf(known, info.name, "nonfinite"),
        );
      }),
    [stats.value, axis.value, rows.value, shownRuns.value],
  );
  const draw = (context: CanvasRenderingContext2D, canvas: HTMLCanvasElement) => {
    const table = lut("statistics", dark.value);
    context.font = FONT;
    context.textBaseline = "middle";
    for (const [index, place] of places.entries()) {
      context.fillStyle = runColour(place.run, dark.value);
      context.fillRect(axis.value.left - 8, place.top, 4, place.height);
      if (index < shownRuns.value.length && shownRuns.value.length > 1) {
        context.fillStyle = palette.value.ink2;
        context.fillText(place.letter, axis.value.left - 22, place.top + place.height / 2);
      }
      const lane = lanes[index];
      if (!lane) {
        context.fillStyle = palette.value.ink3;
        context.fillText("no such layer in this run", axis.value.left + 4, place.top + place.height / 2);
        continue;
      }
      drawLane(context, lane, scale, place.top, place.height, table, palette.value);
      drawFault(context, place, lane);
    }
    canvas.dataset.stat = stat.value;
    canvas.dataset.lanes = String(places.length);
  };
  const row = rows.value.find((each) => each.kind === "layer" && each.info.name === layer.value);
  const place = (event: PointerEvent | MouseEvent) => {
    const y = event.clientY - (event.currentTarget as HTMLElement).getBoundingClientRect().top;
    return rows.value.find((each) => each.kind === "layer" && y >= each.top && y < each.top + each.height);
  };
  return (
    <StepPlot label={`${statLabel(stat.value)} of every layer over steps`}>
      {/* biome-ignore lint/a11y/noStaticElementInteractions lint/a11y/useKeyWithClickEvents: the tree beside it does the same by keyboard */}
      <div
        onClick={(event) => {
          const found = place(event);
          if (found?.kind !== "layer") return;
          if (event.detail > 1) openLayer(found.info.name);
          else chooseLayer(found.info.name);
        }}
      >
        <Canvas
          width={width}
          height={height}
          deps={[lanes, scale.low, scale.high, scale.log]}
          data-testid="quilt"
          role="img"
          aria-label="Quilt of layers over steps"
          draw={draw}
        />
      </div>
      {row && (
        <div
          style={{
            position: "absolute",
            left: `${axis.value.left}px`,
            width: `${axis.value.right - axis.value.left}px`,
            top: `${row.top}px`,
            height: `${row.height - 1}px`,
            outline: "1px solid var(--accent)",
            pointerEvents: "none",
          }}
        />
      )}
      <LaneValues places={places} />
    </StepPlot>
  );
}

function drawFault(context: CanvasRenderingContext2D, place: LanePlace, lane: ReturnType<typeof laneOf>): void {
  const fault = lastingFault(lane);
  const known = stats.value[place.run];
  if (fault === null || known === undefined) return;
  const since = known.steps[lane.from[fault.cell] as number] as number;
  const words = fault.state === "zero" ? `all zero since ${since}` : `NaN or Inf since ${since}`;
  const x = lane.left[fault.cell] as number;
  const width = context.measureText(words).width + 8;
  const at = x + 16 + width <= axis.value.right ? x + 16 : x - width - 4;
  context.fillStyle = palette.value.bg;
  context.fillRect(at, place.top - 1, width, place.height + 2);
  context.fillStyle = palette.value.bad;
  context.fillText(words, at + 4, place.top + place.height / 2 + 0.5);
}

function LaneValues({ places }: { places: readonly LanePlace[] }) {
  return (
    <>
      {places.map(({ info, run, top, height }) => {
        const known = stats.value[run];
        const index = known ? indexOfStep(known.steps, step.value) : -1;
        const value = known && index >= 0 ? rowOf(known, info.name)[index] : undefined;
        const bad = known && index >= 0 ? (rowOf(known, info.name, "nonfinite")[index] ?? 0) > 0 : false;
        const text =
          value === undefined ? "" : bad && Number.isNaN(value) ? "NaN" : Number.isNaN(value) ? "" : formatStat(value);
        return (
          <div
            key={`${info.name} ${run}`}
            style={{
              position: "absolute",
              right: "16px",
              top: `${top + height / 2 - 7}px`,
              fontSize: "11px",
              lineHeight: "14px",
              fontWeight: info.name === layer.value ? 500 : 400,
              color: bad ? "var(--bad)" : "var(--ink)",
            }}
          >
            {text}
          </div>
        );
      })}
    </>
  );
}

function ValuesOverSteps({ height }: { height: number }) {
  const shown = shownRuns.value;
  const name = layer.value;
  const revisions = shown.map(({ run }) => timelines.value[run]?.revision ?? "").join(" ");
  const key =
    name === null || shown.length === 0 ? null : `${name} ${shown.map(({ run }) => run).join(" ")} ${revisions}`;
  const { data, key: answered } = useFetched(key, (signal) =>
    Promise.all(
      shown.map(async ({ run, letter }) => ({
        letter,
        run,
        layer: name as string,
        histograms: await fetchHistograms(run, name as string, signal).catch(() => null),
      })),
    ),
  );
  const each = Math.max(60, Math.floor((height - 44) / Math.max(1, shown.length)) - 10);
  const found = (data ?? []).flatMap(({ histograms }) => (histograms ? [histograms] : []));
  const scale = useMemo(() => valueScale(found, each), [data, each]);
  const full = useMemo(() => fullShare(found), [data]);
  return (
    <section data-testid="values" data-layer={data?.[0]?.layer ?? ""}>
      <div class="panel-head">
        <h2>Values of {data?.[0]?.layer ?? name ?? "…"} over steps</h2>
        <span class="hint">share of the values in each quarter octave; exact zeros in their own row</span>
        {answered !== key && data?.[0]?.layer !== name && <span class="hint">loading {name}</span>}
      </div>
      {(data ?? []).map(({ letter, run, histograms }) => (
        <div key={letter} style={{ marginBottom: "10px" }}>
          {histograms ? (
            <StepPlot label={`Values of ${name} in run ${run} over steps`}>
              <Canvas
                deps={[histograms, scale, full]}
                width={mainWidth.value}
                height={each}
                role="img"
                aria-label={`Where the values of ${name} lie, run ${run}`}
                draw={(context) => {
                  drawValues(context, histograms, axis.value, scale, 0, lut("counts", dark.value), full);
                  drawValueTicks(context, axis.value, scale, palette.value.ink2, SWATCH_BOTTOM);
                }}
              />
              <div style={{ position: "absolute", left: "12px", top: "0" }}>
                <Swatch letter={letter} run={run} />
              </div>
              <ValueNumbers histograms={histograms} height={each} />
            </StepPlot>
          ) : (
            <p class="hint" style={{ padding: "0 16px" }}>
              {runs.value?.runs.some((info) => info.run === run) ? `Run ${run} has no layer ${name}.` : ""}
            </p>
          )}
        </div>
      ))}
    </section>
  );
}

/** The 95th percentile, the median and the share of zeros at the step in view, at the right edge. */
function ValueNumbers({ histograms, height }: { histograms: Histograms; height: number }) {
  const index = indexOfStep(histograms.steps, step.value);
  if (index < 0) return <div class="lane-values hint">not logged</div>;
  const shares = histograms.shares.subarray(index * histograms.bins.length, (index + 1) * histograms.bins.length);
  const zero = shares[histograms.bins.indexOf(0)] ?? 0;
  return (
    <>
      <div class="lane-values">
        {[0.95, 0.5, 0.05].map((share) => (
          <div key={share}>
            <span>p{share * 100}</span>
            {formatNumber(percentile(histograms, shares, share))}
          </div>
        ))}
      </div>
      <div class="lane-values" style={{ top: `${Math.max(48, height - 15)}px` }}>
        <div>
          <span>zero</span>
          {formatPercent(zero)}
        </div>
      </div>
    </>
  );
}

function percentile({ left, right }: Histograms, shares: Float32Array, share: number): number {
  let below = 0;
  for (let index = 0; index < shares.length; index++) {
    const here = shares[index] as number;
    if (below + here >= share && here > 0)
      return (left[index] as number) + ((right[index] as number) - (left[index] as number)) * ((share - below) / here);
    below += here;
  }
  return Number.NaN;
}
