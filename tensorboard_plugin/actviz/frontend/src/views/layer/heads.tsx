// Attention heads of one place at one step: a map a head, one of them enlarged over its tokens, and their numbers.
import { useEffect, useLayoutEffect, useMemo } from "preact/hooks";
import { maxPooled, type Reduced, weightsOf } from "../../attention";
import { lut } from "../../colour";
import { Canvas } from "../../components/canvas";
import { drawWeights } from "../../draw/weights";
import { formatShort } from "../../format";
import { type ScaleLimits, windowed } from "../../maps";
import { FONT, palette } from "../../palette";
import { colormap, contrast, dark, head, sample, scaleMode, shownHeads, shownLimits } from "../../state";
import type { Attention, Heads } from "../../types";
import { LargeHead } from "./headlarge";
import { gutterFor, type HeadsProps, HeadValue, nameOf, type Parts, stampHead, TOKEN_LENGTH } from "./headparts";
import { Legend } from "./legend";
import { point, pointNowhere } from "./pointed";
import { GAP, tiling } from "./tiling";

const LEGEND = 68;
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

export function HeadsTop(props: HeadsProps) {
  const { shown, width, height } = props;
  const { attention } = shown;
  const at = Math.min(sample.value, attention.samples.length - 1);
  const names: (number | null)[] = [null, ...attention.channels];
  useLayoutEffect(() => {
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
                context.fillText(`H ${formatShort(entropy)}`, x + wide - GAP, y + box.height + 3);
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
