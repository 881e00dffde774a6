import { expect, test } from "vitest";
import { stepAxis } from "../src/axis";
import { edgesOf, laneOf, STATES } from "../src/draw/quilt";
import { binOf, columnEdges, valueScale } from "../src/draw/values";

function lane(values: number[], { zero = [] as number[], nonfinite = [] as number[], width = 1000 } = {}) {
  const steps = values.map((_, index) => index);
  const fill = (given: number[]) => Float32Array.from(values, (_, index) => given[index] ?? 0);
  const edges = edgesOf(stepAxis(0, values.length - 1, width), { steps: Float64Array.from(steps) });
  return laneOf(edges, new Float32Array(values), fill(zero), fill(nonfinite));
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

test("a finite layer whose statistic is not known is absent, not hatched as if its values were NaN", () => {
  const { state } = lane([1, Number.NaN, Number.NaN], { nonfinite: [0, 0, 0.1] });
  expect([...state].map((each) => STATES[each])).toEqual(["value", "absent", "some nonfinite"]);
});

test("the newest step and the oldest one are never lost, however dense the steps", () => {
  for (const bad of [0, 19999]) {
    const nonfinite: number[] = [];
    nonfinite[bad] = 1;
    const { state, left, width } = lane(
      Array.from({ length: 20000 }, () => 1),
      { nonfinite, width: 400 },
    );
    const cell = [...state].findIndex((each) => STATES[each] === "nonfinite");
    expect(cell).toBe(bad === 0 ? 0 : state.length - 1);
    expect(width[cell]).toBeGreaterThanOrEqual(1);
    expect(left[cell]).toBeLessThanOrEqual(400 - 82 - 1);
  }
});

test("zoomed, nothing beyond the ends of the axis is drawn, and every step within has its cell", () => {
  const steps = Float64Array.from({ length: 1000 }, (_, index) => index);
  const values = Float32Array.from(steps, (step) => (step === 99 || step === 201 ? 1e6 : step));
  const none = new Float32Array(1000);
  const { value, from } = laneOf(edgesOf(stepAxis(100, 200, 1000), { steps }), values, none, none);
  expect([...value]).toEqual(Array.from({ length: 101 }, (_, index) => 100 + index));
  expect([...from]).toEqual(Array.from({ length: 101 }, (_, index) => 100 + index));
});

test("columns of many steps touch, and stop at a gap wider than the steps within", () => {
  const columns = {
    first: Float64Array.of(0, 10, 50),
    last: Float64Array.of(9, 19, 59),
    count: Uint32Array.of(10, 10, 10),
  };
  const { left, right } = edgesOf(stepAxis(0, 59, 1000), { steps: Float64Array.of(4.5, 14.5, 54.5), columns });
  expect(left[1]).toBe(right[0]);
  expect((left[2] as number) - (right[1] as number)).toBeGreaterThan(200);
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

test("the value scale reaches down to where the values are, though few are far larger, as with gradients", () => {
  const shares = (typical: number, largest: number) => ({
    run: "a",
    layer: "b",
    steps: new Float64Array([0]),
    bins: new Int16Array([typical, largest]),
    left: new Float64Array(2),
    right: new Float64Array(2),
    shares: new Float32Array([0.99, 0.01]),
  });
  const rows = (typical: number, largest: number) => {
    const { lowest, highest } = valueScale([shares(typical, largest)], 200);
    return highest - lowest + 1;
  };
  expect(rows(500, 508)).toBe(40);
  expect(rows(440, 508)).toBe(72);
  expect(rows(100, 508)).toBe(96);
});
