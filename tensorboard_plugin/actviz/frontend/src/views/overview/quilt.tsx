// The quilt: a row a layer, a lane a run, a column a logged step. Only the rows in view are drawn.
import { useMemo } from "preact/hooks";
import { chooseLayer, openLayer } from "../../actions";
import { AXIS_RIGHT } from "../../axis";
import { lut, runColour } from "../../colour";
import { Canvas } from "../../components/canvas";
import { StepPlot } from "../../components/frame";
import { statAt } from "../../detail";
import { drawLane } from "../../draw/quilt";
import { byLayer, signOf } from "../../findings";
import { formatCount, formatGradient, formatNumber, formatPercent } from "../../format";
import { FONT, palette } from "../../palette";
import { LANE_GAP, laneHeight, type Row, rows, rowsHeight, rowsScroll, toggleGroup } from "../../rows";
import {
  axis,
  dark,
  drawnQuantity,
  drawnStat,
  lanes,
  layer,
  mainWidth,
  shownRuns,
  shownStat,
  timelines,
  toldStep,
  zoom,
} from "../../state";
import { isFraction } from "../../statistics";
import { indexOfStep } from "../../stats";
import type { Finding } from "../../types";
import { domain, LaneFinder, type LaneRun, layerOf, shownLanes } from "./lanes";
import { Strips } from "./strips";

export function formatStat(value: number): string {
  if (isFraction(drawnStat.value)) return formatPercent(value);
  return drawnQuantity.value === "gradients" ? formatGradient(value) : formatNumber(value);
}

function hasLanes(row: Row): boolean {
  return row.kind === "layer" || row.folded;
}

function rowsBetween(top: number, bottom: number): Row[] {
  return rows.value.filter((row) => row.top < bottom && row.top + row.height > top);
}

function laneTop(row: Row, index: number): number {
  return row.top + 2 + index * (laneHeight.value + LANE_GAP);
}

/** The data of run A's lanes. */
function csvRoute(): string {
  const range =
    zoom.value === null
      ? []
      : [
          ["from", String(zoom.value[0])],
          ["to", String(zoom.value[1])],
        ];
  return `statistics.csv?${new URLSearchParams([["run", shownRuns.value[0]?.run ?? ""], ["of", drawnQuantity.value], ...range])}`;
}

export function Quilt({ height }: { height: number }) {
  const shown = shownLanes.value;
  const finder = useMemo(() => new LaneFinder(), [shown, axis.value, rows.value]);
  const scale = domain.value;
  const draw = (context: CanvasRenderingContext2D, canvas: HTMLCanvasElement) => {
    context.font = FONT;
    context.textBaseline = "middle";
    const scroll = rowsScroll.value;
    context.translate(0, -scroll);
    for (const row of rowsBetween(scroll, scroll + height)) {
      if (row.kind === "group") {
        context.fillStyle = palette.value.line;
        context.fillRect(0, row.top, mainWidth.value, 1);
      }
      if (hasLanes(row)) for (const [index, run] of shown.entries()) drawRun(context, row, index, run);
    }
    context.translate(0, scroll);
    canvas.dataset.stat = drawnStat.value;
    canvas.dataset.of = drawnQuantity.value;
    canvas.dataset.rowNames = JSON.stringify(
      rowsBetween(scroll, scroll + height).map((row) => ({
        y: row.top - scroll + (row.kind === "layer" ? row.lanes : row.height) / 2,
        label: row.kind === "layer" ? row.info.name : row.group,
      })),
    );
    canvas.dataset.colormap = lanes.value === "difference" ? "differences" : "statistics";
    canvas.dataset.scaleLow = String(scale.low);
    canvas.dataset.scaleHigh = String(scale.high);
    canvas.dataset.show = lanes.value;
    canvas.dataset.lanes = String(rows.value.filter(hasLanes).length * shown.length);
    canvas.dataset.range = `${axis.value.first}..${axis.value.last}`;
    canvas.dataset.cells = String(shown.map(({ stats }) => stats?.steps.length ?? 0));
  };
  const drawRun = (context: CanvasRenderingContext2D, row: Row, index: number, { run, letter, stats }: LaneRun) => {
    const top = laneTop(row, index);
    const tall = laneHeight.value;
    context.fillStyle = runColour(run, dark.value);
    context.fillRect(axis.value.left - 8, top, 4, tall);
    if (row.top === rows.value.find(hasLanes)?.top && letter !== null && (shown.length > 1 || letter === "B")) {
      context.fillStyle = palette.value.ink2;
      context.fillText(letter, axis.value.left - 22, top + tall / 2);
    }
    const unlogged = stats?.of === "gradients" && stats.steps.length === 0;
    const lane = stats && !unlogged ? finder.lane(row, index, stats) : null;
    if (stats && lane) {
      const table = lut(lanes.value === "difference" ? "differences" : "statistics", dark.value);
      drawLane(context, lane, scale, top, tall, table, palette.value);
      if (lanes.value === "runs" && row.kind === "layer") drawFaults(context, row.info.name, run, top, tall);
      return;
    }
    context.fillStyle = palette.value.ink3;
    const first = row.top === rows.value.find(hasLanes)?.top;
    const tooMany = first ? "too many steps for a difference: Shift-drag over fewer of them" : "";
    const gradients = first ? "this run logged no gradients: watch(..., gradients=True) does" : "";
    const missing = unlogged ? gradients : "no such layer in this run";
    const words = stats === null ? tooMany : stats ? missing : "";
    context.fillText(words, axis.value.left + 4, top + tall / 2);
  };
  const at = (event: MouseEvent) => {
    const y = event.clientY - (event.currentTarget as HTMLElement).getBoundingClientRect().top;
    return rows.value.find((each) => y >= each.top && y < each.top + each.height);
  };
  return (
    <StepPlot label={`${shownStat.value} of every layer over steps`}>
      {/* biome-ignore lint/a11y/noStaticElementInteractions lint/a11y/useKeyWithClickEvents: the tree beside it does the same by keyboard */}
      <div
        class="quilt-rows"
        style={{ height: `${Math.max(height, rowsHeight.value + 2)}px` }}
        onClick={(event) => {
          const row = at(event);
          if (row?.kind === "group" && event.detail > 1) toggleGroup(row.group);
          if (row?.kind !== "layer" || event.shiftKey) return;
          if (event.detail > 1) openLayer(row.info.name);
          else chooseLayer(row.info.name);
        }}
      >
        <div class="quilt-window" style={{ height: `${height}px` }}>
          <Canvas
            width={mainWidth.value}
            height={height}
            deps={[finder, scale, byLayer.value]}
            data-testid="quilt"
            role="img"
            aria-label={`${shownStat.value} of every layer over steps`}
            data-csv={csvRoute()}
            draw={draw}
          />
          <Values height={height} lanes={shown} />
        </div>
        <Selection />
        <Strips height={height} />
      </div>
    </StepPlot>
  );
}

/** The frame round the selected layer's row, or round the folded block that it is in. */
function Selection() {
  const row =
    rows.value.find((each) => each.kind === "layer" && each.info.name === layer.value) ??
    rows.value.find(
      (each) => each.kind === "group" && each.folded && each.layers.some(({ name }) => name === layer.value),
    );
  if (!row) return null;
  const { left, right } = axis.value;
  const place = { left: `${left}px`, width: `${right - left}px`, top: `${row.top}px`, height: `${row.height - 1}px` };
  return <div class="quilt-selection" style={place} />;
}

/** Signs where faults begin in a lane, and what the last lasting one is, in words. */
function drawFaults(context: CanvasRenderingContext2D, name: string, run: string, top: number, height: number): void {
  const { first, last, x } = axis.value;
  const found = (byLayer.value.get(name) ?? []).filter((each) => each.run === run).map(({ finding }) => finding);
  const lasting = found.filter(({ severity, goes_on }) => severity === "bad" && goes_on).pop();
  if (lasting && lasting.first_step <= last)
    drawWords(context, lasting, x(Math.max(first, lasting.first_step)), top, height);
  // The most telling one comes first in the list, and last here: on top of those that begin with it.
  for (const finding of [...found].reverse())
    if (finding.first_step >= first && finding.first_step <= last)
      drawSign(context, finding, x(finding.first_step), top + height / 2 + 0.5);
}

function drawSign(context: CanvasRenderingContext2D, finding: Finding, x: number, middle: number): void {
  context.fillStyle = palette.value.bg;
  context.beginPath();
  context.arc(x, middle, 6, 0, 2 * Math.PI);
  context.fill();
  context.fillStyle = palette.value[finding.severity];
  context.textAlign = "center";
  context.fillText(signOf(finding), x, middle);
  context.textAlign = "left";
}

function drawWords(context: CanvasRenderingContext2D, finding: Finding, x: number, top: number, height: number): void {
  const words = `${finding.brief} since ${formatCount(finding.first_step)}`;
  const width = context.measureText(words).width + 8;
  const at = x + 12;
  if (at + width > axis.value.right) return; // the sign says it, and the list: words would hide what was before
  context.fillStyle = palette.value.bg;
  context.fillRect(at, top - 1, width, height + 2);
  context.fillStyle = palette.value.bad;
  context.fillText(words, at + 4, top + height / 2 + 0.5);
}

/** What a lane has at a step, in words, and whether it is not finite; null where it was not logged. */
function told(row: Row, { run, stats }: LaneRun, step: number | null): { words: string; bad: boolean } | null {
  const name = stats && stats.steps.length > 0 ? layerOf(row, stats) : null;
  const found = name === null ? null : statAt(run, name, step);
  if (name === null || found === null || Number.isNaN(found.nonfinite)) {
    const awaited = name !== null && found === null && indexOfStep(timelines.value[run]?.steps ?? [], step) >= 0;
    return awaited ? { words: "…", bad: false } : null;
  }
  let value = found.value;
  if (lanes.value === "difference") {
    const base = statAt(shownRuns.value[0]?.run ?? "", name, step);
    if (base === null || Number.isNaN(base.nonfinite)) return null;
    value -= base.value;
  }
  const bad = found.nonfinite > 0;
  if (Number.isNaN(value)) return bad ? { words: "NaN", bad } : null;
  const plus = lanes.value === "difference" && value > 0 ? "+" : "";
  return {
    words: plus + (isFraction(drawnStat.value) && value < 0 ? `\u2212${formatStat(-value)}` : formatStat(value)),
    bad,
  };
}

/** The values at the cursor, at the right edge. */
function Values({ height, lanes: shown }: { height: number; lanes: readonly LaneRun[] }) {
  return (
    <>
      <Canvas
        width={AXIS_RIGHT}
        height={height}
        class="quilt-values"
        aria-hidden="true"
        draw={(context) => {
          const scroll = rowsScroll.value;
          context.textBaseline = "middle";
          context.textAlign = "right";
          context.translate(0, -scroll);
          for (const row of rowsBetween(scroll, scroll + height)) {
            if (!hasLanes(row)) continue;
            const selected = row.kind === "layer" && row.info.name === layer.value;
            context.font = selected ? FONT.replace("11px", "500 11px") : FONT;
            for (const [index, lane] of shown.entries()) {
              const value = told(row, lane, toldStep.value);
              context.fillStyle = value?.bad ? palette.value.bad : palette.value.ink;
              if (value)
                context.fillText(value.words, AXIS_RIGHT - 16, laneTop(row, index) + laneHeight.value / 2 + 0.5);
            }
          }
          context.translate(0, scroll);
          context.textAlign = "left";
        }}
      />
      <SelectedValues lanes={shown} />
    </>
  );
}

/** The selected layer's values, for those who hear the page. */
function SelectedValues({ lanes: shown }: { lanes: readonly LaneRun[] }) {
  const row = rows.value.find((each) => each.kind === "layer" && each.info.name === layer.value);
  if (!row) return null;
  const parts = shown.map(
    (lane) => `${lane.letter ?? lane.run} ${told(row, lane, toldStep.value)?.words ?? "not logged"}`,
  );
  return (
    <div class="visually-hidden" data-testid="selected-values">
      {`${shownStat.value} of ${layer.value} at step ${toldStep.value}: ${parts.join(", ")}`}
    </div>
  );
}
