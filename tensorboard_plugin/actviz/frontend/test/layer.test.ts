import { describe, expect, test } from "vitest";
import { maxPooled, placesOf, tokenOf, weightsOf } from "../src/attention";
import { depthIn, depthsOf } from "../src/depths";
import { changeOf, channelOrder, scaleLimits, strongestPixels, unitAt, unitedLimits, windowed } from "../src/maps";
import { pixelHistogram, topSample } from "../src/pixels";
import { depth } from "../src/state";
import type { Attention, Channels, LayerInfo, LayerStats, Maps } from "../src/types";
import { deadSinceAt, deadThroughout, lifeEvents, lifeSummary, lifeWords, mostChanged } from "../src/views/layer/life";
import { fittingText, GAP, tiling } from "../src/views/layer/tiling";

/** Maps of [samples][channels][pixels], each quantised on its own range, one row high. */
function mapsOf(values: readonly (readonly (readonly number[])[])[], channels: number[]): Maps {
  const flat = values.flat();
  const low = Float32Array.from(flat, (map) => Math.min(...map.filter(Number.isFinite)));
  const high = Float32Array.from(flat, (map) => Math.max(...map.filter(Number.isFinite)));
  const width = flat[0]?.length ?? 0;
  const data = Uint8Array.from(
    flat.flatMap((map, index) => {
      const [from, to] = [low[index] as number, high[index] as number];
      return map.map((value) =>
        Number.isNaN(value) ? 255 : to > from ? Math.round(((value - from) / (to - from)) * 254) : 0,
      );
    }),
  );
  const mean = Float32Array.from(flat, (map) => map.reduce((sum, value) => sum + value, 0) / width);
  const samples = values.map((_, index) => index);
  const shape = [values.length, channels.length, 1, width];
  return {
    source: "probe",
    layout: "channels",
    shape,
    samples,
    channels,
    units: null,
    pool: [1, 1],
    height: 1,
    width,
    data,
    low,
    high,
    mean,
  };
}

function channelsOf(zero: number[][], mean: number[][] = zero): Channels {
  const names = zero[0]?.map((_, index) => index * 2) ?? [];
  return {
    run: "a",
    layer: "relu",
    steps: Float64Array.from(zero, (_, index) => index * 10),
    channels: Uint32Array.from(names),
    mean: Float32Array.from(mean.flat()),
    max: new Float32Array(zero.flat().length),
    zero: Float32Array.from(zero.flat()),
    dead_since: [],
  };
}

describe("the contrast window", () => {
  const maps = mapsOf([[[-3, 0, 5]]], [0]);
  const base = scaleLimits("layer", "grey", maps, 0, null);

  test("takes the place of the limits, and says where it clips", () => {
    expect(windowed(base, null, false, maps)).toBe(base);
    expect(windowed(base, [-1, 2], false, maps)).toEqual({ low: -1, high: 2, clips: true });
    expect(windowed(base, [-3, 5], false, maps)).toEqual({ low: -3, high: 5, clips: false });
  });

  test("is symmetric where zero has to stay in the middle", () => {
    expect(windowed(base, [-1, 2], true, maps)).toEqual({ low: -2, high: 2, clips: true });
    expect(windowed(base, [0, 0], true, maps)).toBe(base);
  });
});

test("limits over runs are the widest of each run", () => {
  const of = (abs_limit: number | null, low_limit: number | null, high_limit: number | null) =>
    ({ abs_limit, low_limit, high_limit }) as LayerStats;
  expect(unitedLimits([of(2, -2, 1), of(3, 0, 3), of(null, null, null)])).toEqual(of(3, -2, 3));
  expect(unitedLimits([of(null, null, null)])).toEqual(of(null, null, null));
  const maps = mapsOf([[[-3, 0, 5]]], [0]);
  expect(scaleLimits("runs", "activations", maps, 0, of(4, -2, 4))).toEqual({ low: -4, high: 4, clips: true });
});

describe("change since the reference", () => {
  const before = mapsOf(
    [
      [
        [0, 1, 2],
        [0, 0, 4],
        [1, 1, 1],
      ],
    ],
    [3, 5, 7],
  );
  const now = mapsOf(
    [
      [
        [0, 0, 4],
        [0, 1, 2],
        [2, 2, 5],
      ],
    ],
    [5, 3, 9],
  );

  test("is the RMS of the difference, channel for channel", () => {
    expect(changeOf(now, before, 0, 0)).toBe(0);
    expect(changeOf(now, mapsOf([[[3, 0, 0]]], [5]), 0, 0)).toBeCloseTo(Math.sqrt((9 + 16) / 3), 1);
    expect(changeOf(now, before, 0, 2)).toBeNaN();
  });

  test("orders the channels, those without a former map last", () => {
    const moved = mapsOf(
      [
        [
          [0, 0, 5],
          [0, 1, 9],
          [2, 2, 5],
        ],
      ],
      [5, 3, 9],
    );
    expect(channelOrder(moved, 0, "change", before)).toEqual([1, 0, 2]);
    expect(channelOrder(moved, 0, "change", null)).toEqual([0, 1, 2]);
  });
});

describe("the life of channels", () => {
  // Channel 0 dies at 20 and revives at 40; 2 is born at 10; 4 dies at 40; 6 lives; 8 is not logged at 20.
  const channels = channelsOf([
    [0, 1, 0.5, 0, 1],
    [0.9, 0, 0, 0, 1],
    [1, 0, 0, 0, Number.NaN],
    [1, 0, 0, 0, 1],
    [0, 0, 1, 0, 0],
  ]);
  const events = lifeEvents(channels);

  test("is birth, death and revival, by step", () => {
    expect(events.map(({ channel, step, kind }) => `${channel} ${kind} ${step}`)).toEqual([
      "2 born 10",
      "0 died 20",
      "0 revived 40",
      "4 died 40",
      "8 born 40",
    ]);
    expect(lifeSummary(events, 0)).toBe("2 born, 2 died, 1 revived");
    expect(lifeSummary(events, 3)).toBe("2 born, 2 died, 1 revived, 3 dead from the start");
    expect(lifeSummary([], 0)).toBe("");
  });

  test("never began where every logged value is zero", () => {
    const never = channelsOf([
      [1, 1, Number.NaN, 0.5, Number.NaN],
      [1, Number.NaN, Number.NaN, 1, 1],
    ]);
    expect(deadThroughout(never)).toEqual([0, 2, 8]);
    expect(deadThroughout(channels)).toEqual([]);
  });

  test("is told in words for a channel and a step", () => {
    expect(lifeWords(channels, events, 0, 0)).toBe("alive, died at 20");
    expect(lifeWords(channels, events, 0, 3)).toBe("dead since 20, revived at 40");
    expect(lifeWords(channels, events, 0, 4)).toBe("revived at 40");
    expect(lifeWords(channels, events, 1, 0)).toBe("dead from the first step on, born at 10");
    expect(lifeWords(channels, events, 3, 1)).toBe("alive");
    expect(lifeWords(channels, events, 4, 2)).toBe("not logged");
  });

  test("says since when a channel is dead, a gap in the log aside", () => {
    expect([...deadSinceAt(channels, 3)]).toEqual([
      [0, 20],
      [8, 0],
    ]);
    expect([...deadSinceAt(channels, 4)]).toEqual([[4, 40]]);
    expect(deadSinceAt(channels, 2).has(8)).toBe(false);
    expect(deadSinceAt(channels, -1).size).toBe(0);
  });
});

test("the most changed channels are those whose mean moved farthest", () => {
  const channels = channelsOf(
    [
      [0, 0, 0],
      [0, 0, 0],
    ],
    [
      [1, 5, -1],
      [1, 4, 3],
    ],
  );
  expect(mostChanged(channels, 1, 0, 5)).toEqual([2, 1]);
  expect(mostChanged(channels, 1, 0, 1)).toEqual([2]);
});

describe("a channel's own histogram", () => {
  test("counts zeros and what is not finite apart, and puts what lies beyond into the outermost bins", () => {
    const maps = mapsOf([[[0, 0, 1, 2]], [[0, Number.NaN, 3, 4]]], [6]);
    const found = pixelHistogram(maps, 0, { low: 0, high: 2, clips: true }, 2);
    expect([found.count, found.nonfinite]).toEqual([8, 1]);
    expect(found.zero).toBeCloseTo(3 / 7);
    expect([found.below, found.above]).toEqual([false, true]);
    expect([...found.shares].map((share) => Math.round(share * 7))).toEqual([0, 4]);
  });

  test("has no bar of zeros where the lowest value is not zero", () => {
    const found = pixelHistogram(mapsOf([[[-1, 0, 1]]], [0]), 0, { low: -1, high: 1, clips: false }, 2);
    expect(found.zero).toBe(0);
    expect(found.shares[0]).toBeCloseTo(1 / 3);
  });

  test("of nothing but zeros is all zeros", () => {
    expect(pixelHistogram(mapsOf([[[0, 0]]], [0]), 0, { low: -1, high: 1, clips: false }, 4).zero).toBe(1);
  });
});

test("the top sample has the largest mean; there is none where all are alike", () => {
  const maps = mapsOf(
    [
      [
        [0, 1],
        [0, 0],
      ],
      [
        [5, 5],
        [0, 0],
      ],
      [
        [-9, 2],
        [0, 0],
      ],
    ],
    [0, 1],
  );
  expect(topSample(maps, 0)).toBe(1);
  expect(topSample(maps, 1)).toBeNull();
});

describe("attention", () => {
  const weights = (rows: number[][][]): Attention => {
    const flat = mapsOf(
      [rows.map((head) => head.flat())],
      rows.map((_, head) => head * 3),
    );
    const [height, width] = [rows[0]?.length ?? 0, rows[0]?.[0]?.length ?? 0];
    return {
      ...flat,
      height,
      width,
      shape: [1, rows.length, height, width],
      queries: null,
      entropy: new Float32Array(),
      largest_logit: new Float32Array(),
    };
  };

  test("belongs to the layer of the same name, and to the parts of it and the module round it", () => {
    const places = ["block.attn", "flash/sdpa", "block.attn2"];
    expect(placesOf("block.attn[0]", places)).toEqual(["block.attn"]);
    expect(placesOf("flash/sdpa", places)).toEqual(["flash/sdpa"]);
    expect(placesOf("block", places)).toEqual(["block.attn", "block.attn2"]);
    expect(placesOf("block.attn.out", places)).toEqual(["block.attn"]);
    expect(placesOf("block.at", places)).toEqual([]);
  });

  test("is read for one head, or as the mean over heads", () => {
    const attention = weights([
      [
        [1, 0],
        [0.5, 0.5],
      ],
      [
        [0, 1],
        [0, 1],
      ],
    ]);
    expect([...weightsOf(attention, 0, 1)]).toEqual([0, 1, 0, 1]);
    for (const [index, value] of [0.5, 0.5, 0.25, 0.75].entries())
      expect(weightsOf(attention, 0, null)[index]).toBeCloseTo(value);
  });

  test("of a long sequence keeps the largest weight of each block, and what is not finite only where nothing else is", () => {
    const nan = Number.NaN;
    const rows = [
      [1, 2, 3, 4, nan],
      [9, 5, 6, nan, 7],
      [8, nan, nan, nan, nan],
    ];
    const reduced = maxPooled(Float32Array.from(rows.flat()), 3, 5, 3);
    expect([reduced.rows, reduced.columns, reduced.factors]).toEqual([3, 3, [1, 2]]);
    expect([...reduced.values]).toEqual([2, 4, nan, 9, 6, 7, 8, nan, nan]);
    expect(maxPooled(new Float32Array(4), 2, 2).factors).toEqual([1, 1]);
    expect(maxPooled(new Float32Array(300 * 300), 300, 300)).toMatchObject({
      rows: 100,
      columns: 100,
      factors: [3, 3],
    });
  });

  test("has a token only where each position has one, white space made visible", () => {
    expect(tokenOf(["a", " b"], 2, 1, 1)).toBe("␣b");
    expect(tokenOf(["a", "b", "c\n"], 3, 1, 2)).toBe("c⏎…");
    expect(tokenOf(["a"], 2, 0, 1)).toBeNull();
    expect(tokenOf(null, 2, 0, 1)).toBeNull();
  });
});

describe("the grid of maps", () => {
  test("has the largest whole magnification that fits, as few maps in a row as the height allows", () => {
    // 52 px: rows of 6 and of 5 leave their captions 64 and 77 px, rows of 4 have room: 4 x 68 = 272 px.
    expect(tiling(16, 26, 26, 400, 280)).toEqual({ columns: 4, cell: 2, wide: 92, tall: 68 });
    expect(tiling(16, 26, 26, 400, 210)).toMatchObject({ columns: 6, cell: 2, wide: 68 });
  });

  test("grows by a tenth where the maps are then larger by a whole", () => {
    // 2 x 2 maps of 128 px and 16 px of caption: 288 px.
    expect(tiling(4, 32, 32, 350, 268)).toMatchObject({ columns: 2, cell: 4 });
    expect(tiling(4, 32, 32, 350, 260)).toMatchObject({ columns: 2, cell: 3 });
  });

  test("never makes a map smaller than it is, nor a tile without room for its name", () => {
    expect(tiling(64, 60, 60, 100, 100)).toEqual({ columns: 1, cell: 1, wide: 92, tall: 76 });
    expect(tiling(500, 4, 4, 300, 100)).toMatchObject({ columns: 7, cell: 1, wide: 44 });
  });

  test("has a gap between the captions: what does not fit beside the name is shortened or left out", () => {
    const widthOf = (text: string) => text.length * 7;
    const texts = ["⊘ since 10", "⊘"];
    expect(fittingText(texts, 70, widthOf)).toBe("⊘ since 10");
    expect(fittingText(texts, 69, widthOf)).toBe("⊘");
    expect(fittingText(texts, 6, widthOf)).toBe("");
    expect(GAP).toBeGreaterThanOrEqual(8);
  });
});

test("the strongest units are those farthest from zero; none is zero or not finite", () => {
  const vector = {
    layout: "vector",
    channels: [0],
    units: [3, 5, 8, 9, 11],
    height: 1,
    width: 5,
    data: new Uint8Array([100, 0, 127, 255, 254]),
    low: new Float32Array([-12.7]),
    high: new Float32Array([12.7]),
  } as unknown as Maps;
  // -2.7, -12.7, 0, not finite, 12.7
  expect(strongestPixels(vector, 0, 9).map((pixel) => unitAt(vector, pixel))).toEqual([5, 11, 3]);
  expect(strongestPixels(vector, 0, 1)).toEqual([1]);
});

test("of a volume the logged slices are those that the logging side keeps, and the chosen one is the nearest", () => {
  const volume = (count: number) =>
    ({
      name: "v",
      channel_axis: 1,
      shape: [2, 3, count, 6, 5],
      slices: [0, 1, 2, 3, 6, 7, 8],
    }) as unknown as LayerInfo;
  expect(depthsOf(volume(10))).toEqual([0, 1, 2, 3, 5, 6, 7, 8]);
  expect(depthsOf({ ...volume(10), channel_axis: 4, shape: [2, 10, 6, 5, 3] } as LayerInfo)).toEqual(
    depthsOf(volume(10)),
  );
  expect(depthsOf({ name: "c", layout: "channels", channel_axis: 1, shape: [2, 3, 6, 5] } as LayerInfo)).toEqual([]);
  expect(depthIn(volume(10))).toBe(5);
  depth.value = 9;
  expect(depthIn(volume(10))).toBe(8);
  depth.value = null;
});
