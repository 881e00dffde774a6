import { expect, test } from "vitest";
import { AXIS_LEFT, AXIS_RIGHT, nearestIndex, stepAxis } from "../src/axis";

test("first and last step stand at the edges, and pixels lead back to steps", () => {
  const axis = stepAxis(100, 300, 1000);
  expect(axis.x(100)).toBe(AXIS_LEFT);
  expect(axis.x(300)).toBe(1000 - AXIS_RIGHT);
  for (const step of [100, 123, 299]) expect(axis.step(axis.x(step))).toBeCloseTo(step);
});

test("one step alone does not divide by zero", () => {
  expect(Number.isFinite(stepAxis(5, 5, 800).x(5))).toBe(true);
});

test("the nearest logged step is found, as by looking at all", () => {
  const steps = [0, 5, 10, 40, 41, 1000];
  for (let wanted = -10; wanted < 1100; wanted += 0.5) {
    const best = Math.min(...steps.map((step) => Math.abs(step - wanted)));
    expect(Math.abs((steps[nearestIndex(steps, wanted)] as number) - wanted)).toBe(best);
  }
  expect(nearestIndex([], 3)).toBe(-1);
});
