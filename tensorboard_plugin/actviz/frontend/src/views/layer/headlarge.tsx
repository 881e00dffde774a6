// One attention head enlarged, with its tokens.
import { type Reduced, tokenOf } from "../../attention";
import { lut } from "../../colour";
import { Canvas } from "../../components/canvas";
import { drawWeights } from "../../draw/weights";
import { shorten } from "../../format";
import { FONT, palette } from "../../palette";
import { colormap, dark } from "../../state";
import { gutterFor, HeadValue, nameOf, type Parts, stampHead, TOKEN_LENGTH } from "./headparts";
import { point, pointed, pointNowhere } from "./pointed";

/** The smallest cell that has a token of its own beside it. */
const TOKEN_CELL = 9;

export function LargeHead(props: Parts & { room: number }) {
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
