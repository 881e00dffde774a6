import { expect, test } from "vitest";
import { changeColour, inkOn, lut, runColour, setRunOrder } from "../src/colour";

const SCALES = ["activations", "statistics", "counts", "differences", "viridis", "cividis", "inferno", "grey"] as const;

function entry(table: Uint8ClampedArray, index: number): number[] {
  return [...table.subarray(index * 4, index * 4 + 4)];
}

test("tables have 256 opaque entries, and run from the first stop to the last", () => {
  for (const name of SCALES)
    for (const dark of [false, true]) {
      const table = lut(name, dark);
      expect(table.length).toBe(1024);
      for (let index = 0; index < 256; index++) expect(table[index * 4 + 3]).toBe(255);
    }
  expect(entry(lut("activations", false), 0)).toEqual([0x5a, 0x32, 0x07, 255]);
  expect(entry(lut("activations", false), 255)).toEqual([0x0c, 0x2f, 0x66, 255]);
});

test("zero of a diverging scale is the colour of the page", () => {
  const [light, dark] = [entry(lut("activations", false), 128), entry(lut("activations", true), 128)];
  for (const [part, page] of [
    [light, [0xfa, 0xfa, 0xfa]],
    [dark, [0x1f, 0x21, 0x24]],
  ] as const)
    for (let index = 0; index < 3; index++)
      expect(Math.abs((part[index] as number) - (page[index] as number))).toBeLessThanOrEqual(3);
});

test("every grey is another one, so that a value can be read back from a pixel", () => {
  const table = lut("grey", false);
  expect(new Set(Array.from({ length: 256 }, (_, index) => table[index * 4])).size).toBe(256);
});

test("runs keep TensorBoard's colours in their order, with a legible letter", () => {
  setRunOrder(["a", "b", "c"]);
  expect([runColour("a"), runColour("b")]).toEqual(["#12b5cb", "#e52592"]);
  expect(inkOn(runColour("a"))).toBe("#000000");
  expect(inkOn(runColour("c"))).toBe("#ffffff");
});

/** Relative luminance of the WCAG of a colour `rgb(r,g,b)`. */
function luminance(colour: string): number {
  const [red, green, blue] = (colour.match(/\d+/g) ?? []).map((part) => {
    const value = Number(part) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  }) as [number, number, number];
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

test("the colours of changes are legible as words on the page: 4.5:1", () => {
  for (const [dark, page] of [
    [false, "rgb(255,255,255)"],
    [true, "rgb(31,33,36)"],
  ] as const)
    for (const change of [-1, 1]) {
      const pair = [luminance(changeColour(change, dark)) + 0.05, luminance(page) + 0.05];
      expect(Math.max(...pair) / Math.min(...pair)).toBeGreaterThanOrEqual(4.5);
    }
});
