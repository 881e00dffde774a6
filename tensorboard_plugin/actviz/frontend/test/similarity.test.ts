import { expect, test } from "vitest";
import { stepAxis } from "../src/axis";
import { cellAt, edge } from "../src/draw/matrix";
import {
  adviceOn,
  alignedTo,
  beyond,
  extremePairs,
  formatCka,
  matrixCsv,
  nearestPoint,
  pointsAt,
  reachOf,
  turnedOnto,
} from "../src/similarity";
import { GramState, type Projection } from "../src/types";
import { Answers } from "../src/views/similarity/data";
import { framesOn } from "../src/views/similarity/history";

test("a cell says 1 only where it is, and never rounds a sign in", () => {
  const cases: [number, string][] = [
    [1, "1"],
    [0.99999999, "1"],
    [0.9996, "1.00"],
    [0.984, ".98"],
    [0.5, ".50"],
    [0, ".00"],
    [-0.001, ".00"],
    [-0.123, "\u2212.12"],
    [-1, "\u22121.00"],
    [Number.NaN, ""],
  ];
  for (const [value, text] of cases) expect(formatCka(value)).toBe(text);
});

test("least and most alike are of different things, and no NaN is either", () => {
  const cka = Float32Array.from([1, 0.2, Number.NaN, 0.2, 1, 0.7, Number.NaN, 0.7, 1]);
  expect(extremePairs(["a", "b", "c"], ["a", "b", "c"], cka)).toEqual({ least: [0, 1], most: [1, 2] });
  expect(extremePairs(["a"], ["a"], Float32Array.of(1))).toBeNull();
  expect(extremePairs([], [], new Float32Array())).toBeNull();
});

test("a matrix is saved with its names, and no name is a formula", () => {
  const cka = Float32Array.from([1, Number.NaN, 0.25, 0.5]);
  expect(matrixCsv("Layers", ['=1+"2"', "b,c"], ["x", "-y"], cka)).toBe(
    '"Layers","x","\'-y"\n"\'=1+""2""",1.000000,\n"b,c",0.2500000,0.5000000\n',
  );
  expect(matrixCsv("Steps", [5, 10], [5, 10], cka).split("\n")[0]).toBe('"Steps",5,10');
});

function turned(points: Float32Array, angle: number, mirror: number): Float32Array {
  const [cosine, sine] = [Math.cos(angle), Math.sin(angle)];
  return points.map((_, index) => {
    const [x, y] = [points[index & ~1] as number, (points[index | 1] as number) * mirror];
    return index % 2 === 0 ? cosine * x - sine * y : sine * x + cosine * y;
  });
}

const CLOUD = Float32Array.from([3, 0.5, -1, 2, -2, -2.5, 0.7, -1.1]);

function distance(one: Float32Array, other: Float32Array): number {
  return Math.hypot(...one.map((value, index) => value - (other[index] as number)));
}

test("points that were only turned or mirrored come back to where they were", () => {
  for (const mirror of [1, -1])
    for (const angle of [0, 0.3, 1.5, 3.1, -2])
      expect(distance(alignedTo(turned(CLOUD, angle, mirror), CLOUD), CLOUD)).toBeLessThan(1e-5);
});

test("no rotation or reflection brings points nearer than the alignment does", () => {
  const target = Float32Array.from([1, 2, -2, 0.1, 0.5, -3, 0.5, 0.9]);
  const found = distance(alignedTo(CLOUD, target), target);
  for (const mirror of [1, -1])
    for (let angle = 0; angle < 2 * Math.PI; angle += 0.01)
      expect(found).toBeLessThanOrEqual(distance(turned(CLOUD, angle, mirror), target) + 1e-4);
  expect(alignedTo(CLOUD, new Float32Array(8))).toEqual(CLOUD);
});

test("a run is turned as a whole onto another one, by the steps that both have and where both have a direction", () => {
  const history = (steps: number[], at: (step: number) => Float32Array): Projection => ({
    run: "",
    layer: "",
    samples: 4,
    logged: steps.length,
    steps: Float64Array.from(steps),
    points: Float32Array.from(steps.flatMap((step) => [...at(step)])),
    explained: new Float32Array(2 * steps.length),
    participation: new Float32Array(steps.length),
    effectiveRank: new Float32Array(steps.length),
    states: Uint8Array.from(steps, (step) => (step === 3 ? GramState.NonFinite : GramState.HasDirection)),
  });
  const shape = (step: number) => (step === 3 ? CLOUD.map(() => Number.NaN) : turned(CLOUD, step, 1));
  const target = history([1, 2, 3, 5, 8], shape);
  for (const mirror of [1, -1]) {
    const run = history([2, 3, 4, 5], (step) => turned(shape(step), 2, mirror));
    const found = turnedOnto(run, target);
    for (const [index, step] of [2, 3, 4, 5].entries())
      if (step !== 3) expect(distance(pointsAt(found, index), shape(step))).toBeLessThan(1e-5);
    expect(pointsAt(found, 1).every(Number.isNaN)).toBe(true);
  }
  expect(turnedOnto(target, { ...target, samples: 5 })).toBe(target);
  const elsewhere = history([7], shape);
  expect(turnedOnto(elsewhere, target)).toBe(elsewhere);
});

test("the plane holds all points, but for a few that are far out, and tells how many", () => {
  expect(reachOf(CLOUD)).toBeCloseTo(3 * 1.06);
  expect(beyond(CLOUD, reachOf(CLOUD))).toBe(0);
  const many = Float32Array.from({ length: 400 }, (_, index) => (index === 7 ? 1000 : Math.sin(index)));
  expect(reachOf(many)).toBeLessThan(2);
  expect(beyond(many, reachOf(many))).toBe(1);
  expect(reachOf(Float32Array.of(Number.NaN, Number.NaN))).toBe(1);
  expect(reachOf(new Float32Array(6))).toBe(1);
});

test("the nearest point is found, and none far away", () => {
  expect(nearestPoint(CLOUD, -1.1, 2.1, 1)).toBe(1);
  expect(nearestPoint(CLOUD, 9, 9, 1)).toBe(-1);
});

test("cells touch, fill their side, and are found again at each of their pixels", () => {
  for (const count of [1, 6, 61, 200, 325])
    for (let pixel = 0; pixel < 325; pixel += 0.25) {
      const cell = cellAt(pixel, count, 325);
      expect(edge(cell, count, 325)).toBeLessThanOrEqual(pixel);
      expect(edge(cell + 1, count, 325)).toBeGreaterThan(pixel);
    }
  expect([edge(0, 61, 325), edge(61, 61, 325), cellAt(-1, 6, 325), cellAt(325, 6, 325)]).toEqual([0, 325, -1, -1]);
});

test("frames stand near their steps, each step once, and none where a run has none", () => {
  const axis = stepAxis(0, 100, 1126);
  const steps = Array.from({ length: 11 }, (_, index) => index * 5);
  const frames = framesOn(axis, steps, 60, null);
  expect(new Set(frames.map(({ index }) => index)).size).toBe(frames.length);
  for (const { index, left } of frames) expect(Math.abs(axis.x(steps[index] as number) - left - 30)).toBeLessThan(100);
  expect(Math.max(...frames.map(({ left }) => left))).toBeLessThan(axis.x(70));
  expect(
    framesOn(
      stepAxis(0, 70, 1126),
      Array.from({ length: 15 }, (_, index) => index * 5),
      60,
      null,
    ),
  ).toHaveLength(15);
  expect(Math.min(...framesOn(axis, [80, 90, 100], 60, null).map(({ left }) => left))).toBeGreaterThan(axis.x(40));
  expect(framesOn(axis, [], 60, 3)).toEqual([]);
});

test("of many steps, the chosen one is the frame that it stands in", () => {
  const axis = stepAxis(0, 1000, 1126);
  const steps = Array.from({ length: 501 }, (_, index) => index * 2);
  const [without, chosen] = [framesOn(axis, steps, 60, null), framesOn(axis, steps, 60, 333)];
  const changed = chosen.filter(({ index }, place) => index !== without[place]?.index);
  expect(changed.map(({ index }) => Math.abs((steps[index] as number) - 333))).toEqual([1]);
  expect(chosen.map(({ left }) => left)).toEqual(without.map(({ left }) => left));
});

test("advice warns of the biased estimator where features outnumber samples", () => {
  expect(adviceOn("biased", 10, 10816)).toMatch(/biased upwards/);
  expect(adviceOn("biased", 64, 10)).not.toMatch(/biased upwards/);
  expect(adviceOn("unbiased", 10, 10816)).toMatch(/right for small probes/);
});

test("an answer is fetched once, kept while it is used, and a failure is not kept", async () => {
  const asked: number[] = [];
  let fails = false;
  const answers = new Answers<number, string>(async (query) => {
    asked.push(query);
    if (fails) throw new Error("gone");
    return `answer ${query}`;
  }, 2);
  expect(await Promise.all([answers.get(1), answers.get(1)])).toEqual(["answer 1", "answer 1"]);
  await answers.get(2);
  expect(answers.peek(1)).toBe("answer 1");
  await answers.get(3); // 2 was used longest ago
  expect([answers.peek(1), answers.peek(2), answers.peek(3)]).toEqual(["answer 1", undefined, "answer 3"]);
  fails = true;
  await expect(answers.get(4)).rejects.toThrow("gone");
  fails = false;
  expect(await answers.get(4)).toBe("answer 4");
  expect(asked).toEqual([1, 2, 3, 4, 4]);
});
