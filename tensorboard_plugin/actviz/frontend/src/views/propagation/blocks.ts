// Which layers form a block, so that deep networks fold; and what is then shown, in execution order. Pure functions.
import { pathOf, place } from "../../rows";
import type { LayerInfo } from "../../types";

/** A network of more layers than this starts with its blocks folded. */
export const DEEP = 40;
/** A block of more than this share of all layers is the network itself. */
const WHOLE = 2 / 3;

/** One row of the score: a layer, a folded block (as its last layer), the head of an open block, or attention weights. */
export interface Entry {
  kind: "layer" | "folded" | "head" | "attention";
  /** What is shown; of a folded block its last layer, of attention weights the place that has them. */
  info: LayerInfo;
  label: string;
  /** The block that it stands in; null outside of any. */
  block: string | null;
  /** The layers that it stands for, in execution order; of attention weights the layer that they are part of. */
  layers: readonly string[];
}

/** The innermost ancestor whose name ends with a digit: `layer1.0` of `layer1.0.downsample.1`; null without one. */
export function blockOf(path: string): string | null {
  let found: string | null = null;
  for (let end = 0; end < path.length; end++)
    if ((path[end] === "." || path[end] === "/") && /\d/.test(path[end - 1] ?? "")) found = path.slice(0, end);
  return found;
}

/** Layers in runs of the same block; a block's own output, which comes after its layers, is one of them. */
function runsOfBlocks(layers: readonly LayerInfo[]): { block: string | null; layers: LayerInfo[] }[] {
  const runs: { block: string | null; layers: LayerInfo[] }[] = [];
  for (const info of layers) {
    const last = runs[runs.length - 1];
    const path = pathOf(info);
    const block = last !== undefined && path === last.block ? path : blockOf(path);
    if (last !== undefined && last.block === block) last.layers.push(info);
    else runs.push({ block, layers: [info] });
  }
  return runs;
}

/** The name of a layer within its block. */
function labelIn(info: LayerInfo, block: string | null): string {
  if (block === null) return info.name.length <= 24 ? info.name : place(info)[1];
  return pathOf(info) === block ? "(output)" : info.name.slice(block.length + 1);
}

function isBelow(name: string, parent: string): boolean {
  return name.startsWith(parent) && /[./]/.test(name[parent.length] ?? "");
}

/** Puts attention weights before the layer that they are of: the one of that name or path, else the last of the same module. */
function withAttention(entries: readonly Entry[], attention: readonly string[]): Entry[] {
  const placed = [...entries];
  for (const name of attention) {
    const parent = name.replace(/[./][^./]*$/, "");
    let at = placed.findIndex(({ kind, info }) => kind === "layer" && (info.name === name || info.path === name));
    if (at < 0) at = placed.findLastIndex(({ kind, info }) => kind === "layer" && isBelow(info.name, parent));
    const owner = placed[at];
    if (owner === undefined) continue;
    const label = `${owner.block !== null && name.startsWith(owner.block) ? name.slice(owner.block.length + 1) : name}`;
    placed.splice(at, 0, { ...owner, kind: "attention", info: { name }, label });
  }
  return placed;
}

/** The blocks that are folded; `toggled`: those that the user turned against what they are at first. */
export function foldedBlocks(layers: readonly LayerInfo[], toggled: readonly string[]): Set<string> {
  const sizes = new Map<string, number>();
  for (const { block, layers: inside } of runsOfBlocks(layers))
    if (block !== null && inside.length > 1) sizes.set(block, Math.max(inside.length, sizes.get(block) ?? 0));
  const atFirst = (size: number) => layers.length > DEEP && size <= layers.length * WHOLE;
  const folded = [...sizes].filter(([block, size]) => atFirst(size) !== toggled.includes(block));
  return new Set(folded.map(([block]) => block));
}

/** The rows of the score, in execution order. */
export function scoreEntries(
  layers: readonly LayerInfo[],
  attention: readonly string[],
  toggled: readonly string[],
): Entry[] {
  const entries: Entry[] = [];
  const folded = foldedBlocks(layers, toggled);
  for (const { block, layers: inside } of runsOfBlocks(layers)) {
    const last = inside[inside.length - 1] as LayerInfo;
    const names = inside.map((info) => info.name);
    const headed = block !== null && inside.length > 1;
    if (headed) {
      if (folded.has(block)) {
        entries.push({ kind: "folded", info: last, label: block, block, layers: names });
        continue;
      }
      entries.push({ kind: "head", info: last, label: block, block, layers: [] });
    }
    for (const info of inside)
      entries.push({ kind: "layer", info, label: labelIn(info, headed ? block : null), block, layers: [info.name] });
  }
  return withAttention(entries, attention);
}
