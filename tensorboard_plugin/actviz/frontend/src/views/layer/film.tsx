// The chosen channel over the steps, as a strip of frames.
import { useEffect, useState } from "preact/hooks";
import { indexRange, nearestIndex } from "../../axis";
import { mapsCache } from "../../cache";
import { lut } from "../../colour";
import { Canvas } from "../../components/canvas";
import { StepPlot } from "../../components/frame";
import { drawMap, drawOutline } from "../../draw/maps";
import { formatCount, shorten } from "../../format";
import { cellPixels, foldShape, mapNumber } from "../../maps";
import { FONT, palette } from "../../palette";
import { topSample } from "../../pixels";
import { axis, channel, colormap, dark, mainWidth, sample, step, timelines } from "../../state";
import type { Inputs, LayerStats, Maps } from "../../types";
import { keyOf, type ShownMaps } from "./data";
import { limitsOf } from "./limits";
import { PointedValue, point, pointNowhere } from "./pointed";

const FRAME = 40;
const FRAME_GAP = 3;
/** Height of the line with the top samples. */
const TOP = 16;

/** The chosen channel at as many steps as whole frames fit. */
export function FilmStrip({
  shown,
  statistics,
  inputs,
}: {
  shown: ShownMaps;
  statistics: LayerStats | null;
  inputs: Inputs | null;
}) {
  const { run, layer, part } = shown.key;
  const { maps } = shown;
  const logged = timelines.value[run]?.steps ?? [];
  const steps = logged.slice(...indexRange(logged, axis.value.first, axis.value.last));
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
  const place = step.value === null ? -1 : nearestIndex(frames, step.value);
  if (place >= 0) frames[place] = steps[nearestIndex(steps, step.value as number)] as number;
  const [arrived, setArrived] = useState(0);
  const name = JSON.stringify([run, layer, part, frames]);
  useEffect(() => {
    let current = true;
    void (async () => {
      for (const frame of frames) {
        const key = keyOf(run, layer, frame, part);
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
  const sameInputs = maps.source === "probe";
  // Of other inputs at each step, which of them has the largest mean says nothing.
  const withTops = maps.layout === "channels" && sameInputs;
  const labelOf = (of: Maps, at: number) => {
    const number = of.samples[at] as number;
    return shorten(inputs?.labels?.[number] ?? String(number), Math.max(2, Math.floor(pitch / 7)));
  };
  const draw = (context: CanvasRenderingContext2D, canvas: HTMLCanvasElement) => {
    const table = lut(colormap.value, dark.value);
    let drawn = 0;
    const tops: string[] = [];
    context.font = FONT;
    context.textAlign = "center";
    context.textBaseline = "top";
    for (const [index, frame] of frames.entries()) {
      const key = keyOf(run, layer, frame, part);
      const found: Maps | undefined = key === null ? undefined : mapsCache.peek(key);
      const x = Math.round(left + index * pitch + (pitch - wide) / 2);
      if (found === undefined) {
        context.fillStyle = palette.value.panel;
        context.fillRect(x, 2, wide, tall);
        continue;
      }
      const map = mapIn(found);
      const box = { x, y: 2, width: wide, height: tall };
      drawMap(context, found, map, limitsOf(found, map, statistics), table, palette.value, box, [rows, columns]);
      drawOutline(context, box, palette.value);
      drawn++;
      const best = withTops ? topSample(found, channelIn(found)) : null;
      tops.push(best === null ? "" : String(found.samples[best]));
      if (withTops) {
        context.fillStyle = palette.value.ink2;
        context.fillText(best === null ? "–" : labelOf(found, best), x + wide / 2, tall + 5);
      }
      if (index === place) {
        context.strokeStyle = palette.value.accent;
        context.lineWidth = 2;
        context.strokeRect(x - 1, 1, wide + 2, tall + 2);
      }
    }
    if (withTops) {
      context.textAlign = "right";
      context.fillStyle = palette.value.ink3;
      context.fillText("top", left - 8, tall + 5);
    }
    canvas.dataset.frames = String(drawn);
    canvas.dataset.tops = tops.join();
  };
  /** The frame under the pointer, and the pixel of its map. */
  const hover = (event: PointerEvent) => {
    const bounds = (event.currentTarget as HTMLElement).getBoundingClientRect();
    const frame = Math.floor((event.clientX - bounds.left - left) / pitch);
    const x = event.clientX - bounds.left - Math.round(left + frame * pitch + (pitch - wide) / 2);
    const [row, column] = [
      Math.floor(((event.clientY - bounds.top - 2) * rows) / tall),
      Math.floor((x * columns) / wide),
    ];
    if (frame < 0 || frame >= count || row < 0 || row >= rows || column < 0 || column >= columns) pointNowhere();
    else point("film", frame, row * columns + column);
  };
  const mapOf = (frame: number) => {
    const key = keyOf(run, layer, frames[frame] ?? null, part);
    const found = key === null ? undefined : mapsCache.peek(key);
    return found ? { maps: found, map: mapIn(found), name: `step ${formatCount(frames[frame] as number)}` } : null;
  };
  const every = Math.max(1, Math.round(steps.length / count));
  return (
    <section>
      <div class="panel-head">
        <h2>{maps.layout === "channels" ? `Channel ${channel.value ?? maps.channels[0]}` : "Maps"} over steps</h2>
        <span class="hint">
          {every === 1 ? "every logged step" : `about every ${ordinal(every)} logged step`}
          {withTops && `; below: which of the ${maps.samples.length} shown samples has the largest mean`}
        </span>
        {!sameInputs && (
          <span class="hint caution" data-testid="inputs-differ">
            the inputs are those of each step’s own batch: watch(…, probe=batch) shows the same ones at every step
          </span>
        )}
        <span class="spacer" />
        <PointedValue place="film" mapOf={mapOf} />
      </div>
      <StepPlot label="Film strip over steps">
        <Canvas
          width={mainWidth.value}
          height={tall + 4 + (withTops ? TOP : 0)}
          draw={draw}
          deps={[name, arrived, statistics, inputs]}
          data-testid="film-strip"
          role="img"
          aria-label={`${maps.layout === "channels" ? `Channel ${channel.value ?? maps.channels[0]}` : "Maps"} over steps`}
          onPointerMove={hover}
          onPointerLeave={pointNowhere}
        />
      </StepPlot>
    </section>
  );
}

/** Number of the map of the chosen sample and channel. */
function mapIn(maps: Maps): number {
  const at = Math.min(sample.value, maps.samples.length - 1);
  return mapNumber(maps, at, channelIn(maps));
}

/** Position of the chosen channel. */
function channelIn(maps: Maps): number {
  return Math.max(0, channel.value === null ? 0 : maps.channels.indexOf(channel.value));
}

function ordinal(n: number): string {
  const words = ["", "", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"];
  return words[n] ?? `${n}th`;
}
