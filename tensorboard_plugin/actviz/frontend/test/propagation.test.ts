import { expect, test } from "vitest";
import { lut } from "../src/colour";
import { drawBars } from "../src/draw/score";
import type { Palette } from "../src/palette";
import type { Channels, LayerInfo, Maps } from "../src/types";
import { blockOf, DEEP, foldedBlocks, scoreEntries } from "../src/views/propagation/blocks";
import { chooseChannels, evenly } from "../src/views/propagation/channels";
import { dataFlow, INPUT_ROW } from "../src/views/propagation/flow";
import {
  barsLayer,
  formatProbability,
  labelsNameUnits,
  logitsLayer,
  predict,
  probabilities,
} from "../src/views/propagation/logits";
import { RequestQueue } from "../src/views/propagation/queue";
import { extentOf, layoutScore, rowsBetween, storedPixels } from "../src/views/propagation/score";

function conv(name: string, shape: number[], ...inputs: string[]): LayerInfo {
  return { name, path: name, type: "Conv2d", shape, layout: "channels", channel_axis: 1, inputs };
}

function vector(name: string, units: number, type: string, ...inputs: string[]): LayerInfo {
  return { name, path: name, type, shape: [8, units], layout: "vector", channel_axis: 1, inputs };
}

const residual = [
  conv("stem", [8, 16, 24, 24], "input"),
  conv("layer1.0.conv1", [8, 16, 24, 24], "stem"),
  conv("layer1.0.conv2", [8, 16, 24, 24], "layer1.0.conv1"),
  conv("layer1.0/add", [8, 16, 24, 24], "layer1.0.conv2", "stem"),
  conv("layer1.1.conv1", [8, 32, 12, 12], "layer1.0/add"),
  conv("layer1.1.downsample.0", [8, 32, 12, 12], "layer1.0/add"),
  conv("layer1.1/add", [8, 32, 12, 12], "layer1.1.conv1", "layer1.1.downsample.0"),
  vector("fc", 10, "Linear", "layer1.1/add"),
];

const options = { width: 1000, panels: 1, ratio: 1, maxChannels: 16, maxSize: 64, bars: null };

const shownNames = (entries: ReturnType<typeof scoreEntries>) => entries.map(({ kind, label }) => `${kind} ${label}`);

test("a block is the innermost numbered ancestor", () => {
  const paths = ["conv1", "layer1.0.conv1", "layer1.0.downsample.1", "layer1.0/add", "features.3", "denseblock1.norm"];
  expect(paths.map(blockOf)).toEqual([null, "layer1.0", "layer1.0", "layer1.0", null, "denseblock1"]);
  expect([...foldedBlocks(residual, ["layer1.1", "layer1.0", "fc"])]).toEqual(["layer1.0", "layer1.1"]);
});

test("an open block has a head, a folded one is its last layer, and a deep network starts folded", () => {
  expect(shownNames(scoreEntries(residual, [], ["layer1.0"]))).toEqual([
    "layer stem",
    "folded layer1.0",
    "head layer1.1",
    "layer conv1",
    "layer downsample.0",
    "layer add",
    "layer fc",
  ]);
  expect(scoreEntries(residual, [], ["layer1.0"])[1]?.info.name).toBe("layer1.0/add");
  const deep = Array.from({ length: DEEP + 1 }, (_, index) => conv(`blocks.${index >> 2}.${index % 4}`, [8, 4, 8, 8]));
  const kinds = scoreEntries(deep, [], ["blocks.1"]).map(({ kind }) => kind);
  expect(kinds.slice(0, 6)).toEqual(["folded", "head", "layer", "layer", "layer", "layer"]);
  expect(kinds.slice(6)).toEqual([...Array(8).fill("folded"), "layer"]);
});

test("a block's own output, which comes after its layers, belongs to it", () => {
  const layers = ["a.0.lin", "a.0.act", "a.0", "a.1.lin"].map((name) => vector(name, 4, "Linear"));
  expect(shownNames(scoreEntries(layers, [], []))).toEqual([
    "head a.0",
    "layer lin",
    "layer act",
    "layer (output)",
    "layer a.1.lin",
  ]);
});

test("attention weights stand before the output that they make, and within their own block only", () => {
  const layers = ["blocks.1.norm", "blocks.1.attn[0]", "blocks.10.norm", "blocks.10.attn[0]"].map((name) => ({
    ...vector(name, 4, "Linear"),
    path: name.replace("[0]", ""),
  }));
  const found = shownNames(scoreEntries(layers, ["blocks.1.attn", "blocks.10.attn"], []));
  expect(found.filter((name) => !name.startsWith("head"))).toEqual([
    "layer norm",
    "attention attn",
    "layer attn[0]",
    "layer norm",
    "attention attn",
    "layer attn[0]",
  ]);
  expect(shownNames(scoreEntries(layers, ["blocks.1.attn"], ["blocks.1"]))[0]).toBe("folded blocks.1");
  expect(scoreEntries(layers, ["blocks.1.attn"], ["blocks.1"]).some(({ kind }) => kind === "attention")).toBe(false);
});

test("the rail joins neighbours where one feeds the other, and arcs the rest", () => {
  const entries = scoreEntries(residual, [], []);
  const row = (name: string) => entries.findIndex(({ kind, info }) => kind === "layer" && info.name === name);
  const { rail, arcs, known } = dataFlow(entries, residual);
  expect(known).toBe(true);
  expect(arcs).toEqual([
    { from: row("stem"), to: row("layer1.0/add"), lane: 0 },
    { from: row("layer1.0/add"), to: row("layer1.1.downsample.0"), lane: 1 },
    { from: row("layer1.1.conv1"), to: row("layer1.1/add"), lane: 0 },
  ]);
  expect(rail[0]).toEqual([INPUT_ROW, row("stem")]);
  // conv1 does not feed the downsampling that is run after it: the rail is broken there.
  expect(rail).not.toContainEqual([row("layer1.1.conv1"), row("layer1.1.downsample.0")]);
  expect(rail).toHaveLength(7);
});

test("what happens inside of a folded block is no arc, what leaves it is", () => {
  const entries = scoreEntries(residual, [], ["layer1.0", "layer1.1"]);
  expect(dataFlow(entries, residual).arcs).toEqual([]);
  const skipping = [...residual.slice(0, -1), conv("last", [8, 32, 12, 12], "layer1.1/add", "stem")];
  expect(dataFlow(scoreEntries(skipping, [], ["layer1.0", "layer1.1"]), skipping).arcs).toEqual([
    { from: 0, to: 3, lane: 0 },
  ]);
});

test("without data flow in the log the rail says so", () => {
  const plain = residual.map(({ inputs: _, ...info }) => info);
  const { rail, arcs, known } = dataFlow(scoreEntries(plain, [], []), plain);
  expect([known, rail.length, arcs.length]).toEqual([false, 8, 0]);
});

test("maps are stored with at most so many pixels a side", () => {
  expect([24, 64, 65, 112, 224].map((extent) => storedPixels(extent, 64))).toEqual([24, 64, 33, 56, 56]);
  const last: LayerInfo = { name: "x", shape: [8, 12, 10, 48], layout: "channels", channel_axis: 3 };
  expect(extentOf(last, 64)).toEqual({ channels: 48, height: 12, width: 10 });
  const volume: LayerInfo = { name: "x", shape: [8, 6, 3, 12, 10], layout: "channels", channel_axis: 1 };
  expect(extentOf(volume, 64)).toEqual({ channels: 6, height: 12, width: 10 });
});

test("neighbours with as many channels share columns and tile; tiles are whole multiples of the maps' pixels", () => {
  const layers = [
    conv("conv", [8, 16, 26, 26]),
    conv("pool", [8, 16, 13, 13]),
    conv("other", [8, 32, 13, 13]),
    vector("fc", 128, "Linear"),
  ];
  const { rows, height } = layoutScore(scoreEntries(layers, [], []), options);
  // 16 columns of 62.5 px in 1,000: 26 x 2 = 52 px and a gap of at least 6.
  expect(rows[0]?.family).toMatchObject({ columns: 16, tile: 52, pitch: 62, first: "conv" });
  expect(rows[1]?.family).toBe(rows[0]?.family);
  // Of 32 channels the log keeps every second one: still 16, yet another family.
  expect(rows[2]?.family.kept).toEqual(evenly(32, 16));
  expect(rows.map((row) => row.starts)).toEqual([true, false, true, true]);
  expect(rows[3]?.family).toMatchObject({ columns: 128, pitch: 7 });
  for (const [index, row] of rows.entries())
    expect(row.top).toBeGreaterThanOrEqual(
      index === 0 ? 0 : (rows[index - 1]?.top ?? 0) + (rows[index - 1]?.height ?? 0),
    );
  expect(height).toBe((rows[3]?.top ?? 0) + (rows[3]?.height ?? 0));
});

test("maps are never made smaller than they are stored: fewer columns fit, and fewer still for several samples", () => {
  const entries = scoreEntries([conv("conv", [8, 64, 60, 60])], [], []);
  const columns = (panels: number) =>
    layoutScore(entries, { ...options, maxChannels: 64, panels }).rows[0]?.family.columns;
  // (1,000 + 6) / (60 + 6) = 15.2; with three panels of 320: 326 / 66 = 4.9.
  expect([columns(1), columns(3)]).toEqual([15, 4]);
});

test("only rows in sight are made", () => {
  const layers = Array.from({ length: 50 }, (_, index) => conv(`conv${index}`, [8, 16, 16, 16]));
  const { rows } = layoutScore(scoreEntries(layers, [], []), options);
  const [first, end] = rowsBetween(rows, 1000, 1500);
  expect(rows[first]?.top).toBeLessThanOrEqual(1000);
  expect((rows[first]?.top ?? 0) + (rows[first]?.height ?? 0)).toBeGreaterThan(1000);
  expect(rows[end - 1]?.top).toBeLessThan(1500);
  expect(rows[end]?.top).toBeGreaterThanOrEqual(1500);
  expect(rowsBetween(rows, 1e6, 2e6)).toEqual([50, 50]);
});

test("channels are kept evenly, and chosen by their history, not by the step in view", () => {
  expect(evenly(10, 4)).toEqual([0, 2, 5, 7]);
  expect(evenly(3, 4)).toEqual([0, 1, 2]);
  const profile: Channels = {
    run: "a",
    layer: "conv",
    steps: new Float64Array([0, 10, 20]),
    channels: new Uint32Array([0, 1, 2, 3]),
    mean: new Float32Array([0, 1, 0, 5, 0, 2, 0, 5, 3, 0, 0.5, 5]),
    max: new Float32Array([1, 9, 2, 5, 1, 1, 2, 5, 4, 1, 2, 5]),
    zero: new Float32Array(12),
    dead_since: [],
  };
  expect(chooseChannels([0, 1, 2, 3], 2, "index", profile, null)).toEqual([0, 1]);
  expect(chooseChannels([0, 1, 2, 3], 2, "largest", profile, null)).toEqual([1, 3]);
  // Distance of the means from those at step 0: 3, 1, 0.5, 0; from those at step 10: 3, 2, 0.5, 0.
  expect(chooseChannels([0, 1, 2, 3], 2, "changed", profile, 0)).toEqual([0, 1]);
  expect(chooseChannels([0, 1, 2, 3], 1, "changed", profile, 10)).toEqual([0]);
  // From those at step 20: 3, 2, 0.5, 0.
  expect(chooseChannels([1, 2, 3], 1, "changed", profile, 20)).toEqual([1]);
  expect(chooseChannels([0, 1], 4, "largest", profile, null)).toEqual([0, 1]);
});

test("logits are the last layer's, if it is a Linear of a few units", () => {
  expect(logitsLayer(residual)).toBe("fc");
  expect(logitsLayer([...residual, vector("softmax", 10, "Softmax")])).toBeNull();
  expect(logitsLayer([vector("fc", 1, "Linear")])).toBeNull();
  expect(logitsLayer([vector("fc", 1000, "Linear")])).toBeNull();
  expect(logitsLayer([])).toBeNull();
  expect(barsLayer([...residual, vector("softmax", 10, "Softmax")])).toBe("softmax");
  expect(barsLayer([vector("fc", 1000, "Linear")])).toBeNull();
});

test("probabilities are the softmax, as an interval as wide as quantised logits leave it", () => {
  const exact = probabilities([2, 1, 0], 0);
  // e^2, e, 1 over their sum 11.107...
  for (const [unit, expected] of [0.6652409557748219, 0.24472847105479764, 0.09003057317038046].entries())
    expect(exact[unit]?.low).toBeCloseTo(expected, 14);
  expect(exact.every(({ low, high }) => low === high)).toBe(true);
  const [first] = probabilities([2, 1, 0], 0.1);
  expect(first?.low).toBeCloseTo(1 / (1 + Math.exp(-0.8) + Math.exp(-1.8)), 12);
  expect(first?.high).toBeCloseTo(1 / (1 + Math.exp(-1.2) + Math.exp(-2.2)), 12);
  // Far beyond what exp can hold.
  expect(probabilities([1e4, 0], 1)).toEqual([
    { low: 1, high: 1 },
    { low: 0, high: 0 },
  ]);
});

test("a probability has the digits that hold", () => {
  const text = (low: number, high: number) => formatProbability({ low, high });
  expect(text(0.6651, 0.6654)).toBe("0.665");
  expect(text(0.661, 0.664)).toBe("0.66");
  expect(text(0.61, 0.64)).toBe("0.6");
  expect(text(0.44, 0.61)).toBe("0.44–0.61");
  expect(text(0, 0.0009)).toBe("<\u20090.001");
  expect(text(0.001, 0.004)).toBe("<\u20090.01");
  expect(text(0.96, 0.99)).toBe("0.96–0.99");
  expect(text(0.9991, 1)).toBe(">\u20090.999");
});

function logits(data: number[], low: number, high: number): Maps {
  return {
    source: "probe",
    layout: "vector",
    shape: [1, data.length],
    samples: [0],
    channels: [0],
    units: data.map((_, index) => index),
    pool: [1, 1],
    height: 1,
    width: data.length,
    data: new Uint8Array(data),
    low: new Float32Array([low]),
    high: new Float32Array([high]),
    mean: new Float32Array([0]),
  };
}

test("the prediction is the largest logit, or those that quantisation made equal; none where one is not finite", () => {
  expect(predict(logits([0, 254, 100], -1, 3), 0)?.units).toEqual([1]);
  expect(predict(logits([254, 0, 254], -1, 3), 0)?.units).toEqual([0, 2]);
  expect(predict(logits([254, 255, 0], -1, 3), 0)).toBeNull();
  expect(predict(logits([254, 0], -1, 3), 1)).toBeNull();
  expect(predict(logits([254, 0], -1, 3), -1)).toBeNull();
});

test("labels name units only where all are numbers of units", () => {
  expect(labelsNameUnits(["0", "3", "9"], 10)).toBe(true);
  expect(labelsNameUnits(["0", "10"], 10)).toBe(false);
  expect(labelsNameUnits(["cat", "3"], 10)).toBe(false);
  expect(labelsNameUnits(null, 10)).toBe(false);
});

test("few requests at a time, those ahead last, and none that was taken back", async () => {
  const queue = new RequestQueue(2);
  const begun: string[] = [];
  const ends: (() => void)[] = [];
  const request = (name: string) => () => {
    begun.push(name);
    return new Promise<void>((end) => ends.push(end));
  };
  queue.ask(request("a"));
  queue.ask(request("b"));
  queue.ask(request("ahead"), true);
  const unwanted = queue.ask(request("unwanted"));
  queue.ask(request("c"));
  unwanted.cancel();
  expect(begun).toEqual(["a", "b"]);
  ends[0]?.();
  await new Promise((done) => setTimeout(done));
  expect(begun).toEqual(["a", "b", "c"]);
  ends[1]?.();
  await new Promise((done) => setTimeout(done));
  expect(begun).toEqual(["a", "b", "c", "ahead"]);
  queue.ask(() => Promise.reject(new Error("of one is not the others' business")));
  ends[2]?.();
  await new Promise((done) => setTimeout(done));
  queue.ask(request("d"));
  await new Promise((done) => setTimeout(done));
  expect(begun).toContain("d");
});

test("the texts of bars stand below them, each within its own column; what does not fit is shortened or left out", () => {
  const vector = {
    layout: "vector",
    channels: [0],
    units: [0, 1, 2],
    samples: [0],
    height: 1,
    width: 3,
    data: new Uint8Array([0, 118, 254]),
    low: new Float32Array([-17.4]),
    high: new Float32Array([18.7]),
  } as unknown as Maps;
  const texts = ["0", "1", "2"].map((name) => ({ name, below: "p <\u20090.001", strong: name === "2" }));
  const drawn = (pitch: number) => {
    const bars: number[] = [];
    const words: { text: string; x: number; y: number }[] = [];
    const context = {
      measureText: (text: string) => ({ width: text.length * 6.5 }),
      fillRect: (_x: number, y: number, _width: number, height: number) => bars.push(y + height),
      fillText: (text: string, x: number, y: number) => words.push({ text, x, y }),
    } as unknown as CanvasRenderingContext2D;
    const palette = { line2: "", ink: "", ink2: "", bad: "", bg: "" } as unknown as Palette;
    const ink = { lut: lut("activations", false), palette, limits: () => ({ low: -20, high: 20, clips: false }) };
    drawBars(context, vector, 0, texts, { left: 10, pitch, tile: pitch, ratio: 1 }, 112, ink);
    for (const { text, x, y } of words) {
      const [column, half] = [Math.floor((x - 10) / pitch), (text.length * 6.5) / 2];
      expect(x - half).toBeGreaterThanOrEqual(10 + column * pitch);
      expect(x + half).toBeLessThanOrEqual(10 + (column + 1) * pitch);
      expect(y - 9).toBeGreaterThanOrEqual(Math.max(...bars));
    }
    return words.map(({ text }) => text);
  };
  const close = "\u22120.629";
  expect(drawn(88)).toEqual(["0", "1", "2", "\u221217.4", close, "18.7", ...texts.map(({ below }) => below)]);
  expect(drawn(44)).toEqual(["0", "1", "2", "\u221217.4", close, "18.7"]);
  expect(drawn(20)).toEqual(["0", "1", "2"]);
  expect(drawn(8)).toEqual([]);
});
