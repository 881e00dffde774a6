// What the pictures of attention heads share.
import { type Reduced, tokenOf } from "../../attention";
import { formatValue } from "../../format";
import type { ScaleLimits } from "../../maps";
import { colormap } from "../../state";
import type { Heads } from "../../types";
import type { ShownAttention } from "./data";
import { pointed } from "./pointed";

/** Characters of a token at most; CSS pixels of a character. */
export const TOKEN_LENGTH = 8;
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

/** Space for labels of so many characters. */
export function gutterFor(characters: number): number {
  return Math.round(characters * CHARACTER) + 12;
}

/** What a head's map is called. */
export function nameOf(each: number | null): string {
  return each === null ? "mean" : String(each);
}

export interface Parts extends HeadsProps {
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
export function stampHead(canvas: HTMLCanvasElement, { shown, at }: Parts, limits: ScaleLimits): void {
  canvas.dataset.run = shown.run;
  canvas.dataset.layer = shown.layer;
  canvas.dataset.step = String(shown.step);
  canvas.dataset.sample = String(shown.attention.samples[at] ?? at);
  canvas.dataset.scaleHigh = String(limits.high);
  canvas.dataset.colormap = colormap.value;
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
export function HeadValue(props: Parts & { place: "grid" | "large" }) {
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
