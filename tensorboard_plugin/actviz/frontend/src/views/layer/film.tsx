// The chosen channel over the steps, as a strip of frames.
import { useEffect, useState } from "preact/hooks";
import { indexRange, nearestIndex } from "../../axis";
import { mapsCache } from "../../cache";
import { lut } from "../../colour";
import { Canvas } from "../../components/canvas";
import { StepPlot } from "../../components/frame";
import { drawMap } from "../../draw/maps";
import { cellPixels, foldShape, mapNumber, scaleLimits } from "../../maps";
import { palette } from "../../palette";
import { axis, channel, colormap, dark, mainWidth, sample, scaleMode, step, timelines } from "../../state";
import type { LayerStats, Maps } from "../../types";
import { keyOf, type ShownMaps } from "./data";

const FRAME = 40;
const FRAME_GAP = 3;

/** The chosen channel at as many steps as whole frames fit. */
export function FilmStrip({ shown, statistics }: { shown: ShownMaps; statistics: LayerStats | null }) {
  const { run, layer } = shown.key;
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
  const [arrived, setArrived] = useState(0);
  const name = JSON.stringify([run, layer, frames]);
  useEffect(() => {
    let current = true;
    void (async () => {
      for (const frame of frames) {
        const key = keyOf(run, layer, frame);
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
  const nearest = frames.length > 0 && step.value !== null ? frames[nearestIndex(frames, step.value)] : null;
  const draw = (context: CanvasRenderingContext2D, canvas: HTMLCanvasElement) => {
    const table = lut(colormap.value, dark.value);
    let drawn = 0;
    for (const [index, frame] of frames.entries()) {
      const key = keyOf(run, layer, frame);
      const found: Maps | undefined = key === null ? undefined : mapsCache.peek(key);
      const x = Math.round(left + index * pitch + (pitch - wide) / 2);
      if (found === undefined) {
        context.fillStyle = palette.value.panel;
        context.fillRect(x, 2, wide, tall);
        continue;
      }
      const at = Math.min(sample.value, found.samples.length - 1);
      const map = mapNumber(found, at, Math.max(0, channel.value === null ? 0 : found.channels.indexOf(channel.value)));
      drawMap(
        context,
        found,
        map,
        scaleLimits(scaleMode.value, colormap.value, found, map, statistics),
        table,
        palette.value,
        { x, y: 2, width: wide, height: tall },
        [rows, columns],
      );
      drawn++;
      if (frame === nearest) {
        context.strokeStyle = palette.value.accent;
        context.lineWidth = 2;
        context.strokeRect(x - 1, 1, wide + 2, tall + 2);
      }
    }
    canvas.dataset.frames = String(drawn);
  };
  const every = Math.max(1, Math.round(steps.length / count));
  return (
    <section>
      <div class="panel-head">
        <h2>{maps.layout === "channels" ? `Channel ${channel.value ?? maps.channels[0]}` : "Maps"} over steps</h2>
        <span class="hint">{every === 1 ? "every logged step" : `about every ${ordinal(every)} logged step`}</span>
      </div>
      <StepPlot label="Film strip over steps">
        <Canvas
          width={mainWidth.value}
          height={tall + 4}
          draw={draw}
          deps={[name, nearest, arrived, statistics]}
          data-testid="film-strip"
          role="img"
          aria-label="The chosen channel over steps"
        />
      </StepPlot>
    </section>
  );
}

function ordinal(n: number): string {
  const words = ["", "", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"];
  return words[n] ?? `${n}th`;
}
