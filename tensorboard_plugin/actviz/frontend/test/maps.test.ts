import { expect, test } from "vitest";
import {
  channelOrder,
  entryOf,
  foldShape,
  hasNonfinite,
  isZero,
  largestPixel,
  scaleLimits,
  valueAt,
  widestChannel,
} from "../src/maps";
import type { LayerStats, Maps } from "../src/types";

// Two samples, two channels of 1 x 3 pixels.
const maps: Maps = {
  source: "probe",
  layout: "channels",
  shape: [2, 8, 1, 3],
  samples: [0, 1],
  channels: [0, 4],
  units: null,
  pool: [1, 1],
  height: 1,
  width: 3,
  data: new Uint8Array([0, 127, 254, 0, 255, 254, 0, 0, 0, 254, 0, 0]),
  low: new Float32Array([-1, 0, 0, -3]),
  high: new Float32Array([3, 2, 0, 1]),
  mean: new Float32Array([1, 0.5, 0, -1]),
};

const history: LayerStats = {
  run: "a",
  layer: "conv",
  columns: [],
  steps: new Float64Array(),
  values: new Float64Array(),
  abs_limit: 2,
  low_limit: -1.5,
  high_limit: 2,
};

test("codes give low + code * (high - low) / 254, and NaN where the value was not finite", () => {
  expect([0, 1, 2].map((pixel) => valueAt(maps, 0, pixel))).toEqual([-1, 1, 3]);
  expect(valueAt(maps, 1, 1)).toBeNaN();
  expect(hasNonfinite(maps, 1)).toBe(true);
  expect(hasNonfinite(maps, 0)).toBe(false);
});

test("the scale is this map's, this step's, or the whole run's; on the diverging one zero is in the middle", () => {
  expect(scaleLimits("map", "viridis", maps, 0, history)).toEqual({ low: -1, high: 3, clips: false });
  expect(scaleLimits("map", "activations", maps, 0, history)).toEqual({ low: -3, high: 3, clips: false });
  expect(scaleLimits("layer", "viridis", maps, 0, history)).toEqual({ low: -3, high: 3, clips: false });
  expect(scaleLimits("locked", "activations", maps, 0, history)).toEqual({ low: -2, high: 2, clips: true });
  expect(scaleLimits("locked", "grey", maps, 0, history)).toEqual({ low: -1.5, high: 2, clips: true });
});

test("a map without spread has limits all the same", () => {
  const { low, high } = scaleLimits("map", "activations", maps, 2, null);
  expect(high).toBeGreaterThan(low);
  expect(entryOf(0, { low, high, clips: false })).toBe(128);
});

test("table entries are round(255 * share), and the ends beyond the limits", () => {
  const limits = { low: -2, high: 2, clips: true };
  expect([-9, -2, -1, 0, 2, 9].map((value) => entryOf(value, limits))).toEqual([0, 0, 64, 128, 255, 255]);
});

test("channels are ordered by index, by mean or by share of zeros; the widest is shown first", () => {
  expect(channelOrder(maps, 1, "index")).toEqual([0, 1]);
  expect(channelOrder(maps, 0, "mean")).toEqual([0, 1]);
  expect(channelOrder(maps, 1, "zero")).toEqual([0, 1]);
  expect(widestChannel(maps, 0)).toBe(0);
  expect(widestChannel(maps, 1)).toBe(4);
});

test("all zero, largest pixel, folding", () => {
  expect([0, 1, 2, 3].map((map) => isZero(maps, map))).toEqual([false, false, true, false]);
  expect(largestPixel(maps, 0)).toBe(2);
  expect(largestPixel(maps, 3)).toBe(0);
  expect([1, 10, 128, 4096].map(foldShape)).toEqual([
    [1, 1],
    [3, 4],
    [11, 12],
    [64, 64],
  ]);
});
