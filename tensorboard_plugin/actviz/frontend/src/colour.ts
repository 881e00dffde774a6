// Colour scales, one for each kind of quantity, and the runs' colours.
import { interpolateCividis, interpolateInferno, interpolateViridis } from "d3-scale-chromatic";
import type { ColormapName } from "./state";

export type ScaleName = ColormapName | "statistics" | "counts" | "differences";

// [light, dark], low to high; of the diverging ones the middle is zero, the colour of the page.
const STOPS: Record<"activations" | "statistics" | "counts" | "differences", readonly [string, string]> = {
  activations: [
    "5a3207 9a5f1a d29f5e efdcc0 fafafa cfe2f1 7db2dc 2f74b3 0c2f66",
    "ffe3b0 e0aa5a a06a22 55391c 1f2124 1f3c5c 2f6ea8 6db1ea d3ebff",
  ],
  statistics: [
    "f3f7d9 dff1b2 c7e9b4 7fcdbb 41b6c4 1d91c0 225ea8 253494 0b1f5c",
    "26284a 253494 225ea8 1d91c0 41b6c4 7fcdbb c7e9b4 edf8b1",
  ],
  counts: ["ffffff e3e7eb b4bdc7 7c8896 475361 1b222b", "1f2124 34393f 575e68 89929d c0c7cf f3f5f7"],
  differences: [
    "40004b 762a83 a876b5 dcc9e2 fafafa cbe7c8 74b77c 22803f 00441b",
    "e3c4f0 b07cc6 75458c 41304a 1f2124 26402f 3b8354 74c48a d3f2d5",
  ],
};

type Rgb = readonly [number, number, number];

function hex(text: string): Rgb {
  const value = Number.parseInt(text.replace("#", ""), 16);
  return [(value >> 16) & 255, (value >> 8) & 255, value & 255];
}

function between(stops: readonly Rgb[], at: number): Rgb {
  const position = at * (stops.length - 1);
  const index = Math.min(Math.floor(position), stops.length - 2);
  const [from, to] = [stops[index] as Rgb, stops[index + 1] as Rgb];
  const part = position - index;
  return [from[0] + (to[0] - from[0]) * part, from[1] + (to[1] - from[1]) * part, from[2] + (to[2] - from[2]) * part];
}

function parseRgb(text: string): Rgb {
  if (text.startsWith("#")) return hex(text);
  const [red, green, blue] = (text.match(/\d+/g) ?? []).map(Number);
  return [red ?? 0, green ?? 0, blue ?? 0];
}

function scale(name: ScaleName, dark: boolean): (at: number) => Rgb {
  switch (name) {
    case "viridis":
      return (at) => parseRgb(interpolateViridis(at));
    case "cividis":
      return (at) => parseRgb(interpolateCividis(at));
    case "inferno":
      return (at) => parseRgb(interpolateInferno(at));
    case "grey":
      return (at) => [at * 255, at * 255, at * 255];
    default: {
      const stops = STOPS[name][dark ? 1 : 0].split(" ").map(hex);
      return (at) => between(stops, at);
    }
  }
}

const tables = new Map<string, Uint8ClampedArray>();

/** 256 RGBA entries, low to high. */
export function lut(name: ScaleName, dark: boolean): Uint8ClampedArray {
  const key = `${name} ${dark}`;
  let table = tables.get(key);
  if (table === undefined) {
    const colour = scale(name, dark);
    table = new Uint8ClampedArray(256 * 4);
    for (let index = 0; index < 256; index++) {
      const [red, green, blue] = colour(index / 255);
      table.set([Math.round(red), Math.round(green), Math.round(blue), 255], index * 4);
    }
    tables.set(key, table);
  }
  return table;
}

/** CSS colour of a table's entry at 0..1. */
export function css(table: Uint8ClampedArray, at: number): string {
  const index = Math.max(0, Math.min(255, Math.round(at * 255))) * 4;
  return `rgb(${table[index]},${table[index + 1]},${table[index + 2]})`;
}

/** The colour of a change downwards or upwards, as on the scale of differences, dark enough for bars and words. */
export function changeColour(change: number, dark: boolean): string {
  return css(lut("differences", dark), change < 0 ? 0.12 : 0.88);
}

// TensorBoard's default palette; it gives run after run the next one.
const RUN_PALETTE = ["#12b5cb", "#e52592", "#425066", "#f9ab00", "#9334e6", "#7cb342", "#e8710a"];
const RUN_PALETTE_DARK = ["#12b5cb", "#e52592", "#aebfdd", "#f9ab00", "#9334e6", "#7cb342", "#e8710a"];

const runOrder: string[] = [];

/** Tells in which order the runs come; called whenever the list of runs changes. */
export function setRunOrder(runs: readonly string[]): void {
  runOrder.splice(0, runOrder.length, ...runs);
}

/** A run's colour, for lines and swatches. */
export function runColour(run: string, dark = false): string {
  const palette = dark ? RUN_PALETTE_DARK : RUN_PALETTE;
  return palette[Math.max(0, runOrder.indexOf(run)) % palette.length] as string;
}

/** Black or white, whichever contrasts more (WCAG relative luminance). */
export function inkOn(colour: string): "#000000" | "#ffffff" {
  const [red, green, blue] = parseRgb(colour).map((part) => {
    const value = part / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  }) as [number, number, number];
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 ? "#000000" : "#ffffff";
}
