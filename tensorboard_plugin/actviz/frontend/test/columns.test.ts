import { expect, test } from "vitest";
import { columnsFor, ofColumns } from "../src/columns";
import { differenceOf } from "../src/difference";
import { indexOfStep, mergeStats, rowOf } from "../src/stats";
import type { Stats } from "../src/types";

function gathered(low: number[], high: number[], first: number[], last: number[]): Stats {
  const zeros = new Float32Array(low.length);
  const answer = ofColumns(["conv"], {
    first: Float64Array.from(first),
    last: Float64Array.from(last),
    count: Uint32Array.from(first, (step, index) => (last[index] as number) - step + 1),
    values_min: Float32Array.from(low),
    values_max: Float32Array.from(high),
    zero_max: zeros,
    nonfinite_max: zeros,
  });
  return { run: "a", revision: "1.1", of: "activations", stat: "rms", layers: ["conv"], ...answer };
}

function full(steps: number[], values: number[], run = "a"): Stats {
  const zeros = new Float32Array(values.length);
  return {
    run,
    revision: "1.2",
    of: "activations",
    stat: "rms",
    layers: ["conv"],
    steps: Float64Array.from(steps),
    values: Float32Array.from(values),
    zero: zeros,
    nonfinite: zeros,
  };
}

test("a column shows its extreme that is farther from the row's median, above or below", () => {
  const stats = gathered([1, -9, 1, 1], [1.1, 1.1, 20, 1.1], [0, 10, 20, 30], [9, 19, 29, 39]);
  expect(Array.from(stats.values, Math.fround)).toEqual([1.1, -9, 20, 1.1].map(Math.fround));
});

test("a column is never taken for one of its steps, unless it is one", () => {
  const stats = gathered([1, 2, 3], [1, 2, 3], [0, 10, 20], [9, 11, 20]);
  for (let step = 0; step < 20; step++) expect(indexOfStep(stats.steps, step)).toBe(-1);
  expect(indexOfStep(stats.steps, 20)).toBe(2);
});

test("few steps are asked for one by one, many in columns that stay within the limit of an answer", () => {
  expect(columnsFor(1000, 50)).toBeNull();
  expect(columnsFor(4096, 100)).toBeNull();
  for (const [steps, layers] of [
    [5000, 10],
    [20000, 200],
    [1e6, 2000],
  ] as const) {
    const columns = columnsFor(steps, layers);
    expect(columns).not.toBeNull();
    expect((columns as number) * layers).toBeLessThanOrEqual(1 << 22);
    expect(columns).toBeLessThanOrEqual(4096);
  }
});

test("new steps are added behind the columns, one by one", () => {
  const merged = mergeStats(gathered([1, 2], [1, 2], [0, 10], [9, 19]), full([20, 30], [7, 8]));
  expect([...rowOf(merged, "conv")]).toEqual([1, 2, 7, 8]);
  expect([...(merged.columns?.first ?? [])]).toEqual([0, 10, 20, 30]);
  expect([...(merged.columns?.last ?? [])]).toEqual([9, 19, 20, 30]);
  expect([...(merged.columns?.count ?? [])]).toEqual([10, 10, 1, 1]);
  expect(indexOfStep(merged.steps, 30)).toBe(3);
});

test("a difference is of the steps that both runs logged, and of single steps only", () => {
  const difference = differenceOf(full([0, 5, 10], [1, 2, 3]), full([5, 10, 15], [2.5, 1, 9], "b"));
  expect([...(difference?.steps ?? [])]).toEqual([5, 10]);
  expect([...(difference?.values ?? [])]).toEqual([0.5, -2]);
  expect(differenceOf(full([0], [1]), gathered([1], [2], [0], [9]))).toBeNull();
});

test("a difference is not finite, or not logged, where either is not", () => {
  const [base, other] = [full([0, 1, 2], [1, 1, 1]), full([0, 1, 2], [1, 1, 1])];
  base.nonfinite = Float32Array.of(0, 0.5, 0);
  other.nonfinite = Float32Array.of(0, 0, Number.NaN);
  expect([...(differenceOf(base, other)?.nonfinite ?? [])]).toEqual([0, 0.5, Number.NaN]);
});
