// The maps of A and of B, and their difference, on one grid: side by side, or over each other.
import { useEffect, useState } from "preact/hooks";
import { css, lut, type ScaleName } from "../../colour";
import { Canvas } from "../../components/canvas";
import { Swatch } from "../../components/frame";
import { drawTiles, type TileSource, wipeClip } from "../../draw/tiles";
import { formatCount, formatNumber, formatValue, MINUS, shorten } from "../../format";
import type { ScaleLimits } from "../../maps";
import { FONT, palette } from "../../palette";
import { clearStepB, moveStepB } from "../../sides";
import { channel, colormap, compareMode, dark, type RunLetter, shownChannels, stepB } from "../../state";
import type { Pair, ShownSide } from "./data";
import { blink, blinking, blinkShown, wipeEdge } from "./keys";
import {
  differenceLimits,
  type Geometry,
  geometry,
  mismatch,
  pairTiles,
  sharedLimits,
  type TilePair,
  type Tiles,
  tileAt,
  tileIsZero,
  tilesOf,
  tileValue,
} from "./tiles";

const ROOM_FOR_R = 84;
const BLINK_MS = 700;
const GAP = 16;

/** What is drawn: both sides cut into tiles, and how they lie beside each other. */
export interface Scene {
  pair: Pair;
  a: Tiles;
  b: Tiles;
  pairs: readonly TilePair[];
  limits: ScaleLimits;
  difference: ScaleLimits;
  /** Why there is no difference; null where there is one. */
  words: string | null;
  vector: boolean;
  /** Whether no value of the layer is below zero in either run, so that the lower half of the scale is never seen. */
  half: boolean;
}

export function sceneOf(
  pair: Pair,
  statistics: Parameters<typeof sharedLimits>[2],
  sample: number,
  locked: boolean,
): Scene {
  const at = Math.min(sample, pair.a.maps.samples.length - 1);
  const inB = pair.b.maps.samples.indexOf(pair.a.maps.samples[at] as number);
  const [a, b] = [tilesOf(pair.a.maps, at), tilesOf(pair.b.maps, Math.max(0, inB))];
  const apart = mismatch(pair.a.maps, pair.b.maps, pair.matching !== null);
  const words =
    apart ??
    (inB < 0
      ? `B did not keep sample ${pair.a.maps.samples[at]}.`
      : pair.same === "different"
        ? otherInputs(pair)
        : null);
  const pairs = pairTiles(a, b, pair.matching);
  const limits = sharedLimits(pair.a.maps, pair.b.maps, statistics, locked);
  const difference = words === null ? differenceLimits(a, b, pairs, limits, locked) : limits;
  const half = colormap.value === "activations" && statistics.every((each) => (each?.low_limit ?? -1) >= 0);
  return { pair, a, b, pairs, limits, difference, words, vector: pair.a.maps.layout === "vector", half };
}

function otherInputs({ a, b }: Pair): string {
  const batch = a.maps.source === "train" || b.maps.source === "train";
  const what = batch
    ? `training batches of step ${formatCount(a.side.step)} and of step ${formatCount(b.side.step)}`
    : "the runs have other probes";
  return `A and B show different inputs (${what}): a difference pixel by pixel would mean nothing. watch(model, ..., probe=batch) shows the same inputs at every step.`;
}

function sourceOf(scene: Scene, which: "A" | "B" | "difference"): TileSource {
  const { a, b, pairs, words } = scene;
  const alone = which === "B" && words !== null && scene.pair.matching === null;
  const places = alone ? b.names.map((_, b) => ({ a: b, b })) : pairs;
  const own = which === "B" ? b : a;
  const position = (tile: number) => (places[tile] as { a: number; b: number })[which === "B" ? "b" : "a"];
  const base = { count: places.length, rows: own.rows, columns: own.columns };
  if (which !== "difference")
    return {
      ...base,
      value: (tile, pixel) => tileValue(own, position(tile), pixel),
      zero: (tile) => tileIsZero(own, position(tile)),
      missing: (tile) => position(tile) < 0,
    };
  return {
    ...base,
    value: (tile, pixel) => {
      const { a: one, b: other } = pairs[tile] as TilePair;
      return tileValue(b, other, pixel) - tileValue(a, one, pixel);
    },
    zero: (tile) => {
      const { a: one, b: other } = pairs[tile] as TilePair;
      return tileIsZero(a, one) && tileIsZero(b, other);
    },
    missing: (tile) => (pairs[tile] as TilePair).b < 0,
  };
}

/** `half`: only from zero on, where no value is below. */
function Scale({ name, limits, half }: { name: ScaleName; limits: ScaleLimits; half: boolean }) {
  const table = lut(name, dark.value);
  const stops = Array.from({ length: 17 }, (_, index) => css(table, half ? 0.5 + index / 32 : index / 16)).join(", ");
  const end = limits.clips ? [half ? "" : "≤ ", "≥ "] : ["", ""];
  const low = half ? 0 : limits.low;
  return (
    <span class="legend" role="img" aria-label={`Scale from ${formatNumber(low)} to ${formatNumber(limits.high)}`}>
      {end[0]}
      {formatNumber(low)}
      <span class="ramp" style={{ background: `linear-gradient(to right, ${stops})` }} />
      {end[1]}
      {formatNumber(limits.high)}
    </span>
  );
}

function SideHead({ shown }: { shown: ShownSide }) {
  const { letter, run, step } = shown.side;
  return (
    <div class="side-head" data-testid={`side-${letter.toLowerCase()}`} data-run={run} data-step={step}>
      <Swatch letter={letter} run={run} />
      <strong title={run}>{shorten(run, 22)}</strong>
      <span class="side-step">step {formatCount(step)}</span>
      {letter === "B" && (
        <span class="steppers">
          <button
            type="button"
            aria-label="B: former logged step"
            title="B: former logged step (,)"
            onClick={() => moveStepB(-1)}
          >
            ◀
          </button>
          <button
            type="button"
            aria-label="B: next logged step"
            title="B: next logged step (.)"
            onClick={() => moveStepB(1)}
          >
            ▶
          </button>
          {stepB.value !== null && (
            <button
              type="button"
              data-testid="clear-step-b"
              title="B's step as if none were set (c)"
              onClick={clearStepB}
            >
              clear
            </button>
          )}
        </span>
      )}
    </div>
  );
}

export interface Pointed {
  tile: number;
  pixel: number;
}

interface PanelProps {
  scene: Scene;
  which: "A" | "B" | "difference" | "wipe";
  places: Geometry;
  pointed: Pointed | null;
  point: (pointed: Pointed | null) => void;
}

const NAMES = {
  A: "Maps of A",
  B: "Maps of B",
  difference: "Difference, B minus A",
  wipe: "A left, B right of the edge",
};

function Panel({ scene, which, places, pointed, point }: PanelProps) {
  const { a, pairs, pair, words } = scene;
  const source = sourceOf(scene, which === "wipe" ? "A" : which);
  const { across, cell, wide, tall, gutter, caption } = places;
  const own = which === "B" && words !== null && pair.matching === null ? scene.b.names : pairs.map(({ name }) => name);
  const chosen = channel.value === null ? -1 : own.indexOf(channel.value);
  const limits = which === "difference" ? scene.difference : scene.limits;
  const name: ScaleName = which === "difference" ? "differences" : colormap.value;
  const draw = (context: CanvasRenderingContext2D, canvas: HTMLCanvasElement) => {
    const table = lut(name, dark.value);
    if (which === "wipe")
      for (const letter of ["A", "B"] as const) {
        context.save();
        context.clip(wipeClip(source, places, wipeEdge.value, letter === "A"));
        drawTiles(context, sourceOf(scene, letter), places, limits, table, palette.value);
        context.restore();
      }
    else drawTiles(context, source, places, limits, table, palette.value);
    drawNames(context, chosen);
    const shown = { a: pair.a.side, b: pair.b.side };
    Object.assign(canvas.dataset, {
      which,
      layer: pair.layer,
      runA: shown.a.run,
      stepA: String(shown.a.step),
      runB: shown.b.run,
      stepB: String(shown.b.step),
      sample: String(a.maps.samples[a.sample]),
      scaleLow: String(limits.low),
      scaleHigh: String(limits.high),
      places: JSON.stringify({ across, cell, wide, tall, gutter, rows: source.rows, columns: source.columns }),
      names: JSON.stringify(own),
      partners: JSON.stringify(pairs.map(({ partner }) => partner)),
    });
  };
  const drawNames = (context: CanvasRenderingContext2D, marked: number) => {
    context.font = FONT;
    context.textBaseline = "middle";
    for (let tile = 0; tile < source.count; tile++) {
      const [x, y] = [gutter + (tile % across) * wide, Math.floor(tile / across) * tall];
      context.fillStyle = tile === marked ? palette.value.ink : palette.value.ink2;
      if (caption) {
        const { name: of, partner, correlation } = pairs[tile] as TilePair;
        const known = correlation !== null && !Number.isNaN(correlation) && wide >= ROOM_FOR_R;
        const r = known ? ` r ${correlation < 0 ? MINUS : ""}${Math.abs(correlation).toFixed(2)}` : "";
        context.textAlign = "left";
        context.fillText(
          which === "A" ? String(of) : partner === null ? "none" : `${partner}${r}`,
          x,
          y + source.rows * cell + 8,
        );
      } else if (gutter > 0 && tile % across === 0) {
        context.textAlign = "right";
        context.fillText(String(own[tile]), gutter - 6, y + (source.rows * cell) / 2);
      }
    }
  };
  const find = (event: PointerEvent) => {
    const bounds = (event.currentTarget as HTMLElement).getBoundingClientRect();
    return tileAt(places, source, event.clientX - bounds.left, event.clientY - bounds.top);
  };
  const edgeAt = (event: PointerEvent) => {
    const bounds = (event.currentTarget as HTMLElement).getBoundingClientRect();
    const x = event.clientX - bounds.left - gutter;
    wipeEdge.value = scene.vector
      ? Math.max(0, Math.min(1, x / (across * wide)))
      : Math.max(0, Math.min(1, (x % wide) / (source.columns * cell)));
  };
  const outline = (tile: number, kind: string) => (
    <div
      class={kind}
      style={{
        left: `${gutter + (tile % across) * wide - 2}px`,
        top: `${Math.floor(tile / across) * tall - 2}px`,
        width: `${source.columns * cell + 4}px`,
        height: `${source.rows * cell + 4}px`,
      }}
    />
  );
  const [width, height] = [gutter + across * wide, Math.ceil(source.count / across) * tall];
  return (
    <div
      class="tiles"
      style={{ width: `${width}px`, height: `${height}px` }}
      onPointerMove={(event) => {
        point(find(event));
        if (which === "wipe" && event.buttons === 1) edgeAt(event);
      }}
      onPointerLeave={() => point(null)}
      onPointerDown={(event) => {
        const found = find(event);
        if (found !== null) channel.value = own[found.tile] as number;
        if (which === "wipe") edgeAt(event);
      }}
    >
      <Canvas
        width={width}
        height={height}
        deps={[scene, which, chosen, cell, across, caption]}
        draw={draw}
        data-testid={`compare-${which.toLowerCase()}`}
        role="img"
        aria-label={`${NAMES[which]}; ${source.count} of them, the keys [ and ] choose one`}
      />
      {which === "wipe" && <WipeEdges source={source} places={places} vector={scene.vector} />}
      {chosen >= 0 && outline(chosen, "chosen")}
      {pointed !== null &&
        pointed.tile < source.count &&
        pointed.tile !== chosen &&
        outline(pointed.tile, "chosen pointed")}
    </div>
  );
}

function WipeEdges({ source, places, vector }: { source: TileSource; places: Geometry; vector: boolean }) {
  const { across, cell, wide, tall, gutter } = places;
  const edge = wipeEdge.value;
  const lines = vector
    ? [{ x: gutter + Math.round(across * wide * edge), y: 0, height: Math.ceil(source.count / across) * tall }]
    : Array.from({ length: source.count }, (_, tile) => ({
        x: gutter + (tile % across) * wide + Math.round(source.columns * cell * edge),
        y: Math.floor(tile / across) * tall,
        height: source.rows * cell,
      }));
  return (
    <>
      {lines.map(({ x, y, height }) => (
        <div key={`${x} ${y}`} class="wipe-edge" style={{ left: `${x}px`, top: `${y}px`, height: `${height}px` }} />
      ))}
    </>
  );
}

function Readout({ scene, pointed }: { scene: Scene; pointed: Pointed | null }) {
  const { a, b, pairs, vector, words } = scene;
  const chosen = pairs.findIndex(({ name }) => name === channel.value);
  const tile = pointed?.tile ?? (vector ? chosen : -1);
  const pair = pairs[tile];
  if (pair === undefined || words !== null)
    return <p class="hint readout-line">{words === null ? "point at a map for its values" : ""}</p>;
  const pixel = pointed?.pixel ?? 0;
  const [one, other] = [tileValue(a, pair.a, pixel), pair.b < 0 ? Number.NaN : tileValue(b, pair.b, pixel)];
  const where = vector ? "" : `, row ${Math.floor(pixel / a.columns)}, column ${pixel % a.columns}`;
  return (
    <p class="readout-line" data-testid="pair-value">
      <span class="hint">
        {vector ? "unit" : "channel"} {pair.name}
        {pair.partner !== null && pair.partner !== pair.name ? ` and ${pair.partner}` : ""}
        {where}
      </span>{" "}
      A {formatValue(one)} · B {formatValue(other)} · B − A <strong>{formatValue(other - one)}</strong>
    </p>
  );
}

/** The maps in the chosen mode, within width x height. */
export function Panels({ scene, width, height }: { scene: Scene; width: number; height: number }) {
  const [pointed, setPointed] = useState<Pointed | null>(null);
  const { pair, pairs, a, b, words } = scene;
  const mode = compareMode.value;
  const names = pairs.map(({ name }) => name);
  useEffect(() => {
    shownChannels.value = names;
  }, [names.join()]);
  useEffect(() => {
    if (mode !== "blink" || !blinking.value) return undefined;
    const timer = setInterval(blink, BLINK_MS);
    return () => clearInterval(timer);
  }, [mode, blinking.value]);
  const side = mode === "side";
  const each = side ? Math.floor((width - 2 * GAP) / 3) : width;
  const room = height - 80;
  const captions = pair.matching !== null;
  const shared = geometry(pairs.length, a.rows, a.columns, each, room, captions);
  const apart = words !== null && !captions;
  const placesB = apart ? geometry(b.names.length, b.rows, b.columns, each, room, false) : shared;
  const panel = (which: PanelProps["which"], places: Geometry) => (
    <Panel scene={scene} which={which} places={places} pointed={pointed} point={setPointed} />
  );
  const scale = <Scale name={colormap.value} limits={scene.limits} half={scene.half} />;
  const differenceHead = (
    <>
      <div class="side-head">
        <strong>B − A</strong>
        <span class="hint">less in B, more in B</span>
      </div>
      <Scale name="differences" limits={scene.difference} half={false} />
    </>
  );
  if (side)
    return (
      <>
        <div class="compare-sides" data-testid="compare-sides">
          <section aria-label="A">
            <SideHead shown={pair.a} />
            {scale}
            {panel("A", shared)}
          </section>
          <section aria-label="B">
            <SideHead shown={pair.b} />
            {scale}
            {panel("B", placesB)}
          </section>
          <section aria-label="B minus A">
            {words === null ? (
              <>
                {differenceHead}
                {panel("difference", shared)}
              </>
            ) : (
              <Words text={words} />
            )}
          </section>
        </div>
        <Readout scene={scene} pointed={pointed} />
      </>
    );
  const letter: RunLetter = blinkShown.value;
  return (
    <>
      <div class="compare-one">
        <div class="compare-heads">
          <SideHead shown={pair.a} />
          <SideHead shown={pair.b} />
          {mode === "blink" && <BlinkHead shown={letter} />}
          {mode === "wipe" && <WipeHead />}
        </div>
        {words !== null ? (
          <Words text={words} />
        ) : mode === "difference" ? (
          <>
            {differenceHead}
            {panel("difference", shared)}
          </>
        ) : (
          <>
            {scale}
            {panel(mode === "wipe" ? "wipe" : letter, shared)}
          </>
        )}
      </div>
      <Readout scene={scene} pointed={pointed} />
    </>
  );
}

function Words({ text }: { text: string }) {
  return (
    <p class="compare-words" role="status" data-testid="compare-words">
      {text}
    </p>
  );
}

function BlinkHead({ shown }: { shown: RunLetter }) {
  return (
    <span class="steppers">
      <span class="blink-letter" data-testid="blink-shown">
        {shown}
      </span>
      <button
        type="button"
        aria-pressed={blinking.value}
        onClick={() => {
          blinking.value = !blinking.value;
        }}
      >
        {blinking.value ? "hold" : "blink"}
      </button>
      <button
        type="button"
        title="Show the other one (k)"
        onClick={() => {
          blinking.value = false;
          blink();
        }}
      >
        show the other one
      </button>
    </span>
  );
}

function WipeHead() {
  return (
    <label class="steppers">
      A
      <input
        type="range"
        min={0}
        max={100}
        value={Math.round(wipeEdge.value * 100)}
        aria-label="Edge between A and B in each map, per cent"
        title="Drag in a map, or the keys - and +"
        onInput={(event) => {
          wipeEdge.value = Number(event.currentTarget.value) / 100;
        }}
      />
      B
    </label>
  );
}
