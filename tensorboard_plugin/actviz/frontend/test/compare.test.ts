import { expect, test } from "vitest";
import { rowShares } from "../src/draw/overlay";
import { valueScale } from "../src/draw/values";
import { sameInputs } from "../src/inputs";
import type { Channels, Differences, Histograms, Inputs, LayerStats, Maps, Matching } from "../src/types";
import { geometry, tileAt } from "../src/views/compare/geometry";
import { rankChannels, rankLayers } from "../src/views/compare/rank";
import {
  differenceLimits,
  mismatch,
  pairTiles,
  sharedLimits,
  tileIsZero,
  tilesOf,
  tileValue,
} from "../src/views/compare/tiles";

/** Two samples, channels 0, 2, 5 of 1 x 2 pixels, with values code / 10 * scale. */
function maps(scale: number, codes: number[], more: Partial<Maps> = {}): Maps {
  return {
    source: "probe",
    layout: "channels",
    shape: [2, 6, 1, 2],
    samples: [0, 7],
    channels: [0, 2, 5],
    units: null,
    pool: [1, 1],
    height: 1,
    width: 2,
    data: new Uint8Array(codes),
    low: new Float32Array(6),
    high: new Float32Array(6).fill(25.4 * scale),
    mean: new Float32Array(6),
    ...more,
  };
}
const one = maps(1, [1, 2, 3, 4, 5, 6, 10, 20, 30, 40, 50, 60]);
const other = maps(2, [1, 1, 0, 0, 255, 6, 10, 10, 10, 10, 10, 10], { channels: [5, 0, 2] });
const history = (limit: number | null) => ({ abs_limit: limit }) as LayerStats;
const pixels = (which: Maps, sample: number, position: number) =>
  [0, 1].map((pixel) => tileValue(tilesOf(which, sample), position, pixel));

test("a tile is a channel of the sample, or a unit of a vector", () => {
  expect(pixels(one, 1, 2)[0]).toBeCloseTo(5);
  expect(pixels(one, 1, 2)[1]).toBeCloseTo(6);
  const vector = { ...one, layout: "vector" as const, channels: [0], units: [4, 9], low: new Float32Array(2) };
  const tiles = tilesOf(vector, 1);
  expect([tiles.names, tiles.rows, tiles.columns]).toEqual([[4, 9], 1, 1]);
  expect(tileValue(tiles, 1, 0)).toBeCloseTo(0.4);
});

test("only a tile that is zero throughout is dead; NaN is not zero", () => {
  expect([0, 1, 2].map((position) => tileIsZero(tilesOf(other, 0), position))).toEqual([false, true, false]);
  expect(pixels(other, 0, 2)[0]).toBeNaN();
});

test("channels stand beside those of the same number, in whichever order the records keep them", () => {
  const pairs = pairTiles(tilesOf(one, 0), tilesOf(other, 0), null);
  expect(pairs.map(({ name, a, b }) => [name, a, b])).toEqual([
    [0, 0, 1],
    [2, 1, 2],
    [5, 2, 0],
  ]);
  const fewer = pairTiles(tilesOf(one, 0), tilesOf({ ...other, channels: [5, 1, 2] }, 0), null);
  expect([fewer[0]?.b, fewer[0]?.partner]).toEqual([-1, null]);
});

const matching: Matching = {
  channels: new Uint32Array([0, 5]),
  partners: new Uint32Array([2, 0]),
  correlation: new Float32Array([0.5, 0.25]),
  values: 4,
};

test("matched channels stand beside their partners, and one without a partner beside none, at the end", () => {
  const pairs = pairTiles(tilesOf(one, 0), tilesOf(other, 0), matching);
  expect(pairs.map(({ name, partner, b, correlation }) => [name, partner, b, correlation])).toEqual([
    [0, 2, 2, 0.5],
    [5, 0, 1, 0.25],
    [2, null, -1, null],
  ]);
});

test("what cannot be laid over each other is said in words", () => {
  expect(mismatch(one, other, false)).toBeNull();
  expect(mismatch(one, maps(1, [], { layout: "sequence" }), false)).toContain("of different kinds");
  expect(mismatch(one, maps(1, [], { width: 3, shape: [2, 6, 1, 3] }), true)).toContain("6 × 1 × 2, B 6 × 1 × 3");
  expect(mismatch(one, maps(1, [], { pool: [2, 2] }), true)).toContain("different sizes");
  const wider = maps(1, [], { shape: [2, 9, 1, 2] });
  expect(mismatch(one, wider, false)).toContain("Match them by correlation");
  expect(mismatch(one, wider, true)).toBeNull();
});

test("inputs are the same, different, or cannot be told; two batches that cannot be drawn are different", () => {
  const inputs = (codes: number[], labels: string[] | null = null) => ({ ...maps(1, codes), labels }) as Inputs;
  const blank = { data: undefined, labels: null } as unknown as Inputs;
  const probe = ["probe", "probe"] as const;
  expect(sameInputs(inputs([1]), inputs([1]), probe)).toBe("same");
  expect(sameInputs(inputs([1]), inputs([2]), probe)).toBe("different");
  expect(sameInputs(inputs([1], ["a"]), inputs([1], ["b"]), probe)).toBe("different");
  expect(sameInputs(inputs([1]), inputs([1]), ["probe", "train"])).toBe("different");
  expect(sameInputs(blank, blank, probe)).toBe("unknown");
  expect(sameInputs(blank, inputs([1]), probe)).toBe("different");
  expect(sameInputs(null, null, ["train", "train"])).toBe("different");
  const digested = (digest: string, labels: string[] | null = null) => ({ ...blank, digest, labels }) as Inputs;
  expect(sameInputs(digested("a"), digested("a"), probe)).toBe("same");
  expect(sameInputs(digested("a"), digested("b"), probe)).toBe("different");
  expect(sameInputs(digested("a", ["x"]), digested("a"), probe)).toBe("different");
  expect(sameInputs(digested("a"), blank, probe)).toBe("unknown");
});

test("A and B share one symmetric scale, locked to both runs; the difference has its own", () => {
  expect(sharedLimits(one, other, [history(3), history(4)], true)).toEqual({ low: -4, high: 4, clips: true });
  expect(sharedLimits(one, other, [history(3), history(60)], true).clips).toBe(false);
  expect(sharedLimits(one, other, [history(3), null], false).high).toBeCloseTo(50.8);
  expect(sharedLimits(one, other, [null, null], true).high).toBeCloseTo(50.8);
  const [a, b] = [tilesOf(one, 1), tilesOf(other, 1)];
  const pairs = pairTiles(a, b, null);
  const locked = differenceLimits(a, b, pairs, { low: -3, high: 3, clips: true }, true);
  expect(locked).toEqual({ low: -3, high: 3, clips: true });
  const own = differenceLimits(a, b, pairs, { low: -9, high: 9, clips: false }, false);
  expect(own.high).toBeCloseTo(4);
  expect(own.low).toBe(-own.high);
});

test("tiles have the largest whole magnification that fits, and are found again where they stand", () => {
  const places = geometry(16, 26, 26, 250, 500, false);
  expect(places.cell).toBe(2);
  expect(places.across * places.wide).toBeLessThanOrEqual(250 - places.gutter + 6);
  expect(places.top + places.down * places.tall - 6).toBeLessThanOrEqual(500);
  const shape = { count: 16, rows: 26, columns: 26 };
  const x = places.gutter + places.wide + 3 * places.cell;
  expect(tileAt(places, shape, x, places.top + places.tall + 2 * places.cell)).toEqual({
    tile: places.across + 1,
    pixel: 2 * 26 + 3,
  });
  expect(tileAt(places, shape, places.gutter + 26 * places.cell + 1, 3)).toBeNull();
  expect(tileAt(places, shape, 3, 3)).toBeNull();
  for (const count of [1, 10, 4096, 100_000]) {
    const units = geometry(count, 1, 1, 240, 300, false);
    expect(units.cell).toBeGreaterThanOrEqual(1);
    expect(units.across * units.down).toBeGreaterThanOrEqual(count);
  }
});

test("numbers stand below the tiles where that leaves room for larger ones, and else left of the rows", () => {
  // Beside: (232 - 28 + 6) / 58 = 3 a row, 6 rows of 58 px. Below: (232 - 1 + 6) / 58 = 4 a row, 4 rows of 72 px.
  expect(geometry(16, 26, 26, 232, 316, false)).toMatchObject({ cell: 2, across: 4, down: 4, caption: true });
  expect(geometry(16, 26, 26, 250, 500, false)).toMatchObject({ cell: 2, across: 3, caption: false });
  expect(geometry(16, 26, 26, 250, 500, true).caption).toBe(true);
  // 3 x 4 units of 71 px and a gap of 1.
  expect(geometry(10, 1, 1, 232, 316, false)).toMatchObject({ cell: 72, across: 3, down: 4 });
});

const differences = (change: number[], nonfinite = [0, 0, 0, 0, 0, 0]): Differences => ({
  run: "a",
  step: 0,
  other_run: "b",
  other_step: 0,
  measure: "rms",
  layers: ["x", "y", "z"],
  missing: [[], []],
  change: new Float32Array(change),
  rms: new Float32Array([1, 2, 3, 4, 5, 6]),
  mean: new Float32Array(6),
  nonfinite: new Float32Array(nonfinite),
});

test("layers are ranked by the size of their change; what broke on one side comes first, what cannot be told last", () => {
  const ranked = rankLayers(differences([0.5, -2, Number.NaN]));
  expect(ranked.map(({ name }) => name)).toEqual(["y", "x", "z"]);
  expect(ranked.map(({ share }) => share)).toEqual([1, 0.25, 0]);
  expect(ranked[0]?.rms).toEqual([2, 5]);
  expect(rankLayers(differences([0.5, Number.POSITIVE_INFINITY, 1])).map(({ name }) => name)).toEqual(["y", "z", "x"]);
  const broken = rankLayers(differences([0.5, -2, Number.NaN], [0, 0.1, 0, 0, 0.1, 0.2]));
  expect(broken.map(({ name, nonfinite }) => [name, nonfinite])).toEqual([
    ["z", "B"],
    ["y", "AB"],
    ["x", ""],
  ]);
});

const channels = (names: number[], mean: number[], zero: number[]): Channels => ({
  run: "a",
  layer: "x",
  steps: new Float64Array([0, 5]),
  channels: new Uint32Array(names),
  mean: new Float32Array(mean),
  max: new Float32Array(mean.length),
  zero: new Float32Array(zero),
  dead_since: [],
});

test("channels are ranked by the change of their means at each side's own step; dead ones are marked", () => {
  const a = channels([0, 2, 5], [9, 9, 9, 1, 2, 3], [0, 0, 0, 0, 0, 1]);
  const b = channels([0, 5, 2], [4, 0, 2.5, 9, 9, 9], [0, 1, 0, 0, 0, 0]);
  const ranked = rankChannels(a, 5, b, 0, null);
  expect(ranked.map(({ name, change }) => [name, change])).toEqual([
    [0, 3],
    [5, -3],
    [2, 0.5],
  ]);
  expect(ranked[1]?.dead).toEqual([true, true]);
  expect(rankChannels(a, 5, b, 0, matching).map(({ name, partner, mean }) => [name, partner, ...mean])).toEqual([
    [0, 2, 1, 2.5],
    [5, 0, 3, 4],
  ]);
  expect(rankChannels(a, 6, b, 0, null)).toEqual([]);
  const broken = channels([0, 2, 5], [4, Number.NaN, 2.5, 9, 9, 9], [0, 0, 0, 0, 0, 0]);
  expect(rankChannels(a, 5, broken, 0, null).map(({ name }) => name)).toEqual([2, 0, 5]);
});

test("the outline holds every share, the smallest magnitudes in the innermost rows, and zeros apart", () => {
  const histograms = {
    steps: new Float64Array([0]),
    bins: new Int16Array([-510, -300, 0, 100, 508]),
    shares: new Float32Array([0.1, 0.2, 0.3, 0.15, 0.25]),
  } as Histograms;
  const scale = valueScale([histograms], 100);
  const { rows, zero } = rowShares({ letter: "A", colour: "", histograms, index: 0 }, scale);
  expect(zero).toBeCloseTo(0.3);
  expect(rows.reduce((sum, share) => sum + share, 0)).toBeCloseTo(0.7);
  const side = scale.highest - scale.lowest + 1;
  expect(rows[0]).toBeCloseTo(0.1); // the outermost negative
  expect(rows[side - 1]).toBeCloseTo(0.2);
  expect(rows[side]).toBeCloseTo(0.15);
  expect(rows[2 * side - 3]).toBeCloseTo(0.25);
});
