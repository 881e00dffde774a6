// Attention heads of one place at one step: a map a head, one of them enlarged over its tokens, and their numbers.
import { useEffect, useMemo } from "preact/hooks";
import { maxPooled, type Reduced, tokenOf, weightsOf } from "../../attention";
import { lut } from "../../colour";
import { Canvas } from "../../components/canvas";
import { drawWeights } from "../../draw/weights";
import { formatShort, formatValue, shorten } from "../../format";
import { type ScaleLimits, windowed } from "../../maps";
import { FONT, palette } from "../../palette";
import { colormap, contrast, dark, head, sample, scaleMode, shownHeads, shownLimits } from "../../state";
import type { Attention, Heads } from "../../types";
import type { ShownAttention } from "./data";
import { tiling } from "./grid";
import { Legend } from "./legend";
import { point, pointed, pointNowhere } from "./pointed";

const LEGEND = 68;
/** The smallest cell that has a token beside it; characters of a token; CSS pixels of a character. */
const TOKEN_CELL = 9;
const TOKEN_LENGTH = 8;
const CHARACTER = 6.5;

export interface HeadsProps {
  shown: ShownAttention;
  heads: Heads | null;
  /** The tokens of the shown sample, where they were logged. */
  tokens: readonly string[] | null;
  label: string | null;
  width: number;
  height: number;
}

/** Scale of the weights: from zero to the largest of a head, of this step, or of all steps. */
function limitsOf(attention: Attention, ofHead: number, heads: Heads | null): ScaleLimits {
  let high = ofHead;
  if (scaleMode.value !== "map")
    high = largest(scaleMode.value === "layer" || heads === null ? attention.high : heads.largest_weight);
  if (!(high > 0)) high = 1;
  const diverging = colormap.value === "activations";
  const limits = { low: diverging ? -high : 0, high, clips: false };
  return scaleMode.value === "map" ? limits : windowed(limits, contrast.value, diverging, attention);
}

function largest(values: Float32Array): number {
  let most = 0;
  for (const value of values) if (value > most) most = value; // NaN is not
  return most;
}

/** Space for labels of so many characters. */
function gutterFor(characters: number): number {
  return Math.round(characters * CHARACTER) + 12;
}

/** What a head's map is called. */
function nameOf(each: number | null): string {
  return each === null ? "mean" : String(each);
}

export function HeadsTop(props: HeadsProps) {
  const { shown, width, height } = props;
  const { attention } = shown;
  const at = Math.min(sample.value, attention.samples.length - 1);
  const names: (number | null)[] = [null, ...attention.channels];
  useEffect(() => {
    shownHeads.value = names;
    return () => {
      shownHeads.value = [];
    };
  }, [names.join()]);
  const maps = useMemo(
    () =>
      [null, ...attention.channels.keys()].map((position) =>
        maxPooled(weightsOf(attention, at, position), attention.height, attention.width),
      ),
    [attention, at],
  );
  const chosen = Math.max(0, names.indexOf(head.value));
  const shared = limitsOf(attention, 0, props.heads);
  const limits = (index: number) =>
    scaleMode.value === "map" ? limitsOf(attention, largest((maps[index] as Reduced).values), null) : shared;
  const own = scaleMode.value === "map";
  useEffect(() => {
    shownLimits.value = own ? null : [shared.low, shared.high];
    return () => {
      shownLimits.value = null;
    };
  }, [shared.low, shared.high, own]);
  const numbers = 190;
  const lengths = props.tokens?.map((token) => Math.min(TOKEN_LENGTH, token.length)) ?? [3];
  const gutter = gutterFor(Math.max(1, ...lengths));
  const room = height - gutter - 70;
  const large = room + gutter + 48;
  const parts = { ...props, names, maps, limits, chosen, at, shared, gutter };
  return (
    <>
      <HeadTiles {...parts} width={Math.max(200, width - large - numbers)} />
      <LargeHead {...parts} room={room} />
      <HeadNumbers {...parts} />
    </>
  );
}

interface Parts extends HeadsProps {
  names: readonly (number | null)[];
  maps: readonly Reduced[];
  limits: (index: number) => ScaleLimits;
  /** Of `names`. */
  chosen: number;
  at: number;
  shared: ScaleLimits;
  /** Space for tokens beside the enlarged map, in CSS pixels. */
  gutter: number;
}

/** Writes into a canvas's data attributes what it truly shows. */
function stampHead(canvas: HTMLCanvasElement, { shown, at }: Parts, limits: ScaleLimits): void {
  canvas.dataset.run = shown.run;
  canvas.dataset.layer = shown.layer;
  canvas.dataset.step = String(shown.step);
  canvas.dataset.sample = String(shown.attention.samples[at] ?? at);
  canvas.dataset.scaleHigh = String(limits.high);
  canvas.dataset.colormap = colormap.value;
}

function HeadTiles(props: Parts) {
  const { shown, names, maps, limits, chosen, at, shared, width, height } = props;
  const { attention } = shown;
  const first = maps[0] as Reduced;
  const { columns, cell, wide, tall } = tiling(
    maps.length,
    first.columns,
    first.rows,
    width - LEGEND - 32,
    height - 26,
  );
  const rows = Math.ceil(maps.length / columns);
  const under = (event: MouseEvent): [tile: number, pixel: number] | null => {
    const bounds = (event.currentTarget as HTMLElement).getBoundingClientRect();
    const [x, y] = [event.clientX - bounds.left, event.clientY - bounds.top];
    const tile = Math.floor(y / tall) * columns + Math.floor(x / wide);
    const [row, column] = [Math.floor((y % tall) / cell), Math.floor((x % wide) / cell)];
    return tile >= 0 && tile < maps.length && row < first.rows && column < first.columns
      ? [tile, row * first.columns + column]
      : null;
  };
  return (
    <div class="grid-panel">
      <div>
        <div class="tiles" style={{ width: `${columns * wide}px` }}>
          <Canvas
            width={columns * wide}
            height={rows * tall}
            deps={[shown, maps, shared.low, shared.high, chosen, cell]}
            data-testid="heads-grid"
            role="img"
            aria-label={`Attention of ${names.length - 1} heads and their mean; the keys [ and ] choose one`}
            onClick={(event) => {
              const found = under(event);
              if (found) head.value = names[found[0]] ?? null;
            }}
            onPointerMove={(event) => {
              const found = under(event);
              if (found) point("grid", ...found);
              else pointNowhere();
            }}
            onPointerLeave={pointNowhere}
            draw={(context, canvas) => {
              const table = lut(colormap.value, dark.value);
              for (const [index, map] of maps.entries()) {
                const [x, y] = [(index % columns) * wide, Math.floor(index / columns) * tall];
                const box = { x, y, width: map.columns * cell, height: map.rows * cell };
                drawWeights(context, map.values, [map.rows, map.columns], limits(index), table, palette.value, box);
                context.strokeStyle = palette.value.line;
                context.strokeRect(x + 0.5, y + 0.5, box.width - 1, box.height - 1);
                context.font = FONT;
                context.textBaseline = "top";
                context.textAlign = "left";
                context.fillStyle = index === chosen ? palette.value.ink : palette.value.ink2;
                context.fillText(nameOf(names[index] ?? null), x, y + box.height + 3);
                if (index === 0 || wide < 72) continue;
                context.textAlign = "right";
                const entropy = attention.entropy[at * attention.channels.length + index - 1] as number;
                context.fillText(`H ${formatShort(entropy)}`, x + box.width, y + box.height + 3);
              }
              stampHead(canvas, props, shared);
              canvas.dataset.cell = String(cell);
              canvas.dataset.columns = String(columns);
            }}
          />
          <div
            class="chosen"
            style={{
              left: `${(chosen % columns) * wide - 2}px`,
              top: `${Math.floor(chosen / columns) * tall - 2}px`,
              width: `${first.columns * cell + 4}px`,
              height: `${first.rows * cell + 4}px`,
            }}
          />
        </div>
        <HeadValue {...props} place="grid" />
      </div>
      {scaleMode.value === "map" ? (
        <p class="hint own-scale">each on its own scale</p>
      ) : (
        <Legend
          limits={shared}
          half={colormap.value === "activations"}
          height={Math.min(height - 36, Math.max(120, rows * tall - 16))}
          of={scaleMode.value === "layer" ? "this step" : "all steps"}
        />
      )}
    </div>
  );
}

/** A query or key in words: its number, its token, and to which it reaches where a cell holds several. */
function axisWord(props: Parts, axis: "query" | "key", cell: number): string {
  const { attention } = props.shown;
  const map = props.maps[0] as Reduced;
  const several = (attention.pool[axis === "query" ? 0 : 1] as number) * map.factors[axis === "query" ? 0 : 1];
  const length = attention.shape[axis === "query" ? 2 : 3] as number;
  const kept = axis === "query" ? attention.queries : null;
  const all = kept?.length ?? length;
  const [from, to] = [cell * several, Math.min(all, (cell + 1) * several) - 1];
  const number = (index: number) => kept?.[index] ?? index;
  const token =
    kept === null ? tokenOf(props.tokens, length, cell, several) : tokenOf(props.tokens, length, number(from), 1);
  return `${axis} ${number(from)}${to > from ? `–${number(to)}` : ""}${token === null ? "" : ` “${token}”`}`;
}

/** The weight under the pointer. */
function HeadValue(props: Parts & { place: "grid" | "large" }) {
  const { names, maps, chosen, place } = props;
  const now = pointed.value?.place === place ? pointed.value : null;
  const index = now === null ? 0 : place === "grid" ? now.tile : chosen;
  const map = maps[index];
  if (now === null || map === undefined || now.pixel >= map.values.length)
    return (
      <p class="pointed-value">
        <span class="hint">{place === "large" ? "queries down, keys across" : ""}</span>
      </p>
    );
  const [row, column] = [Math.floor(now.pixel / map.columns), now.pixel % map.columns];
  return (
    <p class="pointed-value" data-testid={`value-${place}`}>
      <span class="hint">
        {place === "grid" ? `${index === 0 ? "" : "head "}${nameOf(names[index] ?? null)}, ` : ""}
        {axisWord(props, "query", row)} → {axisWord(props, "key", column)}
      </span>
      <strong>{formatValue(map.values[now.pixel] as number)}</strong>
    </p>
  );
}

function LargeHead(props: Parts & { room: number }) {
  const { shown, names, maps, limits, chosen, at, tokens, label, room, gutter } = props;
  const { attention } = shown;
  const map = maps[chosen] as Reduced;
  /** Tokens of one character stand upright also above the map. */
  const upright = gutterFor(1);
  const cell = Math.max(1, Math.floor(room / Math.max(map.rows, map.columns)));
  const [width, height] = [map.columns * cell, map.rows * cell];
  const queries = attention.shape[2] as number;
  const keys = attention.shape[3] as number;
  const several = [attention.pool[0] * map.factors[0], attention.pool[1] * map.factors[1]] as const;
  const every = Math.max(1, Math.ceil(TOKEN_CELL / cell));
  const text = (length: number, index: number, share: number, kept: readonly number[] | null) =>
    (kept === null ? tokenOf(tokens, length, index, share) : tokenOf(tokens, length, kept[index * share] ?? 0, 1)) ??
    (index % every === 0 ? String(kept?.[index * share] ?? index * share) : null);
  const pixel = pointed.value?.pixel ?? null;
  const box = { x: gutter, y: gutter, width, height };
  return (
    <div class="large-panel" style={{ flexBasis: `${room + gutter + 32}px` }}>
      <div class="panel-head flush">
        <h2>{names[chosen] === null ? "Mean over heads" : `Head ${names[chosen]}`}</h2>
        <span class="hint">
          sample {label === null ? attention.samples[at] : `“${shorten(label, 14)}”`}, step {shown.step}
        </span>
      </div>
      <div class="tiles" style={{ width: `${gutter + width}px`, height: `${gutter + height}px` }}>
        <Canvas
          width={gutter + width}
          height={gutter + height}
          deps={[shown, map, chosen, limits(chosen).low, limits(chosen).high, tokens]}
          data-testid="head-large"
          role="img"
          aria-label={`Attention weights of ${names[chosen] === null ? "the mean over heads" : `head ${names[chosen]}`}, queries down, keys across`}
          onPointerMove={(event) => {
            const bounds = (event.currentTarget as HTMLElement).getBoundingClientRect();
            const row = Math.floor((event.clientY - bounds.top - gutter) / cell);
            const column = Math.floor((event.clientX - bounds.left - gutter) / cell);
            if (row >= 0 && column >= 0 && row < map.rows && column < map.columns)
              point("large", 0, row * map.columns + column);
            else pointNowhere();
          }}
          onPointerLeave={pointNowhere}
          draw={(context, canvas) => {
            drawWeights(
              context,
              map.values,
              [map.rows, map.columns],
              limits(chosen),
              lut(colormap.value, dark.value),
              palette.value,
              box,
            );
            context.strokeStyle = palette.value.line2;
            context.strokeRect(gutter - 0.5, gutter - 0.5, width + 1, height + 1);
            context.font = FONT;
            context.fillStyle = palette.value.ink2;
            context.textBaseline = "middle";
            context.textAlign = "right";
            const labelled = cell >= TOKEN_CELL || tokens === null || tokens.length !== keys;
            for (let row = 0; row < map.rows; row++) {
              const word = labelled || row % every === 0 ? text(queries, row, several[0], attention.queries) : null;
              if (word !== null) context.fillText(shorten(word, TOKEN_LENGTH), gutter - 5, gutter + (row + 0.5) * cell);
            }
            context.textAlign = "left";
            for (let column = 0; column < map.columns; column++) {
              const word = labelled || column % every === 0 ? text(keys, column, several[1], null) : null;
              if (word === null) continue;
              context.save();
              context.translate(gutter + (column + 0.5) * cell, gutter - 5);
              if (gutter > upright) context.rotate(-Math.PI / 2);
              else context.textAlign = "center";
              context.fillText(shorten(word, TOKEN_LENGTH), 0, 0);
              context.restore();
            }
            stampHead(canvas, props, limits(chosen));
            canvas.dataset.head = nameOf(names[chosen] ?? null);
            canvas.dataset.cell = String(cell);
            canvas.dataset.left = String(gutter);
          }}
        />
        {pixel !== null && pixel < map.values.length && (
          <div
            class="chosen"
            style={{
              left: `${gutter + (pixel % map.columns) * cell - 1}px`,
              top: `${gutter + Math.floor(pixel / map.columns) * cell - 1}px`,
              width: `${cell + 2}px`,
              height: `${cell + 2}px`,
            }}
          />
        )}
      </div>
      <HeadValue {...props} place="large" />
    </div>
  );
}

/** Entropy and largest logit of each head at this step, and what the maps leave out. */
function HeadNumbers({ shown, names, maps, at }: Parts) {
  const { attention } = shown;
  const count = attention.channels.length;
  const { factors } = maps[0] as Reduced;
  const keys = attention.shape[3] as number;
  const [ph, pw] = attention.pool;
  const notes = [
    attention.queries !== null &&
      `${attention.queries.length} of ${attention.shape[2]} queries are logged, evenly spaced`,
    ph * pw > 1 && `logged: means of ${ph} × ${pw} weights`,
    factors[0] * factors[1] > 1 && `drawn: the largest of ${factors[0]} × ${factors[1]} logged ones`,
    (attention.shape[1] as number) > count && `${count} of ${attention.shape[1]} heads are logged`,
  ].filter(Boolean);
  return (
    <div class="head-numbers">
      <table>
        <thead>
          <tr>
            <th scope="col">head</th>
            <th scope="col" title={`nats, mean over the queries; at most ln ${keys} = ${formatShort(Math.log(keys))}`}>
              entropy
            </th>
            <th scope="col" title="before the softmax">
              top logit
            </th>
          </tr>
        </thead>
        <tbody>
          {names.slice(1).map((name, index) => (
            <tr key={name} aria-selected={head.value === name}>
              <th scope="row">
                <button
                  type="button"
                  onClick={() => {
                    head.value = name;
                  }}
                >
                  {name}
                </button>
              </th>
              <td data-testid={`entropy-${name}`}>{formatShort(attention.entropy[at * count + index] as number)}</td>
              <td>{logit(attention.largest_logit[at * count + index] as number)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <p class="hint">
        entropy in nats, at most ln {keys} = {formatShort(Math.log(keys))}
      </p>
      {notes.map((note) => (
        <p class="hint" key={String(note)} data-testid="attention-note">
          {note}
        </p>
      ))}
    </div>
  );
}

function logit(value: number): string {
  return Number.isNaN(value) ? "–" : formatShort(value);
}
