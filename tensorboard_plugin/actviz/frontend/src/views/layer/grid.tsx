// The maps of all kept channels; or, of a sequence, of all samples; or the vector heat map.
import { useEffect, useLayoutEffect } from "preact/hooks";
import { lut } from "../../colour";
import { Canvas } from "../../components/canvas";
import { depthsOf, sliceOf } from "../../depths";
import { drawInputIn } from "../../draw/input";
import { drawMap, drawOutline } from "../../draw/maps";
import { formatPercent, formatShort, shorten } from "../../format";
import { channelOrder, isZero, mapNumber, type ScaleLimits, sortKey, unitAt } from "../../maps";
import { FONT, palette } from "../../palette";
import {
  type ChannelSort,
  channel,
  channelSort,
  colormap,
  dark,
  layers,
  overlay,
  sample,
  scaleMode,
  shownChannels,
  shownLimits,
  shownRuns,
} from "../../state";
import type { Inputs, LayerStats } from "../../types";
import type { ShownMaps } from "./data";
import { Legend } from "./legend";
import { isPositive, limitsOf } from "./limits";
import { overlaid } from "./overlay";
import { PointedValue, point, pointNowhere } from "./pointed";
import { fittingText, GAP, tiling } from "./tiling";

/** Room for the hairline round the first tile. */
const EDGE = 1;
const LEGEND = 78;
/** Height of the line for the value under the pointer. */
const VALUE_LINE = 20;

export interface GridProps {
  shown: ShownMaps;
  statistics: LayerStats | null;
  deadSince: ReadonlyMap<number, number>;
  inputs: Inputs | null;
  /** The maps of the reference step, where the channels are sorted by change. */
  reference: ShownMaps | null;
  width: number;
  height: number;
}

/** Writes into a canvas's data attributes what it truly shows. */
export function stamp(canvas: HTMLCanvasElement, { maps, key }: ShownMaps, at: number, limits: ScaleLimits): void {
  canvas.dataset.run = key.run;
  canvas.dataset.layer = key.layer;
  canvas.dataset.step = String(key.step);
  canvas.dataset.sample = String(maps.samples[at] ?? at);
  canvas.dataset.colormap = colormap.value;
  canvas.dataset.scaleLow = String(limits.low);
  canvas.dataset.scaleHigh = String(limits.high);
}

export function Grid(props: GridProps) {
  const { shown, reference } = props;
  const order =
    shown.maps.layout === "channels"
      ? channelOrder(
          shown.maps,
          Math.min(sample.value, shown.maps.samples.length - 1),
          channelSort.value,
          reference?.maps ?? null,
        )
      : [];
  const names = order.map((position) => shown.maps.channels[position] as number);
  useLayoutEffect(() => {
    if (shown.maps.layout === "channels") shownChannels.value = names;
  }, [names.join(), shown.maps.layout]);
  if (shown.maps.layout === "vector") return <Heat {...props} />;
  return <Tiles {...props} order={order} />;
}

/** What the number below a map is. */
const NUMBERS: Readonly<Record<ChannelSort, string>> = {
  index: "mean of this map",
  mean: "mean of this map",
  change: "change (RMS) of this map since the reference step",
  zero: "share of zeros of this map",
};

/** The number below a channel's map: what the channels are sorted by, or the mean; the longest text first. */
function numberOf({ shown: { maps }, reference }: GridProps, at: number, position: number): string[] {
  const sort = channelSort.value === "index" ? "mean" : channelSort.value;
  const value = sortKey(maps, at, position, sort, reference?.maps ?? null);
  if (Number.isNaN(value)) return sort === "mean" ? ["NaN"] : [];
  const text = sort === "zero" ? formatPercent(value) : formatShort(value);
  return sort === "change" ? [`Δ ${text}`, text] : [text];
}

interface Caption {
  name: string;
  /** The same in more or fewer characters. */
  numbers: readonly string[];
  dead: boolean;
}

function Tiles(props: GridProps & { order: readonly number[] }) {
  const { shown, statistics, deadSince, inputs, width, height, order } = props;
  const { maps } = shown;
  const sequence = maps.layout === "sequence";
  const at = Math.min(sample.value, maps.samples.length - 1);
  const tiles = sequence
    ? maps.samples.map((_, index) => mapNumber(maps, index, 0))
    : order.map((position) => mapNumber(maps, at, position));
  const { columns, cell, wide, tall } = tiling(
    tiles.length,
    maps.width,
    maps.height,
    width - LEGEND,
    height - VALUE_LINE,
  );
  const rows = Math.ceil(tiles.length / columns);
  const gridWide = columns * wide - GAP + 2 * EDGE;
  const shared = limitsOf(maps, tiles[0] ?? 0, statistics);
  useShownLimits(shared);
  const chosen = sequence ? at : order.findIndex((position) => maps.channels[position] === channel.value);
  const caption = (index: number): Caption => {
    const map = tiles[index] as number;
    if (sequence) {
      const name = inputs?.labels?.[index] ?? String(maps.samples[index]);
      return { name, numbers: [formatShort(maps.mean[map] as number)], dead: false };
    }
    const name = maps.channels[order[index] as number] as number;
    const since = deadSince.get(name);
    if (isZero(maps, map) && since !== undefined)
      return { name: String(name), numbers: [`⊘ since ${since}`, "⊘"], dead: true };
    return { name: String(name), numbers: numberOf(props, at, order[index] as number), dead: false };
  };
  /** What the line for the value calls a tile. */
  const told = (index: number): string => {
    const { name, numbers, dead } = caption(index);
    return `${sequence ? "sample" : "channel"} ${name}${dead ? ` (${numbers[0]?.replace("⊘", "dead")})` : ""}`;
  };
  const draw = (context: CanvasRenderingContext2D, canvas: HTMLCanvasElement) => {
    const table = lut(colormap.value, dark.value);
    const below = overlaid(inputs, maps, at);
    const captions: string[] = [];
    context.font = FONT;
    context.textBaseline = "top";
    for (const [index, map] of tiles.entries()) {
      const x = EDGE + (index % columns) * wide;
      const y = EDGE + Math.floor(index / columns) * tall;
      const limits = scaleMode.value === "map" ? limitsOf(maps, map, statistics) : shared;
      const box = { x, y, width: maps.width * cell, height: maps.height * cell };
      if (below) {
        drawInputIn(context, below.inputs, below.at, box);
        context.globalAlpha = overlay.value;
      }
      drawMap(context, maps, map, limits, table, palette.value, box);
      context.globalAlpha = 1;
      drawOutline(context, box, palette.value);
      const { name, numbers, dead } = caption(index);
      const text = shorten(name, Math.max(3, Math.floor(wide / 12)));
      context.fillStyle = index === chosen ? palette.value.ink : palette.value.ink2;
      context.textAlign = "left";
      context.fillText(text, x, y + box.height + 3);
      const room = wide - 2 * GAP - context.measureText(text).width;
      const number = fittingText(numbers, room, (each) => context.measureText(each).width);
      captions.push(`${text} ${number}`);
      context.fillStyle = dead ? palette.value.bad : palette.value.ink2;
      context.textAlign = "right";
      context.fillText(number, x + wide - GAP, y + box.height + 3);
    }
    canvas.dataset.captions = JSON.stringify(captions);
    stamp(canvas, shown, at, shared);
    canvas.dataset.cell = String(cell);
    canvas.dataset.columns = String(columns);
    canvas.dataset.overlay = String(below ? overlay.value : 0);
    canvas.dataset.order = order.map((position) => maps.channels[position]).join();
  };
  /** The tile under the pointer, and the pixel of its map; null beside the maps. */
  const under = (event: MouseEvent): [tile: number, pixel: number | null] | null => {
    const bounds = (event.currentTarget as HTMLElement).getBoundingClientRect();
    const [x, y] = [event.clientX - bounds.left - EDGE, event.clientY - bounds.top - EDGE];
    if (x < 0 || y < 0) return null;
    const tile = Math.floor(y / tall) * columns + Math.floor(x / wide);
    if (tile >= tiles.length) return null;
    const [row, column] = [Math.floor((y % tall) / cell), Math.floor((x % wide) / cell)];
    return [tile, row < maps.height && column < maps.width ? row * maps.width + column : null];
  };
  const choose = (event: MouseEvent) => {
    const found = under(event);
    if (found === null) return;
    if (sequence) sample.value = found[0];
    else channel.value = maps.channels[order[found[0]] as number] as number;
  };
  const hover = (event: PointerEvent) => {
    const found = under(event);
    if (found === null || found[1] === null) pointNowhere();
    else point("grid", found[0], found[1]);
  };
  const drawn = [
    maps,
    at,
    cell,
    tiles.join(),
    shared.low,
    shared.high,
    chosen,
    inputs,
    statistics,
    deadSince,
    props.reference,
  ];
  return (
    <div class="grid-panel">
      <div>
        <div class="tiles" style={{ width: `${gridWide}px` }}>
          <Canvas
            width={gridWide}
            height={EDGE + rows * tall}
            draw={draw}
            deps={drawn}
            data-testid="maps-grid"
            role="img"
            aria-label={
              sequence
                ? `Maps of ${tiles.length} samples`
                : `Maps of ${tiles.length} channels; the keys [ and ] choose one`
            }
            onClick={choose}
            onPointerMove={hover}
            onPointerLeave={pointNowhere}
          />
          {chosen >= 0 && (
            <div
              class="chosen"
              style={{
                left: `${EDGE + (chosen % columns) * wide - 2}px`,
                top: `${EDGE + Math.floor(chosen / columns) * tall - 2}px`,
                width: `${maps.width * cell + 4}px`,
                height: `${maps.height * cell + 4}px`,
              }}
            />
          )}
        </div>
        <PointedValue
          place="grid"
          hint={`below each: ${sequence ? "its mean" : NUMBERS[channelSort.value]}${keptOf(shown)}`}
          mapOf={(tile) => (tile < tiles.length ? { maps, map: tiles[tile] as number, name: told(tile) } : null)}
        />
      </div>
      <SharedLegend {...props} limits={shared} height={Math.min(height - 36, Math.max(120, rows * tall - GAP))} />
    </div>
  );
}

/** Which of the channels, and of a volume which slice, the maps are of, where it is not all. */
function keptOf({ maps: { layout, shape, channels }, key }: ShownMaps): string {
  const words = [""];
  const all = shape[1] ?? channels.length;
  if (layout === "channels" && all > channels.length) words.push(`${channels.length} of ${all} channels are logged`);
  if (layout === "channels" && shape.length === 5) {
    const info = layers.value.find(({ name }) => name === key.layer);
    words.push(`slice ${sliceOf(key.part, info)} of the depth; ${depthsOf(info).length} slices are logged`);
  }
  return words.join("; ");
}

function useShownLimits({ low, high }: ScaleLimits): void {
  const own = scaleMode.value === "map";
  useEffect(() => {
    shownLimits.value = own ? null : [low, high];
    return () => {
      shownLimits.value = null;
    };
  }, [low, high, own]);
}

function SharedLegend({
  shown,
  statistics,
  limits,
  height,
}: Pick<GridProps, "shown" | "statistics" | "height"> & { limits: ScaleLimits }) {
  if (scaleMode.value === "map") return <p class="hint own-scale">each on its own scale</p>;
  const of =
    scaleMode.value === "runs"
      ? `of ${shownRuns.value.map(({ letter }) => letter).join(" and ")}`
      : scaleMode.value === "locked"
        ? "all steps"
        : "this step";
  return <Legend limits={limits} half={isPositive(statistics, shown.maps)} height={height} of={of} />;
}

/** Samples as rows, units as columns. */
function Heat(props: GridProps) {
  const { shown, statistics, inputs, width, height } = props;
  const { maps } = shown;
  const at = Math.min(sample.value, maps.samples.length - 1);
  const labelOf = (index: number) => inputs?.labels?.[index] ?? String(maps.samples[index]);
  const longest = Math.min(12, Math.max(...maps.samples.map((_, index) => labelOf(index).length)));
  const names = 12 + longest * 7;
  const cell = Math.min(64, Math.max(1, Math.floor((width - LEGEND - names) / maps.width)));
  const row = Math.max(3, Math.min(24, Math.floor((height - 2 * VALUE_LINE) / maps.samples.length)));
  const shared = limitsOf(maps, mapNumber(maps, at, 0), statistics);
  useShownLimits(shared);
  const draw = (context: CanvasRenderingContext2D, canvas: HTMLCanvasElement) => {
    const table = lut(colormap.value, dark.value);
    context.font = FONT;
    context.textBaseline = "middle";
    context.textAlign = "right";
    for (let index = 0; index < maps.samples.length; index++) {
      const limits = scaleMode.value === "map" ? limitsOf(maps, index, statistics) : shared;
      drawMap(context, maps, index, limits, table, palette.value, {
        x: names,
        y: index * row,
        width: maps.width * cell,
        height: row - (row > 6 ? 1 : 0),
      });
      if (row < 11) continue;
      context.fillStyle = index === at ? palette.value.ink : palette.value.ink2;
      context.fillText(shorten(labelOf(index), 12), names - 6, index * row + row / 2);
    }
    stamp(canvas, shown, at, shared);
  };
  const under = (event: MouseEvent): [sample: number, unit: number] => {
    const bounds = (event.currentTarget as HTMLElement).getBoundingClientRect();
    return [Math.floor((event.clientY - bounds.top) / row), Math.floor((event.clientX - bounds.left - names) / cell)];
  };
  const some =
    maps.units && maps.units.length < (maps.shape[1] ?? 0) ? `; ${maps.units.length} of ${maps.shape[1]} units` : "";
  return (
    <div class="grid-panel">
      <div>
        <div class="tiles">
          <Canvas
            width={names + maps.width * cell}
            height={maps.samples.length * row}
            draw={draw}
            deps={[maps, at, shared.low, shared.high, inputs, statistics]}
            data-testid="maps-grid"
            role="img"
            aria-label={`${maps.width} units of ${maps.samples.length} samples`}
            onClick={(event) => {
              const [index, unit] = under(event);
              sample.value = Math.max(0, Math.min(maps.samples.length - 1, index));
              if (unit >= 0 && unit < maps.width) channel.value = unitAt(maps, unit);
            }}
            onPointerMove={(event) => {
              const [index, unit] = under(event);
              if (maps.samples[index] === undefined || unit < 0 || unit >= maps.width) pointNowhere();
              else point("grid", index, unit);
            }}
            onPointerLeave={pointNowhere}
          />
          <div
            class="chosen"
            style={{
              left: `${names - 1}px`,
              top: `${at * row - 1}px`,
              width: `${maps.width * cell + 2}px`,
              height: `${row + 1}px`,
            }}
          />
        </div>
        <PointedValue
          place="grid"
          hint={`a row a sample, a column a unit${some}`}
          mapOf={(tile) => (tile < maps.samples.length ? { maps, map: tile, name: `sample ${labelOf(tile)}` } : null)}
        />
      </div>
      <SharedLegend {...props} limits={shared} height={Math.min(height - 36, 260)} />
    </div>
  );
}
