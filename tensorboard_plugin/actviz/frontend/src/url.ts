// The chosen state in the URL, so that a pasted link opens the same picture. It stands in the hash of TensorBoard's page, behind the
// name of the tab: #actviz&run=lr-0.05&layer=conv1&step=300.
import { batch, effect } from "@preact/signals";
import { MOST_RUNS } from "./actions";
import { SPEEDS } from "./components/transport";
import { expanded, folded } from "./rows";
import { AXIS_MODES } from "./spacing";
import {
  axisMode,
  type ChannelSort,
  type ColormapName,
  channel,
  channelSort,
  colormap,
  focus,
  following,
  lanes,
  layer,
  looping,
  pinned,
  referenceStep,
  runA,
  runB,
  type ScaleMode,
  type StatScale,
  sample,
  scaleMode,
  stat,
  statScale,
  step,
  stepsPerSecond,
  VIEWS,
  type View,
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

function reset<T>(state: { value: T }): () => void {
  const initial = state.value;
  return () => {
    state.value = initial;
  };
}

function choice<T extends string>(name: string, state: { value: T }, allowed: readonly T[]): Field {
  const initial = state.value;
  return {
    name,
    get: () => (state.value === initial ? null : state.value),
    set: (text) => {
      if ((allowed as readonly string[]).includes(text)) state.value = text as T;
    },
    reset: reset(state),
  };
}

function text(name: string, state: { value: string | null }): Field {
  return { name, get: () => state.value, set: (value) => (state.value = value), reset: reset(state) };
}

function whole(name: string, state: { value: number | null }): Field {
  return {
    name,
    get: () => (state.value === null ? null : String(state.value)),
    set: (value) => {
      const number = Number(value);
      if (value !== "" && Number.isFinite(number)) state.value = number;
    },
    reset: reset(state),
  };
}

function flag(name: string, state: { value: boolean }): Field {
  return {
    name,
    get: () => (state.value ? "1" : null),
    set: (value) => (state.value = value === "1"),
    reset: reset(state),
  };
}

/** Names that may have anything in them but a line break. */
function names<T extends Iterable<string>>(name: string, state: { value: T }, of: (names: string[]) => T): Field {
  return {
    name,
    get: () => [...state.value].join("\n") || null,
    set: (value) => (state.value = of(value.split("\n").filter((each) => each !== ""))),
    reset: reset(state),
  };
}

/** First and last step, as `100..400`. */
export function decodeRange(value: string): [number, number] | null {
  const found = /^(-?\d+)\.\.(-?\d+)$/.exec(value);
  const [first, last] = [Number(found?.[1]), Number(found?.[2])];
  return last > first ? [first, last] : null;
}

const FIELDS: readonly Field[] = [
  choice<View>("view", view, VIEWS),
  text("run", runA),
  text("runB", runB),
  choice("focus", focus, ["A", "B"]),
  text("layer", layer),
  whole("step", step),
  whole("reference", referenceStep),
  {
    name: "sample",
    get: () => (sample.value === 0 ? null : String(sample.value)),
    set: (value) => (sample.value = Math.max(0, Number.parseInt(value, 10) || 0)),
    reset: reset(sample),
  },
  whole("channel", channel),
  choice<ColormapName>("colormap", colormap, ["activations", "viridis", "cividis", "inferno", "grey"]),
  choice<ScaleMode>("scale", scaleMode, ["map", "layer", "locked"]),
  choice<ChannelSort>("sort", channelSort, ["index", "mean", "zero"]),
  choice(
    "stat",
    stat,
    STATISTICS.map(([name]) => name),
  ),
  choice<StatScale>("statScale", statScale, ["linear", "log", "symlog"]),
  flag("follow", following),
  flag("loop", looping),
  choice("lanes", lanes, ["runs", "difference"]),
  choice("axis", axisMode, AXIS_MODES),
  {
    name: "range",
    get: () => zoom.value?.join("..") ?? null,
    set: (value) => (zoom.value = decodeRange(value)),
    reset: reset(zoom),
  },
  {
    name: "speed",
    get: () => (stepsPerSecond.value === 10 ? null : String(stepsPerSecond.value)),
    set: (value) => {
      if (SPEEDS.includes(Number(value))) stepsPerSecond.value = Number(value);
    },
    reset: reset(stepsPerSecond),
  },
  names("pinned", pinned, (runs) => runs.slice(0, MOST_RUNS - 2)),
  names("folded", folded, (groups) => new Set(groups)),
  names("strips", expanded, (layers) => new Set(layers)),
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
  read(page.location.hash);
  page.addEventListener("hashchange", () => read(page.location.hash));
  let scheduled = 0;
  effect(() => {
    const hash = hashNow();
    clearTimeout(scheduled);
    scheduled = window.setTimeout(() => {
      const front = page.location.hash.replace(/^#/, "").split("&")[0];
      // Another tab of TensorBoard's may be in front by now.
      if (page.location.hash === hash || (front !== TAB && page !== window)) return;
      // The whole address, as this frame's <base> is another.
      page.history.replaceState(page.history.state, "", page.location.href.split("#")[0] + hash);
    }, 150);
  });
}
