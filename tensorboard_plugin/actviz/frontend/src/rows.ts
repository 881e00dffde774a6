// The layers as rows: the tree on the left and the quilt stand level because both are made of these.
import { computed, signal, useSignalEffect } from "@preact/signals";
import { useRef } from "preact/hooks";
import { laneRuns, lanes, layers, search, view } from "./state";
import type { LayerInfo } from "./types";

export const GROUP_HEIGHT = 22;
/** Height of one strip of values below a layer's lanes. */
export const STRIP_HEIGHT = 64;

interface Place {
  /** How many blocks it stands in. */
  depth: number;
  top: number;
  height: number;
}

export interface GroupRow extends Place {
  kind: "group";
  /** Path of the block. */
  group: string;
  /** What the blocks around it do not say already. */
  label: string;
  folded: boolean;
  /** Its layers, those of the blocks within included. */
  layers: readonly LayerInfo[];
}

export interface LayerRow extends Place {
  kind: "layer";
  info: LayerInfo;
  /** The last part of its name, as the group above says the rest. */
  label: string;
  /** Height of its lanes; the strips of values are below them. */
  lanes: number;
}

export type Row = GroupRow | LayerRow;

/** Groups whose layers are not shown. */
export const folded = signal<ReadonlySet<string>>(new Set());
/** Layers with the strips of their values below their lanes. */
export const expanded = signal<ReadonlySet<string>>(new Set());

/** The module path that a layer's name starts with, without call number and parts: `a.b` of `a.b:1[0]`. */
export function pathOf(info: LayerInfo): string {
  return info.path ?? info.name.replace(/(\[\d+\]|:\d+)+.*$/, "");
}

/** Splits a layer's name into the group it stands in and its own label; a function (`block/relu`) stands in its module. */
export function place(info: LayerInfo): [group: string, label: string] {
  const path = pathOf(info);
  const end = Math.max(path.lastIndexOf("."), path.lastIndexOf("/"));
  return end < 0 ? ["", info.name] : [path.slice(0, end), info.name.slice(end + 1)];
}

/** The class of a layer's module; nothing for a function, whose name says what it is. */
export function typeOf(info: LayerInfo): string {
  const [, label] = place(info);
  return info.type === undefined || label.split(":")[0] === info.type ? "" : info.type;
}

/** How many channels, units or features a layer's output has; null where that is not known. */
export function channelCount(info: LayerInfo | undefined): number | null {
  return info?.shape?.[info.channel_axis ?? 1] ?? null;
}

/** Whether a layer's name has the text, or matches the glob, in `search`. */
export function matches(name: string, text: string): boolean {
  if (text === "") return true;
  if (!/[*?]/.test(text)) return name.toLowerCase().includes(text.toLowerCase());
  const pattern = text
    .replace(/[.+^${}()|[\]\\]/g, "\\$&")
    .replace(/\*/g, ".*")
    .replace(/\?/g, ".");
  return new RegExp(`^${pattern}$`, "i").test(name);
}

interface Placed {
  info: LayerInfo;
  group: string;
  label: string;
}

/** The layers in execution order, each with its block; a block's own output comes after its layers, and belongs with them. */
function placeAll(all: readonly LayerInfo[]): Placed[] {
  const blocks = new Set<string>();
  for (const info of all) for (const block of blocksOf(place(info)[0])) blocks.add(block);
  return all.map((info) => {
    const path = pathOf(info);
    if (blocks.has(path)) return { info, group: path, label: `(output)${info.name.slice(path.length)}` };
    const [group, label] = place(info);
    return { info, group, label };
  });
}

/** `a`, `a.b`, `a.b.c` of `a.b.c`. */
function blocksOf(group: string): string[] {
  if (group === "") return [];
  const ends = [...group.matchAll(/[./]/g)].map(({ index }) => index);
  return [...ends, group.length].map((end) => group.slice(0, end)).filter((block) => block !== "");
}

/** The blocks that get a row: not those with nothing in them but one other block. */
function blocksWithRow(placed: readonly Placed[]): Set<string> {
  const parts = new Map<string, Set<string>>();
  const add = (block: string, part: string) => parts.set(block, (parts.get(block) ?? new Set()).add(part));
  for (const { info, group } of placed) {
    const chain = blocksOf(group);
    for (let index = 1; index < chain.length; index++) add(chain[index - 1] as string, chain[index] as string);
    if (group !== "") add(group, `layer ${info.name}`);
  }
  const alone = (block: string, [only, ...others]: readonly string[]) =>
    others.length === 0 && only?.startsWith(block) && parts.has(only);
  return new Set([...parts].filter(([block, within]) => !alone(block, [...within])).map(([block]) => block));
}

/** Rows of the layers in execution order; a block's name stands where its layers begin, and again where they go on. */
export function layoutRows(
  all: readonly LayerInfo[],
  layerHeight: number,
  text: string,
  hidden: ReadonlySet<string>,
  extra: (layer: string) => number = () => 0,
): Row[] {
  const placed = placeAll(all.filter((info) => matches(info.name, text)));
  const shown = blocksWithRow(placed);
  const found: Row[] = [];
  let open: (GroupRow & { layers: LayerInfo[] })[] = [];
  let top = 0;
  for (const { info, group, label } of placed) {
    const chain = blocksOf(group).filter((block) => shown.has(block));
    const common = chain.findIndex((block, index) => open[index]?.group !== block);
    open = open.slice(0, common < 0 ? chain.length : common);
    for (const block of chain.slice(open.length)) {
      const within = open[open.length - 1]?.group;
      const isFolded = hidden.has(block);
      const concealed = open.some((each) => each.folded);
      const row = {
        kind: "group" as const,
        group: block,
        label: within === undefined ? block : block.slice(within.length + 1),
        depth: open.length,
        folded: isFolded,
        layers: [],
        top,
        height: isFolded ? layerHeight : GROUP_HEIGHT,
      };
      open.push(row);
      if (concealed) continue;
      found.push(row);
      top += row.height;
    }
    for (const each of open) each.layers.push(info);
    if (open.some((each) => each.folded)) continue;
    const height = layerHeight + extra(info.name);
    found.push({ kind: "layer", info, label, depth: open.length, lanes: layerHeight, top, height });
    top += height;
  }
  return found;
}

const laneCount = computed(() => Math.max(1, laneRuns.value.length - (lanes.value === "difference" ? 1 : 0)));
/** Height of one lane in CSS pixels, and the gap below it. */
export const laneHeight = computed(() => (laneCount.value === 1 ? 18 : laneCount.value === 2 ? 12 : 11));
export const LANE_GAP = 1;

export const rows = computed(() =>
  layoutRows(
    layers.value,
    laneCount.value === 1 ? 22 : 2 + laneCount.value * (laneHeight.value + LANE_GAP),
    search.value,
    folded.value,
    (name) =>
      view.value === "overview" && expanded.value.has(name) ? laneRuns.value.length * (STRIP_HEIGHT + 4) + 4 : 0,
  ),
);

export const rowsHeight = computed(() => {
  const last = rows.value[rows.value.length - 1];
  return last ? last.top + last.height : 0;
});

/** How far tree and quilt are scrolled, together. */
export const rowsScroll = signal(0);

/** What keeps an element that scrolls by the rows at `rowsScroll`, and that at the element. */
export function useRowsScroll() {
  const ref = useRef<HTMLDivElement>(null);
  useSignalEffect(() => {
    const top = rowsScroll.value;
    if (ref.current && Math.abs(ref.current.scrollTop - top) > 1) ref.current.scrollTop = top;
  });
  return {
    ref,
    onScroll: (event: { currentTarget: HTMLElement }) => {
      rowsScroll.value = event.currentTarget.scrollTop;
    },
  };
}

function toggled(set: ReadonlySet<string>, name: string): ReadonlySet<string> {
  const next = new Set(set);
  if (!next.delete(name)) next.add(name);
  return next;
}

export function toggleGroup(group: string): void {
  folded.value = toggled(folded.value, group);
}

export function toggleStrips(layer: string): void {
  expanded.value = toggled(expanded.value, layer);
}

/** Folds or unfolds the innermost block that the layer stands in and that is not so yet. */
export function foldAround(layer: string, fold: boolean): void {
  const blocks = rows.value.flatMap((row) =>
    row.kind === "group" && row.folded !== fold && row.layers.some((info) => info.name === layer) ? [row] : [],
  );
  const innermost = blocks[blocks.length - 1];
  if (innermost) toggleGroup(innermost.group);
}
