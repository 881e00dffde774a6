// The maps of all kept channels; or, of a sequence, of all samples; or the vector heat map.
import { useEffect } from "preact/hooks";
import { css, lut } from "../../colour";
import { Canvas } from "../../components/canvas";
import { drawMap } from "../../draw/maps";
import { formatNumber, formatShort, shorten } from "../../format";
import { channelOrder, isZero, mapNumber, type ScaleLimits, scaleLimits } from "../../maps";
import { FONT, palette } from "../../palette";
import { channel, channelSort, colormap, dark, sample, scaleMode, shownChannels } from "../../state";
import type { LayerStats } from "../../types";
import type { ShownMaps } from "./data";

const GAP = 8;
const LABEL = 16;
const LEGEND = 56;

export interface GridProps {
  shown: ShownMaps;
  statistics: LayerStats | null;
  deadSince: ReadonlyMap<number, number>;
  labels: readonly string[] | null;
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

interface LegendProps {
  limits: ScaleLimits;
  /** Only the half above zero: the layer has no negative values. */
  half: boolean;
  height: number;
}

export function Legend({ limits, half, height }: LegendProps) {
  const table = lut(colormap.value, dark.value);
  const { high, clips } = limits;
  const low = half ? 0 : limits.low;
  const stops = Array.from({ length: 17 }, (_, index) => css(table, half ? 0.5 + index / 32 : index / 16)).join(", ");
  const marks = low < 0 && high > 0 ? [high, high / 2, 0, low / 2, low] : [high, (low + high) / 2, low];
  const sign = (index: number) =>
    !clips ? "" : index === 0 ? "≥ " : index === marks.length - 1 && low !== 0 ? "≤ " : "";
  return (
    <div
      class="colour-bar"
      style={{ height: `${height}px` }}
      role="img"
      aria-label={`Scale from ${formatNumber(low)} to ${formatNumber(high)}`}
    >
      <div style={{ background: `linear-gradient(to top, ${stops})` }} />
      {marks.map((value, index) => (
        <span key={value} style={{ top: `${(index / (marks.length - 1)) * 100}%` }}>
          {sign(index)}
          {formatNumber(value)}
        </span>
      ))}
    </div>
  );
}

/** Whether a layer has no negative value in the whole run, so that the lower half of a diverging scale is never seen. */
function isPositive(statistics: LayerStats | null): boolean {
  return colormap.value === "activations" && statistics?.low_limit != null && statistics.low_limit >= 0;
}

interface Tiling {
  columns: number;
  cell: number;
  wide: number;
  tall: number;
}

/** The largest whole magnification at which `count` maps fit; 1 where none does, and the panel scrolls. */
export function tiling(count: number, mapWidth: number, mapHeight: number, width: number, height: number): Tiling {
  for (let cell = Math.max(1, Math.floor(width / mapWidth)); ; cell--) {
    const wide = Math.max(36, mapWidth * cell) + GAP;
    const tall = mapHeight * cell + LABEL + 2;
    const fitting = Math.max(1, Math.floor((width + GAP) / wide));
    const columns = Math.ceil(count / Math.ceil(count / fitting)); // rows of equal length
    if (cell === 1 || (Math.ceil(count / columns) * tall <= height && cell * Math.max(mapWidth, mapHeight) <= 160))
      return { columns, cell, wide, tall };
  }
}

export function Grid(props: GridProps) {
  const { shown } = props;
  const order =
    shown.maps.layout === "channels"
      ? channelOrder(shown.maps, Math.min(sample.value, shown.maps.samples.length - 1), channelSort.value)
      : [];
  const names = order.map((position) => shown.maps.channels[position] as number);
  useEffect(() => {
    shownChannels.value = names;
  }, [names.join()]);
  if (shown.maps.layout === "vector") return <Heat {...props} />;
  return <Tiles {...props} order={order} />;
}

function Tiles({
  shown,
  statistics,
  deadSince,
  labels,
  width,
  height,
  order,
}: GridProps & { order: readonly number[] }) {
  const { maps } = shown;
  const sequence = maps.layout === "sequence";
  const at = Math.min(sample.value, maps.samples.length - 1);
  const tiles = sequence
    ? maps.samples.map((_, index) => mapNumber(maps, index, 0))
    : order.map((position) => mapNumber(maps, at, position));
  const { columns, cell, wide, tall } = tiling(tiles.length, maps.width, maps.height, width - LEGEND, height);
  const rows = Math.ceil(tiles.length / columns);
  const shared = scaleLimits(scaleMode.value, colormap.value, maps, tiles[0] ?? 0, statistics);
  const chosen = sequence ? at : order.findIndex((position) => maps.channels[position] === channel.value);
  const caption = (index: number): [string, string, boolean] => {
    const map = tiles[index] as number;
    if (sequence) return [labels?.[index] ?? String(maps.samples[index]), formatShort(maps.mean[map] as number), false];
    const name = maps.channels[order[index] as number] as number;
    const since = deadSince.get(name);
    if (isZero(maps, map) && since !== undefined && since <= shown.key.step) return [String(name), `⊘ ${since}`, true];
    return [String(name), formatShort(maps.mean[map] as number), false];
  };
  const draw = (context: CanvasRenderingContext2D, canvas: HTMLCanvasElement) => {
    const table = lut(colormap.value, dark.value);
    context.font = FONT;
    context.textBaseline = "top";
    for (const [index, map] of tiles.entries()) {
      const x = (index % columns) * wide;
      const y = Math.floor(index / columns) * tall;
      const limits = scaleMode.value === "map" ? scaleLimits("map", colormap.value, maps, map, statistics) : shared;
      const box = { x, y, width: maps.width * cell, height: maps.height * cell };
      drawMap(context, maps, map, limits, table, palette.value, box);
      const [name, number, bad] = caption(index);
      context.fillStyle = index === chosen ? palette.value.ink : palette.value.ink2;
      context.textAlign = "left";
      context.fillText(shorten(name, Math.max(3, Math.floor(wide / 12))), x, y + box.height + 3);
      if (wide < 52) continue;
      context.fillStyle = bad ? palette.value.bad : palette.value.ink2;
      context.textAlign = "right";
      context.fillText(number, x + Math.max(box.width, wide - GAP), y + box.height + 3);
    }
    stamp(canvas, shown, at, shared);
    canvas.dataset.cell = String(cell);
    canvas.dataset.columns = String(columns);
  };
  const choose = (event: MouseEvent) => {
    const bounds = (event.currentTarget as HTMLElement).getBoundingClientRect();
    const index =
      Math.floor((event.clientY - bounds.top) / tall) * columns + Math.floor((event.clientX - bounds.left) / wide);
    if (index >= tiles.length) return;
    if (sequence) sample.value = index;
    else channel.value = maps.channels[order[index] as number] as number;
  };
  return (
    <div class="grid-panel">
      <div class="tiles" style={{ width: `${columns * wide}px` }}>
        <Canvas
          width={columns * wide}
          height={rows * tall}
          draw={draw}
          data-testid="maps-grid"
          role="img"
          aria-label={
            sequence
              ? `Maps of ${tiles.length} samples`
              : `Maps of ${tiles.length} channels; the keys [ and ] choose one`
          }
          onClick={choose}
        />
        {chosen >= 0 && (
          <div
            class="chosen"
            style={{
              left: `${(chosen % columns) * wide - 2}px`,
              top: `${Math.floor(chosen / columns) * tall - 2}px`,
              width: `${maps.width * cell + 4}px`,
              height: `${maps.height * cell + 4}px`,
            }}
          />
        )}
      </div>
      {scaleMode.value === "map" ? (
        <p class="hint">each map on its own scale</p>
      ) : (
        <Legend
          limits={shared}
          half={isPositive(statistics)}
          height={Math.min(height - 12, Math.max(120, rows * tall - LABEL))}
        />
      )}
    </div>
  );
}

/** Samples as rows, units as columns. */
function Heat({ shown, statistics, labels, width, height }: GridProps) {
  const { maps } = shown;
  const at = Math.min(sample.value, maps.samples.length - 1);
  const names = 28;
  const cell = Math.max(1, Math.floor((width - LEGEND - names) / maps.width));
  const row = Math.max(3, Math.min(24, Math.floor(height / maps.samples.length)));
  const shared = scaleLimits(scaleMode.value, colormap.value, maps, mapNumber(maps, at, 0), statistics);
  const draw = (context: CanvasRenderingContext2D, canvas: HTMLCanvasElement) => {
    const table = lut(colormap.value, dark.value);
    context.font = FONT;
    context.textBaseline = "middle";
    context.textAlign = "right";
    for (let index = 0; index < maps.samples.length; index++) {
      const limits = scaleMode.value === "map" ? scaleLimits("map", colormap.value, maps, index, statistics) : shared;
      drawMap(context, maps, index, limits, table, palette.value, {
        x: names,
        y: index * row,
        width: maps.width * cell,
        height: row - (row > 6 ? 1 : 0),
      });
      if (row < 11) continue;
      context.fillStyle = index === at ? palette.value.ink : palette.value.ink2;
      context.fillText(shorten(labels?.[index] ?? String(maps.samples[index]), 5), names - 6, index * row + row / 2);
    }
    stamp(canvas, shown, at, shared);
  };
  const choose = (event: MouseEvent) => {
    const bounds = (event.currentTarget as HTMLElement).getBoundingClientRect();
    sample.value = Math.max(0, Math.min(maps.samples.length - 1, Math.floor((event.clientY - bounds.top) / row)));
  };
  return (
    <div class="grid-panel">
      <div class="tiles">
        <Canvas
          width={names + maps.width * cell}
          height={maps.samples.length * row}
          draw={draw}
          data-testid="maps-grid"
          role="img"
          aria-label={`${maps.width} units of ${maps.samples.length} samples`}
          onClick={choose}
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
        <p class="hint">
          a row a sample, a column a unit
          {maps.units && maps.units.length < (maps.shape[1] ?? 0)
            ? `; ${maps.units.length} of ${maps.shape[1]} units`
            : ""}
        </p>
      </div>
      {scaleMode.value === "map" ? (
        <p class="hint">each row on its own scale</p>
      ) : (
        <Legend limits={shared} half={isPositive(statistics)} height={Math.min(height - 12, 260)} />
      )}
    </div>
  );
}
