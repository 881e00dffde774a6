import { expect, test } from "vitest";
import { indexOfStep, mergeStats, rowOf } from "../src/stats";
import type { Stats } from "../src/types";

function stats(layers: string[], steps: number[], values: number[]): Stats {
  const matrix = new Float32Array(values);
  return {
    run: "a",
    revision: "r",
    of: "activations",
    stat: "rms",
    layers,
    steps: new Float64Array(steps),
    values: matrix,
    zero: matrix,
    nonfinite: matrix,
  };
}

test("merging adds new steps and layers, and takes the fresh value of a step logged anew", () => {
  const known = stats(["conv", "fc"], [0, 10], [1, 2, 3, 4]);
  const merged = mergeStats(known, stats(["conv", "new"], [5, 10], [7, 8, 9, 10]));
  expect([...merged.steps]).toEqual([0, 5, 10]);
  expect([...rowOf(merged, "conv")]).toEqual([1, 7, 8]);
  expect([...rowOf(merged, "fc")]).toEqual([3, Number.NaN, 4]);
  expect([...rowOf(merged, "new", "zero")]).toEqual([Number.NaN, 9, 10]);
  expect([...rowOf(merged, "absent")]).toEqual([]);
});

test("a step that was not logged has no index", () => {
  const steps = [0, 5, 10, 20];
  expect([0, 5, 7, 20, 30].map((step) => indexOfStep(steps, step))).toEqual([0, 1, -1, 3, -1]);
  expect(indexOfStep(steps, null)).toBe(-1);
});
