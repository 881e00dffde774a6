import { expect, test } from "vitest";
import { differenceDomain, onScale, statDomain } from "../src/draw/scale";

test("the domain is of all values: log where all are positive, 0 to 1 for fractions", () => {
  const values = [new Float32Array([0.01, 0.1, 1, 10])];
  const log = statDomain(values, "rms", "log");
  expect(log.kind).toBe("log");
  expect(onScale(log, 10)).toBe(1);
  expect(onScale(log, 0.01)).toBeCloseTo(0);
  expect(statDomain(values, "zero", "log")).toMatchObject({ low: 0, high: 1, kind: "linear" });
  expect(statDomain([new Float32Array([Number.NaN])], "rms", "log")).toMatchObject({ low: 0, high: 1, kind: "linear" });
});

test("with negative values a logarithm is a symmetric one, in order, and steeper about zero", () => {
  const domain = statDomain([new Float32Array([-100, -1, -0.01, 0, 0.01, 1, 100])], "mean", "log");
  expect(domain.kind).toBe("symlog");
  const places = [-100, -1, -0.01, 0, 0.01, 1, 100].map((value) => onScale(domain, value));
  expect(places).toEqual([...places].sort((one, other) => one - other));
  expect(onScale(domain, 0)).toBeCloseTo(0.5);
  expect(onScale(domain, 1) - 0.5).toBeGreaterThan(0.1); // linear: 0.005
  expect(statDomain([new Float32Array([-1, 1])], "mean", "linear").kind).toBe("linear");
});

test("differences have their zero in the middle of the scale", () => {
  for (const kind of ["linear", "log", "symlog"] as const) {
    const domain = differenceDomain([new Float32Array([-1, 0.5, 7])], kind);
    expect([domain.low, domain.high]).toEqual([-7, 7]);
    expect(onScale(domain, 0)).toBe(0.5);
    expect(onScale(domain, 7)).toBe(1);
  }
  expect(onScale(differenceDomain([new Float32Array([0, 0])], "linear"), 0)).toBe(0.5);
});
