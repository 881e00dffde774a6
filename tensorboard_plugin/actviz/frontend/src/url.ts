// The chosen state in the URL, so that a pasted link opens the same picture. It stands in the hash of TensorBoard's page, behind the
// name of the tab: #actviz&run=lr-0.05&layer=conv1&step=300.
import { effect } from "@preact/signals";
import { decodeThresholds, encodeThresholds, thresholds } from "./findings";
import {
  type ChannelSort,
  type ColormapName,
  channel,
  channelSort,
  colormap,
  focus,
  following,
  layer,
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
  VIEWS,
  type View,
  view,
} from "./state";
import { STATISTICS } from "./statistics";
import { parentWindow } from "./theme";

const TAB = "actviz";

interface Field {
  name: string;
  get(): string | null;
  set(text: string): void;
}

function choice<T extends string>(name: string, state: { value: T }, allowed: readonly T[]): Field {
  const initial = state.value;
  return {
    name,
    get: () => (state.value === initial ? null : state.value),
    set: (text) => {
      if ((allowed as readonly string[]).includes(text)) state.value = text as T;
    },
  };
}

function text(name: string, state: { value: string | null }): Field {
  return { name, get: () => state.value, set: (value) => (state.value = value) };
}

function whole(name: string, state: { value: number | null }): Field {
  return {
    name,
    get: () => (state.value === null ? null : String(state.value)),
    set: (value) => {
      const number = Number(value);
      if (value !== "" && Number.isFinite(number)) state.value = number;
    },
  };
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
  choice<StatScale>("statScale", statScale, ["linear", "log"]),
  {
    name: "thresholds",
    get: () => encodeThresholds(thresholds.value),
    set: (value) => (thresholds.value = decodeThresholds(value)),
  },
  {
    name: "follow",
    get: () => (following.value ? "1" : null),
    set: (value) => (following.value = value === "1"),
  },
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

function read(hash: string): void {
  for (const [name, value] of decodeHash(hash)) FIELDS.find((field) => field.name === name)?.set(value);
}

/** Reads the state from the URL, and keeps the URL up to date from then on. */
export function followUrl(): void {
  const page = parentWindow();
  if (page === null) return;
  read(page.location.hash);
  page.addEventListener("hashchange", () => read(page.location.hash));
  let scheduled = 0;
  effect(() => {
    const fields = FIELDS.map((field) => [field.name, field.get()] as const);
    const present = fields.filter((field): field is readonly [string, string] => field[1] !== null);
    clearTimeout(scheduled);
    scheduled = window.setTimeout(() => {
      const hash = encodeHash(present);
      // Another tab of TensorBoard's may be in front by now.
      if (page.location.hash.replace(/^#/, "").split("&")[0] === TAB && page.location.hash !== hash)
        page.history.replaceState(page.history.state, "", hash);
    }, 150);
  });
}
