// The layers as rows: the tree on the left and the quilt stand level because both are made of these.
import { computed, signal } from "@preact/signals";
import { layers, search, shownRuns } from "./state";
import type { LayerInfo } from "./types";

export const GROUP_HEIGHT = 22;

export interface GroupRow {
  kind: "group";
  group: string;
  folded: boolean;
  top: number;
  height: number;
}

export interface LayerRow {
  kind: "layer";
  info: LayerInfo;
  /** The last part of its name, as the group above says the rest. */
  label: string;
  top: number;
  height: number;
}

export type Row = GroupRow | LayerRow;

/** Groups whose layers are not shown. */
export const folded = signal<ReadonlySet<string>>(new Set());

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

/** Rows of the layers in execution order; a group's name stands where its layers begin, and again where they go on. */
export function layoutRows(
  all: readonly LayerInfo[],
  layerHeight: number,
  text: string,
  hidden: ReadonlySet<string>,
): Row[] {
  const rows: Row[] = [];
  let top = 0;
  let current = "";
  for (const info of all) {
    if (!matches(info.name, text)) continue;
    let [group, label] = place(info);
    // A block's own output comes after its layers, and belongs with them.
    if (pathOf(info) === current && current !== "") [group, label] = [current, "(output)"];
    if (group !== current) {
      current = group;
      if (group !== "") {
        rows.push({ kind: "group", group, folded: hidden.has(group), top, height: GROUP_HEIGHT });
        top += GROUP_HEIGHT;
      }
    }
    if (hidden.has(group)) continue;
    rows.push({ kind: "layer", info, label, top, height: layerHeight });
    top += layerHeight;
  }
  return rows;
}

export const rows = computed(() =>
  layoutRows(layers.value, shownRuns.value.length > 1 ? 28 : 22, search.value, folded.value),
);

export const rowsHeight = computed(() => {
  const last = rows.value[rows.value.length - 1];
  return last ? last.top + last.height : 0;
});

/** How far tree and quilt are scrolled, together. */
export const rowsScroll = signal(0);

export function toggleGroup(group: string): void {
  const next = new Set(folded.value);
  if (!next.delete(group)) next.add(group);
  folded.value = next;
}
