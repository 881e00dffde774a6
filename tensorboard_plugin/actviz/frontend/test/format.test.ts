import { expect, test } from "vitest";
import {
  formatBytes,
  formatCount,
  formatGradient,
  formatNumber,
  formatPercent,
  formatShape,
  formatShort,
  formatTick,
  formatValue,
  shorten,
} from "../src/format";

test("numbers have three significant digits, a true minus, and zero only for exact zero", () => {
  const cases: [number, string][] = [
    [0, "0"],
    [1.2345, "1.23"],
    [-0.15649, "\u22120.156"],
    [99.96, "100"],
    [999.4, "999"],
    [12345, "12\u2009300"],
    [1.6e-5, "<0.001"],
    [-1.6e-5, ">\u22120.001"],
    [4.52e20, "4.5e+20"],
    [Number.NaN, "NaN"],
    [Number.NEGATIVE_INFINITY, "\u2212\u221e"],
  ];
  for (const [value, text] of cases) expect(formatNumber(value)).toBe(text);
});

test("a value under the pointer is never rounded to zero", () => {
  expect(formatValue(3.54471)).toBe("3.5447");
  expect(formatValue(-1.5e-9)).toBe("\u22121.5000e-9");
  expect(formatValue(0)).toBe("0");
});

test("per cent say 0 and 100 only when it is exactly that", () => {
  expect([0, 1e-6, 0.5, 0.9999999, 1].map(formatPercent)).toEqual(["0 %", "<0.1 %", "50.0 %", ">99.9 %", "100 %"]);
});

test("other forms", () => {
  expect(formatShort(0.00665)).toBe("0.007");
  expect([2.5e-4, -1.44e-13, 0, 0.0123].map(formatGradient)).toEqual(["2.5e-4", "\u22121.4e-13", "0", "0.0123"]);
  expect(formatShort(-12.345)).toBe("\u221212.3");
  expect([0.1, -10, 0, 1e-5].map(formatTick)).toEqual(["0.1", "\u221210", "0", "1e-5"]);
  expect(formatCount(1234567)).toBe("1\u2009234\u2009567");
  expect(formatShape([64, 16])).toBe("64 \u00d7 16");
  expect(formatShape([])).toBe("scalar");
  expect([0, 999, 2.1e6, 5e9].map(formatBytes)).toEqual(["0 bytes", "999 bytes", "2.1 MB", "5.0 GB"]);
});

test("long names are cut in the middle, and keep both ends", () => {
  expect(shorten("conv1", 8)).toBe("conv1");
  expect(shorten("encoder.layers.11.output", 9)).toBe("enco\u2026tput");
});
