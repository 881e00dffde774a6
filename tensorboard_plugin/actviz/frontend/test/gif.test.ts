import { expect, test } from "vitest";
import { stepsTaken } from "../src/gif";

const steps = Array.from({ length: 1000 }, (_, index) => index * 5);

test("a GIF takes every step where they are few", () => {
  expect(stepsTaken([0, 5, 10], 1e6)).toEqual([0, 5, 10]);
  expect(stepsTaken([], 1e6)).toEqual([]);
});

test.each([
  [100, 240],
  [1e6, 100],
  [30e6, 3],
  [1e9, 2],
])("of many steps, in pictures of %d pixels, it takes %d, both ends among them, evenly spaced", (pixels, count) => {
  const taken = stepsTaken(steps, pixels);
  expect(taken).toHaveLength(count);
  expect(taken[0]).toBe(0);
  expect(taken.at(-1)).toBe(4995);
  const gaps = taken.slice(1).map((step, index) => step - (taken[index] as number));
  expect(Math.max(...gaps) - Math.min(...gaps)).toBeLessThanOrEqual(5);
});
