import { expect, test } from "vitest";
import { indexRange, stepAxis } from "../src/axis";
import { density } from "../src/draw/timeline";
import { decodeRange } from "../src/url";
import { movedTo } from "../src/zoom";

const steps = [0, 5, 10, 15, 20, 25, 30];

test("the steps of a range are found, as by looking at all", () => {
  for (let first = -3; first < 40; first++)
    for (let last = first; last < 40; last++) {
      const [from, to] = indexRange(steps, first, last);
      expect(steps.slice(from, to)).toEqual(steps.filter((step) => step >= first && step <= last));
    }
});

test("the range moves along as little as needed, and keeps its number of steps", () => {
  expect(movedTo(steps, 10, 20, 15)).toEqual([10, 20]);
  expect(movedTo(steps, 10, 20, 25)).toEqual([15, 25]);
  expect(movedTo(steps, 10, 20, 0)).toEqual([0, 10]);
  expect(movedTo(steps, 10, 20, 30)).toEqual([20, 30]);
  expect(movedTo(steps, 0, 1000, 2000)).toEqual([0, 30]);
});

test("a range in the URL is two whole numbers in order, or none", () => {
  expect(decodeRange("100..400")).toEqual([100, 400]);
  expect(decodeRange("-5..3")).toEqual([-5, 3]);
  for (const bad of ["", "5", "5..", "9..3", "a..b", "1..2..3"]) expect(decodeRange(bad)).toBeNull();
});

test("every logged step counts at its pixel, and none beyond the range in view", () => {
  const dense = Array.from({ length: 10000 }, (_, index) => index);
  const sum = (counts: Uint32Array) => counts.reduce((total, count) => total + count, 0);
  expect(sum(density(stepAxis(0, 9999, 500), dense))).toBe(10000);
  expect(sum(density(stepAxis(100, 199, 500), dense))).toBe(100);
});
