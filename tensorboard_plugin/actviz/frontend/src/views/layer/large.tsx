// One map enlarged, with the value under the pointer.
import { useState } from "preact/hooks";
import { lut } from "../../colour";
import { Canvas } from "../../components/canvas";
import { drawInput } from "../../draw/input";
import { drawMap } from "../../draw/maps";
import { formatValue } from "../../format";
import { cellPixels, foldShape, isZero, largestPixel, mapNumber, scaleLimits, valueAt } from "../../maps";
import { palette } from "../../palette";
import { channel, colormap, dark, sample, scaleMode } from "../../state";
import type { Inputs, LayerStats } from "../../types";
import type { ShownMaps } from "./data";
import { stamp } from "./grid";

const ROOM = 252;
const MOVES: Readonly<Record<string, readonly [number, number]>> = { i: [-1, 0], k: [1, 0], j: [0, -1], l: [0, 1] };

export function Large({
  shown,
  statistics,
  inputs,
}: {
  shown: ShownMaps;
  statistics: LayerStats | null;
  inputs: Inputs | null;
}) {
  const { maps, key } = shown;
  const at = Math.min(sample.value, maps.samples.length - 1);
  const position = Math.max(0, channel.value === null ? 0 : maps.channels.indexOf(channel.value));
  const map = mapNumber(maps, at, position);
  const vector = maps.layout === "vector";
  const [rows, columns] = vector ? foldShape(maps.width) : [maps.height, maps.width];
  const ratio = globalThis.devicePixelRatio || 1;
  const cell = cellPixels(rows, columns, Math.round(ROOM * ratio));
  const [width, height] = [(columns * cell) / ratio, (rows * cell) / ratio];
  const limits = scaleLimits(scaleMode.value, colormap.value, maps, map, statistics);
  const [pointed, setPointed] = useState<number | null>(null);
  const count = vector ? maps.width : rows * columns;
  const pixel = pointed !== null && pointed < count ? pointed : largestPixel(maps, map);
  const [row, column] = [Math.floor(pixel / columns), pixel % columns];
  const label = inputs?.labels?.[at];
  const draw = (context: CanvasRenderingContext2D, canvas: HTMLCanvasElement) => {
    drawMap(context, maps, map, limits, lut(colormap.value, dark.value), palette.value, { x: 0, y: 0, width, height }, [
      rows,
      columns,
    ]);
    stamp(canvas, shown, at, limits);
    canvas.dataset.channel = String(maps.channels[position]);
    canvas.dataset.cell = String(cell);
    canvas.dataset.texture = isZero(maps, map) ? "zero" : "";
  };
  const point = (event: PointerEvent) => {
    const bounds = (event.currentTarget as HTMLElement).getBoundingClientRect();
    const [y, x] = [
      Math.floor(((event.clientY - bounds.top) * ratio) / cell),
      Math.floor(((event.clientX - bounds.left) * ratio) / cell),
    ];
    if (y >= 0 && y < rows && x >= 0 && x < columns && y * columns + x < count) setPointed(y * columns + x);
  };
  const move = (event: KeyboardEvent) => {
    const by = MOVES[event.key];
    if (by === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    const [y, x] = [Math.max(0, Math.min(rows - 1, row + by[0])), Math.max(0, Math.min(columns - 1, column + by[1]))];
    setPointed(Math.min(count - 1, y * columns + x));
  };
  const [poolHeight, poolWidth] = maps.pool;
  const pooled = poolHeight * poolWidth > 1 ? `mean of ${poolHeight} × ${poolWidth} values` : "";
  return (
    <div class="large-panel">
      <div class="panel-head flush">
        <h2>
          {vector
            ? `Sample ${label ?? maps.samples[at]}`
            : maps.layout === "sequence"
              ? "Map"
              : `Channel ${maps.channels[position]}`}
        </h2>
        <span class="hint">
          {maps.layout === "channels" ? `of ${maps.shape[1] ?? maps.channels.length}, ` : ""}
          {vector ? `${maps.width} units folded` : `sample ${label === undefined ? maps.samples[at] : `“${label}”`}`},
          step {key.step}
        </span>
        <span class="spacer" />
        {inputs && at < inputs.samples.length && inputs.layout === "channels" && (
          <Canvas
            width={28}
            height={28}
            role="img"
            aria-label="The input"
            title="the input"
            class="thumb"
            draw={(context) => drawInput(context, inputs, at, 28)}
          />
        )}
      </div>
      <div
        class="tiles"
        style={{ width: `${width}px`, height: `${height}px` }}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: the keys i, j, k, l move the value that is read
        tabIndex={0}
        role="group"
        aria-label="Enlarged map; the keys i, j, k, l choose a value"
        title="i j k l choose a value"
        onKeyDown={move}
        onPointerMove={point}
        onPointerLeave={() => setPointed(null)}
      >
        <Canvas
          width={width}
          height={height}
          draw={draw}
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
      <div class="readout" style={{ width: `${Math.max(180, width)}px` }}>
        <span class="hint">
          {vector ? `unit ${maps.units?.[pixel] ?? pixel}` : `row ${row}  column ${column}`}
          {pooled && `, ${pooled}`}
        </span>
        <strong data-testid="pixel-value">{formatValue(valueAt(maps, map, pixel))}</strong>
      </div>
    </div>
  );
}
