// The chosen state in the URL, so that a pasted link opens the same picture. It stands in the hash of TensorBoard's page, behind the
// name of the tab: #actviz&run=lr-0.05&layer=conv1&step=300.
import { batch, effect } from "@preact/signals";
import { MOST_RUNS } from "./actions";
import { SPEEDS } from "./components/transport";
import { decodeThresholds, encodeThresholds, thresholds } from "./findings";
import { expanded, folded } from "./rows";
import { AXIS_MODES } from "./spacing";
import {
  absent,
  axisMode,
  type ChannelChoice,
  type ChannelSort,
  COMPARE_MODES,
  type ColormapName,
  type CompareMode,
  channel,
  channelChoice,
  channelSort,
  colormap,
  compareMode,
  comparison,
  contrast,
  type DetailOf,
  depth,
  detailOf,
  dimensions,
  estimator,
  focus,
  following,
  head,
  type LayerPart,
  lanes,
  layer,
  layerPart,
  linked,
  looping,
  MEASURES,
  type Measure,
  matchChannels,
  overlay,
  pairLayer,
  pinned,
  type Quantity,
  quantity,
  rankBy,
  referenceStep,
  runA,
  runB,
  type ScaleMode,
  type StatScale,
  sample,
  scaleMode,
  sideBySide,
  stat,
  statScale,
  step,
  stepB,
  stepsPerSecond,
  toggledBlocks,
  type ValuesStyle,
  VIEWS,
  type View,
  valuesStyle,
  view,
  zoom,
} from "./state";
import { STATISTICS } from "./statistics";
import { parentWindow } from "./theme";

const TAB = "actviz";

interface Field {
  name: string;
  get(): string | null;
  set(text: string): void;
  /** Back to what it is without a word in the URL. */
  reset(): void;
}

/** `write` returns null where the state is as without a word in the URL, `read` undefined for what makes no sense. */
function field<T>(
  name: string,
  state: { value: T },
  write: (value: T) => string | null,
  read: (text: string) => T | undefined,
): Field {
  const initial = state.value;
  return {
    name,
    get: () => write(state.value),
    set: (text) => {
      const value = read(text);
      if (value !== undefined) state.value = value;
    },
    reset: () => {
      state.value = initial;
    },
  };
}

function choice<T extends string>(name: string, state: { value: T }, allowed: readonly T[]): Field {
  const initial = state.value;
  return field(
    name,
    state,
    (value) => (value === initial ? null : value),
    (text) => allowed.find((each) => each === text),
  );
}

function text(name: string, state: { value: string | null }): Field {
  return field(
    name,
    state,
    (value) => value,
    (given) => given,
  );
}

function whole(name: string, state: { value: number | null }): Field {
  return field(
    name,
    state,
    (value) => (value === null ? null : String(value)),
    (given) => (given !== "" && Number.isFinite(Number(given)) ? Number(given) : undefined),
  );
}

function flag(name: string, state: { value: boolean }): Field {
  return field(
    name,
    state,
    (value) => (value ? "1" : null),
    (given) => given === "1",
  );
}

/** Names that may have anything in them but a line break. */
function names<T extends Iterable<string>>(name: string, state: { value: T }, of: (names: string[]) => T): Field {
  return field(
    name,
    state,
    (value) => [...value].join("\n") || null,
    (given) => of(given.split("\n").filter((each) => each !== "")),
  );
}

/** First and last step, as `100..400`. */
export function decodeRange(value: string): [number, number] | null {
  const found = /^(-?\d+)\.\.(-?\d+)$/.exec(value);
  const [first, last] = [Number(found?.[1]), Number(found?.[2])];
  return last > first ? [first, last] : null;
}

/** Limits of a colour scale, as `-0.5:2`. */
function decodeContrast(value: string): [number, number] | undefined {
  const [low = Number.NaN, high = Number.NaN] = value.split(":").map(Number.parseFloat);
  return Number.isFinite(low) && Number.isFinite(high) && low < high ? [low, high] : undefined;
}

/** Positions of several samples, as `0,3`. */
function decodePositions(value: string): number[] | undefined {
  const positions = value.split(",").map(Number);
  if (!positions.every((each) => Number.isInteger(each) && each >= 0)) return undefined;
  return [...new Set(positions)].slice(0, 4);
}

const FIELDS: readonly Field[] = [
  choice<View>("view", view, VIEWS),
  text("run", runA),
  text("runB", runB),
  names("pinned", pinned, (runs) => runs.slice(0, MOST_RUNS - 2)),
  choice("focus", focus, ["A", "B"]),
  text("layer", layer),
  whole("step", step),
  whole("reference", referenceStep),
  field(
    "sample",
    sample,
    (position) => (position === 0 ? null : String(position)),
    (value) => Math.max(0, Number.parseInt(value, 10) || 0),
  ),
  whole("channel", channel),
  // Colours
  choice<ColormapName>("colormap", colormap, ["activations", "viridis", "cividis", "inferno", "grey"]),
  choice<ScaleMode>("scale", scaleMode, ["map", "layer", "locked", "runs"]),
  field("contrast", contrast, (limits) => limits?.join(":") ?? null, decodeContrast),
  // Time line
  flag("follow", following),
  flag("loop", looping),
  choice("axis", axisMode, AXIS_MODES),
  field("range", zoom, (range) => range?.join("..") ?? null, decodeRange),
  field(
    "speed",
    stepsPerSecond,
    (speed) => (speed === 10 ? null : String(speed)),
    (value) => SPEEDS.find((speed) => speed === Number(value)),
  ),
  // Overview
  choice(
    "stat",
    stat,
    STATISTICS.map(([name]) => name),
  ),
  choice<Quantity>("of", quantity, ["activations", "gradients"]),
  choice<StatScale>("statScale", statScale, ["linear", "log", "symlog"]),
  choice("lanes", lanes, ["runs", "difference"]),
  names("folded", folded, (groups) => new Set(groups)),
  names("strips", expanded, (layers) => new Set(layers)),
  // Layer
  choice<ChannelSort>("sort", channelSort, ["index", "mean", "change", "zero"]),
  field(
    "overlay",
    overlay,
    (opacity) => (opacity === 0 ? null : String(opacity)),
    (value) => Math.max(0, Math.min(1, Number.parseFloat(value) || 0)),
  ),
  choice<ValuesStyle>("values", valuesStyle, ["heat", "ridge"]),
  choice<DetailOf>("detail", detailOf, ["layer", "channel"]),
  choice<LayerPart>("part", layerPart, ["output", "attention"]),
  whole("head", head),
  whole("depth", depth),
  // Propagation
  choice<ChannelChoice>("channels", channelChoice, ["index", "largest", "changed"]),
  field("samples", sideBySide, (positions) => (positions.length > 1 ? positions.join(",") : null), decodePositions),
  names("blocks", toggledBlocks, (blocks) => blocks),
  // Compare
  whole("stepB", stepB),
  choice<CompareMode>("compare", compareMode, COMPARE_MODES),
  choice<Measure>("rank", rankBy, MEASURES),
  flag("match", matchChannels),
  // Similarity
  choice("estimator", estimator, ["biased", "unbiased"]),
  choice("comparison", comparison, ["between", "steps"]),
  text("pair", pairLayer),
  choice("dimensions", dimensions, ["participation", "effective"]),
  // Findings
  field("thresholds", thresholds, encodeThresholds, decodeThresholds),
];

/** The hash for these fields: `#actviz&name=value&...`. */
export function encodeHash(fields: Iterable<readonly [string, string]>): string {
  let hash = `#${TAB}`;
  for (const [name, value] of fields) hash += `&${name}=${encodeURIComponent(value)}`;
  return hash;
}

/** The fields of a hash; empty when it is another tab's. */
export function decodeHash(hash: string): [string, string][] {
  const [tab, ...parts] = hash.replace(/^#/, "").split("&");
  if (tab !== TAB) return [];
  return parts.map((part) => {
    const [name = "", value = ""] = part.split("=");
    try {
      return [name, decodeURIComponent(value)];
    } catch {
      return [name, value];
    }
  });
}

/** Takes over the state of a hash, all of it; the tab's name alone says nothing, and changes nothing. */
function read(hash: string): void {
  const given = new Map(decodeHash(hash));
  if (given.size === 0) return;
  batch(() => {
    for (const field of FIELDS) {
      const value = given.get(field.name);
      if (value === undefined) field.reset();
      else field.set(value);
    }
    linked.value = true;
    absent.value = [];
  });
}

/** The page that the reader's address bar shows: TensorBoard's around this frame, or this one where it stands alone. */
export function addressed(): Window {
  return parentWindow() ?? window;
}

/** The link to what is shown now. */
export function currentLink(): string {
  return addressed().location.href.split("#")[0] + hashNow();
}

function hashNow(): string {
  const fields = FIELDS.map((field) => [field.name, field.get()] as const);
  return encodeHash(fields.filter((field): field is readonly [string, string] => field[1] !== null));
}

/** Reads the state from the URL, and keeps the URL up to date from then on. */
export function followUrl(): void {
  const page = addressed();
  let known = "";
  const take = () => {
    known = page.location.hash;
    read(known);
  };
  take();
  page.addEventListener("hashchange", take);
  let scheduled = 0;
  effect(() => {
    const hash = hashNow();
    clearTimeout(scheduled);
    scheduled = window.setTimeout(() => {
      const front = page.location.hash.replace(/^#/, "").split("&")[0];
      // Another tab of TensorBoard's may be in front by now.
      if (page.location.hash === hash || (front !== TAB && page !== window)) return;
      // A link that the event has still to tell of; TensorBoard's own changes, of which none tells, are to the tab's name alone.
      if (page.location.hash !== known && decodeHash(page.location.hash).length > 0) return;
      // The whole address, as this frame's <base> is another.
      page.history.replaceState(page.history.state, "", page.location.href.split("#")[0] + hash);
      known = page.location.hash;
    }, 150);
  });
}
