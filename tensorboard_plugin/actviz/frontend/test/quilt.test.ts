import { expect, test } from "vitest";
import { stepAxis } from "../src/axis";
import { laneOf, onScale, STATES, statDomain } from "../src/draw/quilt";
import { binOf, columnEdges, valueScale } from "../src/draw/values";

function lane(values: number[], { zero = [] as number[], nonfinite = [] as number[], width = 1000 } = {}) {
  const steps = values.map((_, index) => index);
  const fill = (given: number[]) => Float32Array.from(values, (_, index) => given[index] ?? 0);
  return laneOf(stepAxis(0, values.length - 1, width), steps, new Float32Array(values), fill(zero), fill(nonfinite));
}

test("every logged step has a column of its own where there is room", () => {
  const { value, from } = lane([1, 2, 3]);
  expect([...value]).toEqual([1, 2, 3]);
  expect([...from]).toEqual([0, 1, 2]);
});

test("where steps are denser than pixels, no extreme and no NaN vanishes", () => {
  const values = Array.from({ length: 20000 }, (_, index) => 1 + (index % 7) * 0.01);
  values[7777] = 50;
  values[9999] = -50;
  const nonfinite: number[] = [];
  nonfinite[12345] = 0.5;
  const { value, state, left } = lane(values, { nonfinite, width: 400 });
  expect(left.length).toBeLessThanOrEqual(400);
  expect(value).toContain(50);
  expect(value).toContain(-50);
  expect([...state].map((each) => STATES[each])).toContain("some nonfinite");
});

test("not logged, all zero, all NaN and partly NaN are told apart", () => {
  const { state } = lane([1, 0, Number.NaN, 2, Number.NaN], { zero: [0, 1], nonfinite: [0, 0, 1, 0.1, Number.NaN] });
  expect([...state].map((each) => STATES[each])).toEqual(["value", "zero", "nonfinite", "some nonfinite", "absent"]);
});

test("the domain is of all values: log where all are positive, 0 to 1 for fractions, linear with negatives", () => {
  const values = [new Float32Array([0.01, 0.1, 1, 10])];
  const log = statDomain(values, "rms", true);
  expect(log.log).toBe(true);
  expect(onScale(log, 10)).toBe(1);
  expect(onScale(log, 0.01)).toBeCloseTo(0);
  expect(statDomain(values, "zero", true)).toEqual({ low: 0, high: 1, log: false });
  expect(statDomain([new Float32Array([-1, 1])], "mean", true).log).toBe(false);
  expect(statDomain([new Float32Array([Number.NaN])], "rms", true)).toEqual({ low: 0, high: 1, log: false });
});

test("columns touch, and stop at a gap in the logged steps", () => {
  const steps = [...Array.from({ length: 50 }, (_, index) => index), 90, 91, 92];
  const axis = stepAxis(0, 92, 1000);
  const [left, right] = columnEdges(axis, steps);
  for (let index = 1; index < 50; index++) expect(left[index]).toBe(right[index - 1]);
  expect((left[50] as number) - (right[49] as number)).toBeGreaterThan(axis.x(85) - axis.x(50));
});

test("columns touch where logging grows sparser, as the default schedule does", () => {
  const steps = [...Array.from({ length: 100 }, (_, index) => index), 100, 110, 120, 130, 140];
  const [left, right] = columnEdges(stepAxis(0, 140, 1000), steps);
  for (let index = 102; index < steps.length; index++) expect(left[index]).toBe(right[index - 1]);
});

test("the value scale puts bins in order, zero between the signs, and one in the bin of its bits", () => {
  expect(binOf(1)).toBe(508);
  expect(binOf(1.25)).toBe(509);
  const histograms = {
    run: "a",
    layer: "b",
    steps: new Float64Array([0]),
    bins: new Int16Array([-508, 0, 508]),
    left: new Float64Array([-1.25, 0, 1]),
    right: new Float64Array([-1, 0, 1.25]),
    shares: new Float32Array([0.3, 0.3, 0.4]),
  };
  const scale = valueScale([histograms], 200);
  expect(scale.binTop(508)).toBeLessThan(scale.binTop(500));
  expect(scale.binTop(500)).toBeLessThan(scale.zeroTop);
  expect(scale.zeroBottom).toBeLessThanOrEqual(scale.binTop(-500));
  expect(scale.y(0)).toBeGreaterThan(scale.zeroTop);
  expect(scale.ticks.map((tick) => tick.value)).toContain(0);
});
