// One map enlarged, with the value under the pointer.
import { useEffect, useState } from "preact/hooks";
import { lut } from "../../colour";
import { Canvas } from "../../components/canvas";
import { drawInput, drawInputIn } from "../../draw/input";
import { drawMap } from "../../draw/maps";
import { formatCount, formatNumber, formatValue } from "../../format";
import { cellPixels, foldShape, isZero, largestPixel, mapNumber, strongestPixels, unitAt, valueAt } from "../../maps";
import { palette } from "../../palette";
import { channel, colormap, dark, overlay, sample } from "../../state";
import type { Inputs, LayerStats, Maps } from "../../types";
import type { ShownMaps } from "./data";
import { stamp } from "./grid";
import { limitsOf } from "./limits";
import { inputBelow, overlaid } from "./overlay";
import { pixelName, point, pointed, pointNowhere } from "./pointed";

const MOVES: Readonly<Record<string, readonly [number, number]>> = { i: [-1, 0], k: [1, 0], j: [0, -1], l: [0, 1] };

/** Height of the lines with a vector's strongest units, and how many are told. */
const STRONGEST_HEIGHT = 34;
const STRONGEST = 6;

interface LargeProps {
  shown: ShownMaps;
  statistics: LayerStats | null;
  inputs: Inputs | null;
  /** Space for the map, in CSS pixels a side. */
  room: number;
}

export function Large({ shown, statistics, inputs, room }: LargeProps) {
  const { maps } = shown;
  const at = Math.min(sample.value, maps.samples.length - 1);
  const position = Math.max(0, channel.value === null ? 0 : maps.channels.indexOf(channel.value));
  const map = mapNumber(maps, at, position);
  const vector = maps.layout === "vector";
  const [rows, columns] = vector ? foldShape(maps.width) : [maps.height, maps.width];
  const ratio = globalThis.devicePixelRatio || 1;
  const cell = cellPixels(rows, columns, Math.round((room - (vector ? STRONGEST_HEIGHT : 0)) * ratio));
  const [width, height] = [(columns * cell) / ratio, (rows * cell) / ratio];
  const limits = limitsOf(maps, map, statistics);
  const [kept, setKept] = useState<number | null>(null);
  const count = maps.width * maps.height;
  useEffect(() => setKept(null), [channel.value]);
  const unit = vector && channel.value !== null ? (maps.units?.indexOf(channel.value) ?? channel.value) : -1;
  const wanted = pointed.value?.pixel ?? kept ?? (unit < 0 ? null : unit);
  const pixel = wanted !== null && wanted < count ? wanted : largestPixel(maps, map);
  const [row, column] = [Math.floor(pixel / columns), pixel % columns];
  const draw = (context: CanvasRenderingContext2D, canvas: HTMLCanvasElement) => {
    const box = { x: 0, y: 0, width, height };
    const below = overlaid(inputs, maps, at);
    if (below) {
      drawInputIn(context, below.inputs, below.at, box);
      context.globalAlpha = overlay.value;
    }
    drawMap(context, maps, map, limits, lut(colormap.value, dark.value), palette.value, box, [rows, columns]);
    context.globalAlpha = 1;
    stamp(canvas, shown, at, limits);
    canvas.dataset.channel = String(maps.channels[position]);
    canvas.dataset.cell = String(cell);
    canvas.dataset.texture = isZero(maps, map) ? "zero" : "";
    canvas.dataset.overlay = String(below ? overlay.value : 0);
  };
  const hover = (event: PointerEvent) => {
    const bounds = (event.currentTarget as HTMLElement).getBoundingClientRect();
    const y = Math.floor(((event.clientY - bounds.top) * ratio) / cell);
    const x = Math.floor(((event.clientX - bounds.left) * ratio) / cell);
    if (y >= 0 && y < rows && x >= 0 && x < columns && y * columns + x < count) point("large", 0, y * columns + x);
  };
  const move = (event: KeyboardEvent) => {
    const by = MOVES[event.key];
    if (by === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    const [y, x] = [Math.max(0, Math.min(rows - 1, row + by[0])), Math.max(0, Math.min(columns - 1, column + by[1]))];
    setKept(Math.min(count - 1, y * columns + x));
  };
  return (
    <div class="large-panel" style={{ flexBasis: `${room + 32}px` }}>
      <LargeHead shown={shown} at={at} position={position} inputs={inputs} />
      <div
        class="tiles"
        style={{ width: `${width}px`, height: `${height}px` }}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: the keys i, j, k, l move the value that is read
        tabIndex={0}
        role="group"
        aria-label="Enlarged map; the keys i, j, k, l choose a value"
        title="i j k l choose a value"
        onKeyDown={move}
        onPointerMove={hover}
        onPointerLeave={() => {
          pointNowhere();
          setKept(null);
        }}
      >
        <Canvas
          width={width}
          height={height}
          draw={draw}
          deps={[maps, at, position, cell, limits.low, limits.high, inputs]}
          data-testid="map-large"
          role="img"
          aria-label="Enlarged map"
        />
        <div
          class="chosen"
          style={{
            left: `${(column * cell) / ratio - 1}px`,
            top: `${(row * cell) / ratio - 1}px`,
            width: `${cell / ratio + 2}px`,
            height: `${cell / ratio + 2}px`,
          }}
        />
      </div>
      <div class="readout" style={{ width: `${Math.max(200, width)}px` }}>
        <span class="hint">
          {pixelName(maps, pixel)}
          {pooled(maps)}
        </span>
        <strong data-testid="pixel-value">{formatValue(valueAt(maps, map, pixel))}</strong>
      </div>
      {vector && <Strongest maps={maps} map={map} room={room} />}
    </div>
  );
}

/** A sample's units farthest from zero, to choose from. */
function Strongest({ maps, map, room }: { maps: Maps; map: number; room: number }) {
  const pixels = strongestPixels(maps, map, STRONGEST);
  return (
    <p
      class="strongest hint"
      data-testid="strongest"
      style={{ width: `${room}px`, height: `${STRONGEST_HEIGHT}px` }}
      title="The units of this sample farthest from zero; a click chooses one"
    >
      {pixels.length > 0 ? "strongest" : isZero(maps, map) ? "every unit is zero" : "no unit is finite and not zero"}
      {pixels.map((pixel) => (
        <button
          type="button"
          key={pixel}
          aria-pressed={channel.value === unitAt(maps, pixel)}
          onClick={() => {
            channel.value = unitAt(maps, pixel);
          }}
        >
          <span class="link">#{formatCount(unitAt(maps, pixel))}</span> {formatNumber(valueAt(maps, map, pixel))}
        </button>
      ))}
    </p>
  );
}

function pooled({ pool: [height, width] }: Maps): string {
  return height * width > 1 ? `, mean of ${height} × ${width}` : "";
}

function LargeHead({
  shown: { maps, key },
  at,
  position,
  inputs,
}: {
  shown: ShownMaps;
  at: number;
  position: number;
  inputs: Inputs | null;
}) {
  const label = inputs?.labels?.[at];
  const picture = inputs?.layout === "channels" ? inputs.samples.indexOf(maps.samples[at] as number) : -1;
  const title =
    maps.layout === "vector"
      ? `Sample ${label ?? maps.samples[at]}`
      : maps.layout === "sequence"
        ? "Map"
        : `Channel ${maps.channels[position]}`;
  const ofWhat =
    maps.layout === "vector"
      ? `${maps.width} units folded`
      : `${maps.layout === "channels" ? `of ${maps.shape[1] ?? maps.channels.length}, ` : ""}sample ${label === undefined ? maps.samples[at] : `“${label}”`}`;
  return (
    <div class="panel-head flush">
      <h2>{title}</h2>
      <span class="hint" title={`${ofWhat}, step ${key.step}`}>
        {ofWhat}, step {key.step}
      </span>
      <span class="spacer" />
      {inputs && picture >= 0 && (
        <Canvas
          width={28}
          height={28}
          deps={[inputs, picture]}
          role="img"
          aria-label="The input"
          title={inputBelow(inputs, maps, at) >= 0 ? "the input; o lays the maps over it" : "the input"}
          class="thumb"
          draw={(context) => drawInput(context, inputs, picture, 28)}
        />
      )}
    </div>
  );
}
