// The quilt: a row a layer, a lane a run, a column a logged step.
import { computed } from "@preact/signals";
import { useMemo } from "preact/hooks";
import { chooseLayer, openLayer } from "../../actions";
import { lut, runColour } from "../../colour";
import { Canvas } from "../../components/canvas";
import { StepPlot } from "../../components/frame";
import { drawLane, laneOf, statDomain } from "../../draw/quilt";
import { byLayer, signOf } from "../../findings";
import { formatNumber, formatPercent } from "../../format";
import { FONT, palette } from "../../palette";
import { rows, rowsHeight } from "../../rows";
import { axis, dark, layer, mainWidth, type RunLetter, shownRuns, stat, statScale, stats, step } from "../../state";
import { isFraction, statLabel } from "../../statistics";
import { indexOfStep, rowOf } from "../../stats";
import type { Finding, LayerInfo } from "../../types";

/** Limits of the colours: of the whole runs, so that they never move with the step in view. */
export const domain = computed(() =>
  statDomain(
    shownRuns.value.flatMap(({ run }) => (stats.value[run] ? [stats.value[run].values] : [])),
    stat.value,
    statScale.value === "log",
  ),
);

export function formatStat(value: number): string {
  return isFraction(stat.value) ? formatPercent(value) : formatNumber(value);
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

export function Quilt() {
  const places = lanePlaces();
  const width = mainWidth.value;
  const height = Math.max(1, rowsHeight.value + 2);
  const scale = domain.value;
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
      drawFaults(context, place);
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
          deps={[lanes, scale, byLayer.value]}
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

/** Signs where faults begin in a lane, and what the last lasting one is, in words. */
function drawFaults(context: CanvasRenderingContext2D, place: LanePlace): void {
  const found = (byLayer.value.get(place.info.name) ?? []).filter(({ run }) => run === place.run);
  const middle = place.top + place.height / 2 + 0.5;
  const lasting = found.filter(({ finding }) => finding.severity === "bad" && finding.goes_on).pop()?.finding;
  if (lasting) drawWords(context, lasting, axis.value.x(lasting.first_step), place);
  for (const { finding } of found) drawSign(context, finding, axis.value.x(finding.first_step), middle);
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

function drawWords(context: CanvasRenderingContext2D, finding: Finding, x: number, place: LanePlace): void {
  const words = `${finding.brief} since ${finding.first_step}`;
  const width = context.measureText(words).width + 8;
  const at = x + 12;
  if (at + width > axis.value.right) return; // the sign says it, and the list: words would hide what was before
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
