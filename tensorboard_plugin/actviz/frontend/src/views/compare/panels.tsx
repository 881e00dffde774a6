// The maps of A and of B, and their difference, on one grid: side by side, or over each other.
import { useEffect, useLayoutEffect, useState } from "preact/hooks";
import { lut, type ScaleName } from "../../colour";
import { Canvas } from "../../components/canvas";
import { cornerOf, drawTiles, type TileSource, wipeClip } from "../../draw/tiles";
import { formatValue, MINUS } from "../../format";
import { FONT, palette } from "../../palette";
import { channel, colormap, compareMode, dark, type RunLetter, shownChannels } from "../../state";
import { type Geometry, geometry, tileAt } from "./geometry";
import { BlinkHead, ChangeWords, Scale, SideHead, WipeHead, Words } from "./heads";
import { blink, blinking, blinkShown, wipeEdge } from "./keys";
import { type Scene, sourceOf } from "./scene";
import { type TilePair, tileValue } from "./tiles";

const ROOM_FOR_R = 84;
const BLINK_MS = 700;
const GAP = 16;
/** Height of what stands above and below the maps. */
const HEADS = 70;

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
  const { across, cell, wide, tall, gutter, top, caption } = places;
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
      colormap: name,
      scaleLow: String(limits.low),
      scaleHigh: String(limits.high),
      places: JSON.stringify({ across, cell, wide, tall, gutter, top, rows: source.rows, columns: source.columns }),
      names: JSON.stringify(own),
      partners: JSON.stringify(pairs.map(({ partner }) => partner)),
    });
  };
  const drawNames = (context: CanvasRenderingContext2D, marked: number) => {
    context.font = FONT;
    context.textBaseline = "middle";
    for (let tile = 0; tile < source.count; tile++) {
      const [x, y] = cornerOf(places, tile);
      context.fillStyle = tile === marked ? palette.value.ink : palette.value.ink2;
      if (caption) {
        const matched = pair.matching !== null && which !== "A" ? pairs[tile] : undefined;
        context.textAlign = "left";
        context.fillText(matched ? partnerText(matched, wide) : String(own[tile]), x, y + source.rows * cell + 8);
      } else if (source.rows * source.columns > 1 && source.count > 1 && tile % across === 0) {
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
        left: `${cornerOf(places, tile)[0] - 2}px`,
        top: `${cornerOf(places, tile)[1] - 2}px`,
        width: `${source.columns * cell + 4}px`,
        height: `${source.rows * cell + 4}px`,
      }}
    />
  );
  const { width, height } = places;
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

/** B's channel beside one of A, and how they correlate where there is room. */
function partnerText({ partner, correlation }: TilePair, wide: number): string {
  if (partner === null) return "none";
  if (correlation === null || wide < ROOM_FOR_R) return String(partner);
  return `${partner} r ${correlation < 0 ? MINUS : ""}${Math.abs(correlation).toFixed(2)}`;
}

function WipeEdges({ source, places, vector }: { source: TileSource; places: Geometry; vector: boolean }) {
  const { across, cell, wide, tall, gutter, top } = places;
  const edge = wipeEdge.value;
  const lines = vector
    ? [{ x: gutter + Math.round(across * wide * edge), y: top, height: Math.ceil(source.count / across) * tall }]
    : Array.from({ length: source.count }, (_, tile) => {
        const [x, y] = cornerOf(places, tile);
        return { x: x + Math.round(source.columns * cell * edge), y, height: source.rows * cell };
      });
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

/** Where the maps stand: those of A, of the difference, and of B unless it has other ones. */
function placesOf({ pairs, a, b, pair, words }: Scene, width: number, height: number): [shared: Geometry, b: Geometry] {
  const each = compareMode.value === "side" ? Math.floor((width - 2 * GAP) / 3) : width;
  const captions = pair.matching !== null;
  const shared = geometry(pairs.length, a.rows, a.columns, each, height - HEADS, captions);
  const apart = words !== null && !captions;
  return [shared, apart ? geometry(b.names.length, b.rows, b.columns, each, height - HEADS, false) : shared];
}

/** What the maps leave of the height that they are given. */
export function spareHeight(scene: Scene, width: number, height: number): number {
  return Math.max(0, height - HEADS - Math.max(...placesOf(scene, width, height).map((places) => places.height)));
}

/** The maps in the chosen mode, within width x height. */
export function Panels({ scene, width, height }: { scene: Scene; width: number; height: number }) {
  const [pointed, setPointed] = useState<Pointed | null>(null);
  const { pair, pairs, words } = scene;
  const mode = compareMode.value;
  const names = pairs.map(({ name }) => name);
  useLayoutEffect(() => {
    shownChannels.value = names;
  }, [names.join()]);
  useEffect(() => {
    if (mode !== "blink" || !blinking.value) return undefined;
    const timer = setInterval(blink, BLINK_MS);
    return () => clearInterval(timer);
  }, [mode, blinking.value]);
  const side = mode === "side";
  const [shared, placesB] = placesOf(scene, width, height);
  const panel = (which: PanelProps["which"], places: Geometry) => (
    <Panel scene={scene} which={which} places={places} pointed={pointed} point={setPointed} />
  );
  const scale = <Scale name={colormap.value} limits={scene.limits} half={scene.half} />;
  const differenceHead = (
    <div class="difference-head">
      <div class="side-head">
        <strong>B − A</strong>
        <ChangeWords />
      </div>
      <Scale name="differences" limits={scene.difference} half={false} />
    </div>
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
