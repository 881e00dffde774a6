import { expect, test } from "vitest";
import { stepAxis } from "../src/axis";
import { axisTicks, epochSpacing, timeSpacing } from "../src/spacing";
import type { Timeline } from "../src/types";

function timeline(steps: number[], times: number[], marks: [number, string][] = []): Timeline {
  return {
    run: "a",
    revision: "r",
    steps,
    wall_times_s: times,
    marks: marks.map(([step, text]) => ({ step, text, wall_time_s: 0 })),
    restarts: [],
  };
}

test("by time, steps stand as far apart as they were logged, and pixels lead back to steps", () => {
  const spacing = timeSpacing(timeline([0, 10, 20, 30], [100, 101, 103, 110]));
  const axis = stepAxis(0, 30, 1126, spacing);
  const plot = axis.right - axis.left;
  expect(axis.x(0)).toBe(axis.left);
  expect(axis.x(30)).toBe(axis.right);
  expect((axis.x(10) - axis.left) / plot).toBeCloseTo(0.1);
  expect((axis.x(25) - axis.left) / plot).toBeCloseTo(0.65);
  for (const step of [0, 3, 10, 17, 29]) expect(axis.step(axis.x(step))).toBeCloseTo(step);
  for (const step of [-5, 40]) expect(axis.step(axis.x(step))).toBeCloseTo(step);
});

test("where the clock goes back, at a restart, no step stands before its former one", () => {
  const axis = stepAxis(0, 20, 1000, timeSpacing(timeline([0, 5, 10, 15, 20], [1, 2, 500, 4, 5])));
  for (let step = 1; step <= 20; step++) expect(axis.x(step)).toBeGreaterThanOrEqual(axis.x(step - 1));
  expect(axis.x(20)).toBeGreaterThan(axis.x(15));
});

test("no time passed, and one step alone, are no spacing", () => {
  expect(timeSpacing(timeline([0, 1], [5, 5]))).toBeNull();
  expect(timeSpacing(timeline([0], [5]))).toBeNull();
  expect(epochSpacing(timeline([0, 9], [0, 1], [[0, "epoch 0"]]))).toBeNull();
});

test("by epoch, epochs are equally wide however many steps they have", () => {
  const marks: [number, string][] = [
    [0, "epoch 1"],
    [10, "epoch 2"],
    [15, "warm-up over"],
    [110, "epoch 3"],
  ];
  const axis = stepAxis(0, 110, 1000, epochSpacing(timeline([0, 110], [0, 1], marks)));
  expect(axis.x(10) - axis.x(0)).toBeCloseTo(axis.x(110) - axis.x(10));
  expect(axisTicks(axis.spacing, 0, 110, 2).map(({ step, label }) => [step, label])).toEqual([
    [0, "1"],
    [10, "2"],
    [110, "3"],
  ]);
});

test("without epochs all marks count, by their words; after a restart the later mark of an epoch holds", () => {
  const named = epochSpacing(
    timeline(
      [0, 50],
      [0, 1],
      [
        [0, "pretraining"],
        [40, "finetuning"],
      ],
    ),
  );
  expect(axisTicks(named, 0, 50, 5).map(({ label }) => label)).toEqual(["pretraining", "finetuning"]);
  const again = epochSpacing(
    timeline(
      [0, 50],
      [0, 1],
      [
        [0, "epoch 0"],
        [10, "epoch 1"],
        [20, "epoch 2"],
        [12, "epoch 1"],
        [22, "epoch 2"],
      ],
    ),
  );
  expect(Array.from(again?.steps ?? [])).toEqual([0, 12, 22]);
});

test("ticks of time are whole seconds, minutes, hours, and at their steps", () => {
  const spacing = timeSpacing(timeline([0, 100], [0, 7200]));
  const ticks = axisTicks(spacing, 0, 100, 4);
  expect(ticks.map(({ label }) => label)).toEqual(["0", "30\u2009min", "1\u2009h", "1\u2009h 30\u2009min", "2\u2009h"]);
  expect(ticks[1]?.step).toBeCloseTo(25);
});
