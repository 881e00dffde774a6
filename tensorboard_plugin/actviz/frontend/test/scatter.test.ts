import { expect, test } from "vitest";
import { labelColours, placeOf } from "../src/draw/scatter";

type Rgb = [number, number, number];

// Machado et al. 2009, A Physiologically-based Model for Simulation of Color Vision Deficiency, table 1, severity 1; linear RGB.
const EYES: Record<string, readonly Rgb[]> = {
  usual: [
    [1, 0, 0],
    [0, 1, 0],
    [0, 0, 1],
  ],
  protan: [
    [0.152286, 1.052583, -0.204868],
    [0.114503, 0.786281, 0.099216],
    [-0.003882, -0.048116, 1.051998],
  ],
  deutan: [
    [0.367322, 0.860646, -0.227968],
    [0.280085, 0.672501, 0.047413],
    [-0.01182, 0.04294, 0.968881],
  ],
  tritan: [
    [1.255528, -0.076749, -0.178779],
    [-0.078411, 0.930809, 0.147602],
    [0.004733, 0.691367, 0.3039],
  ],
};

function linear(colour: string): Rgb {
  return [1, 3, 5].map((at) => {
    const value = Number.parseInt(colour.slice(at, at + 2), 16) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  }) as Rgb;
}

function times(matrix: readonly Rgb[], [x, y, z]: Rgb): Rgb {
  return matrix.map((row) => row[0] * x + row[1] * y + row[2] * z) as Rgb;
}

function lab(rgb: Rgb): Rgb {
  const [x, y, z] = times(
    [
      [0.4339, 0.3763, 0.1899],
      [0.2127, 0.7152, 0.0722],
      [0.0178, 0.1095, 0.8728],
    ],
    rgb.map((part) => Math.max(0, Math.min(1, part))) as Rgb,
  ).map((part) => (part > 216 / 24389 ? Math.cbrt(part) : ((24389 / 27) * part + 16) / 116)) as Rgb;
  return [116 * y - 16, 500 * (x - y), 200 * (y - z)];
}

function luminance(colour: string): number {
  const [red, green, blue] = linear(colour);
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

const DIGITS = Array.from({ length: 10 }, (_, digit) => String(digit));

test.each([false, true])("ten labels' colours are told apart by any eyes, and read on the page (dark: %s)", (dark) => {
  const colours = labelColours(DIGITS, 10, dark, "");
  const page = luminance(dark ? "#1f2124" : "#ffffff");
  for (const colour of colours) {
    const [high, low] = [luminance(colour), page].sort((one, other) => other - one) as [number, number];
    expect((high + 0.05) / (low + 0.05)).toBeGreaterThanOrEqual(4.5);
  }
  for (const [eyes, matrix] of Object.entries(EYES)) {
    const seen = colours.map((colour) => lab(times(matrix, linear(colour))));
    for (const [index, one] of seen.entries())
      for (const other of seen.slice(0, index))
        expect(Math.hypot(...one.map((part, axis) => part - (other[axis] as number))), eyes).toBeGreaterThan(17);
  }
});

test("a label keeps its colour wherever it stands, numbers in their order, and there may be more than colours", () => {
  const first = labelColours(DIGITS, 10, false, "");
  const labels = ["10", "2", "2", "1", "0"];
  const colours = labelColours(labels, 5, false, "");
  expect(colours[1]).toBe(colours[2]);
  expect(colours.slice(2)).toEqual([first[2], first[1], first[0]]);
  expect(colours[0]).toBe(first[3]);
  const many = Array.from({ length: 25 }, (_, index) => `class ${index}`);
  expect(labelColours(many, 25, false, "").every((colour) => first.includes(colour))).toBe(true);
  expect(labelColours(null, 3, false, "#123456")).toEqual(["#123456", "#123456", "#123456"]);
});

test("points stand upright in their plane, and those beyond at its edge", () => {
  const plane = { left: 100, top: 50, side: 200, reach: 2 };
  const points = Float32Array.of(0, 0, 2, 2, -1, 1, 90, -90);
  expect([0, 1, 2, 3].map((index) => placeOf(points, index, plane))).toEqual([
    [200, 150],
    [300, 50],
    [150, 100],
    [300, 250],
  ]);
});
