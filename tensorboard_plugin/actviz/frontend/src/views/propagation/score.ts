// Where everything of the score stands: rows, and columns that neighbouring rows of the same number of channels share. It follows from
// the model record alone, not from any step's maps, so that nothing moves while steps go by. Pure functions; lengths in CSS pixels.
import type { LayerInfo } from "../../types";
import type { Entry } from "./blocks";
import { evenly } from "./channels";

/** A vector keeps at most so many of its values (actviz_tb/maps.py). */
const MAX_UNITS = 4096;
const GAP = 6;
export const PANEL_GAP = 20;
const ROW_GAP = 14;
const FAMILY_GAP = 16;
const FIRST_GAP = 8;
const TEXT_HEIGHT = 34;
const HEAD_HEIGHT = 24;
const STRIP_HEIGHT = 30;
const BARS_HEIGHT = 112;
const SEQUENCE_HEIGHT = 72;
const MIN_TILE = 24;
const MAX_TILE = 96;
const MAX_CELLS = 8;
const MIN_UNIT = 2;
const MAX_UNIT = 24;

export type Picture = "channels" | "sequence" | "vector" | "bars" | "attention" | "words" | "head";

export interface ScoreOptions {
  /** Room for the maps, and how many samples share it. */
  width: number;
  panels: number;
  /** Device pixels a CSS pixel. */
  ratio: number;
  /** What `watch` was told: channels that maps keep, and their pixels a side. */
  maxChannels: number;
  maxSize: number;
  /** The layer that stands as bars. */
  bars: string | null;
}

/** What neighbouring rows share. */
export interface Family {
  /** Indices of the channels, or units, that the maps keep. */
  kept: readonly number[];
  /** How many of them fit side by side. */
  columns: number;
  /** From one column to the next, and the room of a map in it; both whole device pixels. */
  pitch: number;
  tile: number;
  /** The first layer: its channels' histories choose those that are shown. */
  first: string;
}

export interface ScoreRow extends Entry {
  picture: Picture;
  family: Family;
  /** Whether a family begins with it: its columns are others than those of the row above. */
  starts: boolean;
  top: number;
  height: number;
  /** Of the picture in it. */
  pictureHeight: number;
  /** Of the picture of a sequence: device pixels of one of its pixels, [horizontal, vertical]. */
  cells: readonly [number, number];
}

export interface Score {
  rows: ScoreRow[];
  height: number;
  /** Width of one sample's panel. */
  panelWidth: number;
}

interface Extent {
  channels: number;
  height: number;
  width: number;
}

/** Pixels that are stored of an extent: means of so many that at most `limit` are left. */
export function storedPixels(extent: number, limit: number): number {
  return Math.ceil(extent / Math.ceil(extent / limit));
}

/** Channels, and pixels of their maps as they are stored, of a layer's output. */
export function extentOf(info: LayerInfo, maxSize: number): Extent {
  const shape = info.shape ?? [];
  if (info.layout === "vector")
    return { channels: shape.slice(1).reduce((product, extent) => product * extent, 1), height: 1, width: 1 };
  if (info.layout === "sequence")
    return {
      channels: 1,
      height: storedPixels(shape[1] ?? 1, 2 * maxSize),
      width: storedPixels(shape[2] ?? 1, 2 * maxSize),
    };
  const axis = info.channel_axis ?? 1;
  const [height = 1, width = 1] = shape.filter((_, index) => index !== 0 && index !== axis).slice(-2);
  return { channels: shape[axis] ?? 1, height: storedPixels(height, maxSize), width: storedPixels(width, maxSize) };
}

function pictureOf(entry: Entry, bars: string | null): Picture {
  if (entry.kind === "head" || entry.kind === "attention") return entry.kind;
  if (!hasMaps(entry.info)) return "words";
  if (entry.info.name === bars) return "bars";
  return entry.info.layout as Picture;
}

/** Whether there are maps of a layer's output, as far as the model record tells. */
export function hasMaps({ layout, records }: LayerInfo): boolean {
  return layout != null && (records === undefined || records.includes("maps"));
}

function clamp(value: number, low: number, high: number): number {
  return Math.max(low, Math.min(high, value));
}

/** Columns of maps of at most `side` pixels a side, in a panel of `room` device pixels. */
function mapColumns(kept: number, side: number, room: number, ratio: number): Omit<Family, "kept" | "first"> {
  const gap = Math.round(GAP * ratio);
  const smallest = Math.max(side, Math.round(MIN_TILE * ratio));
  const largest = Math.max(smallest, Math.min(MAX_TILE * ratio, side * MAX_CELLS * ratio));
  const fair = clamp(Math.floor((room + gap) / kept) - gap, smallest, largest);
  const tile = Math.floor(fair / side) * side;
  const columns = clamp(Math.floor((room + gap) / (tile + gap)), 1, kept);
  return { columns, tile, pitch: Math.min(Math.floor((room + gap) / columns), tile + 2 * gap) };
}

function unitColumns(kept: number, room: number, ratio: number, bars: boolean): Omit<Family, "kept" | "first"> {
  const columns = Math.min(kept, Math.max(1, Math.floor(room / (MIN_UNIT * ratio))));
  const pitch = Math.max(1, Math.floor(room / columns));
  const tile = bars ? pitch : Math.min(pitch, Math.round(MAX_UNIT * ratio));
  return { columns, tile, pitch: tile };
}

/** Device pixels of a pixel of a sequence's map, so that it fills the panel and is not too tall. */
function sequenceCells({ height, width }: Extent, room: number, ratio: number): [number, number] {
  const across = clamp(Math.floor(room / width), 1, Math.round(MAX_CELLS * ratio));
  return [across, Math.max(1, Math.floor((SEQUENCE_HEIGHT * ratio) / height))];
}

interface Group {
  entries: { entry: Entry; picture: Picture; extent: Extent }[];
}

/** Neighbours that share columns: channels of the same number; vectors of the same length; sequences of the same extent. */
function familyKey(picture: Picture, { channels, height, width }: Extent): string {
  if (picture === "channels" || picture === "vector") return `${picture} ${channels}`;
  return picture === "sequence" ? `sequence ${height} ${width}` : picture;
}

function groups(entries: readonly Entry[], options: ScoreOptions): Group[] {
  const found: Group[] = [];
  let current = "";
  for (const entry of entries) {
    const picture = pictureOf(entry, options.bars);
    const extent = extentOf(entry.info, options.maxSize);
    const key = familyKey(picture, extent);
    // Attention weights and heads of blocks stand between the rows of a family without parting them.
    const parts = picture !== "head" && picture !== "attention" && key !== current;
    if (parts || found.length === 0) found.push({ entries: [] });
    if (picture !== "head" && picture !== "attention") current = key;
    (found[found.length - 1] as Group).entries.push({ entry, picture, extent });
  }
  return found;
}

function familyOf({ entries }: Group, panel: number, options: ScoreOptions): Family {
  const { ratio } = options;
  const room = Math.floor(panel * ratio);
  const pictured = entries.filter(({ picture }) => picture !== "head" && picture !== "attention");
  const first = pictured[0] ?? (entries[0] as Group["entries"][number]);
  const name = first.entry.info.name;
  if (first.picture === "vector" || first.picture === "bars") {
    const kept = evenly(first.extent.channels, MAX_UNITS);
    return { kept, first: name, ...unitColumns(kept.length, room, ratio, first.picture === "bars") };
  }
  const kept = evenly(first.extent.channels, options.maxChannels);
  const side = Math.max(...pictured.map(({ extent }) => Math.max(extent.height, extent.width)), 1);
  return { kept, first: name, ...mapColumns(Math.max(1, kept.length), side, room, ratio) };
}

/** Attention weights have no extent in the model record: their tiles are as wide as the longest side that maps keep. */
function attentionFamily(panel: number, { ratio, maxSize }: ScoreOptions): Family {
  const tile = Math.max(Math.round(SEQUENCE_HEIGHT * ratio), maxSize);
  const pitch = tile + Math.round(GAP * ratio);
  return { kept: [], first: "", columns: Math.max(1, Math.floor((panel * ratio) / pitch)), tile, pitch };
}

/** All rows of the score. */
export function layoutScore(entries: readonly Entry[], options: ScoreOptions): Score {
  const { width, panels, ratio } = options;
  const panelWidth = Math.floor((width - (panels - 1) * PANEL_GAP) / panels);
  const rows: ScoreRow[] = [];
  let top = 0;
  for (const [index, group] of groups(entries, options).entries()) {
    const shared = familyOf(group, panelWidth, options);
    for (const [place, { entry, picture, extent }] of group.entries.entries()) {
      const family = picture === "attention" ? attentionFamily(panelWidth, options) : shared;
      const cells: readonly [number, number] =
        picture === "sequence" ? sequenceCells(extent, panelWidth * ratio, ratio) : [1, 1];
      const pictureHeight = heightOf(picture, family, extent, cells, ratio);
      const starts = place === 0;
      if (starts) top += index > 0 ? FAMILY_GAP : FIRST_GAP;
      const height = picture === "head" ? HEAD_HEIGHT : Math.max(TEXT_HEIGHT, pictureHeight) + ROW_GAP;
      rows.push({ ...entry, picture, family, starts, top, height, pictureHeight, cells });
      top += height;
    }
  }
  return { rows, height: top, panelWidth };
}

function heightOf(
  picture: Picture,
  family: Family,
  extent: Extent,
  cells: readonly [number, number],
  ratio: number,
): number {
  switch (picture) {
    case "channels":
    case "attention":
      return family.tile / ratio;
    case "sequence":
      return (extent.height * cells[1]) / ratio;
    case "vector":
      return STRIP_HEIGHT;
    case "bars":
      return BARS_HEIGHT;
    default:
      return 0;
  }
}

/** Indices of the first row that reaches below `from`, and of the first one that begins at or below `to`. */
export function rowsBetween(rows: readonly ScoreRow[], from: number, to: number): [first: number, end: number] {
  const first = rows.findIndex((row) => row.top + row.height > from);
  const end = rows.findIndex((row) => row.top >= to);
  return [first < 0 ? rows.length : first, end < 0 ? rows.length : end];
}
