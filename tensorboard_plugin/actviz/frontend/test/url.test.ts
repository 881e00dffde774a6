import { expect, test } from "vitest";
import { decodeHash, encodeHash } from "../src/url";

test("any name survives the URL", () => {
  const fields = [
    ["run", "a&b=c#d"],
    ["layer", "<script> ☃ 100%/x"],
    ["step", "300"],
  ] as [string, string][];
  expect(decodeHash(encodeHash(fields))).toEqual(fields);
});

test("another tab's hash and a broken one are left alone", () => {
  expect(decodeHash("#scalars&run=a")).toEqual([]);
  expect(decodeHash("")).toEqual([]);
  expect(decodeHash("#actviz")).toEqual([]);
  expect(decodeHash("#actviz&layer=%E0%A4%A")).toEqual([["layer", "%E0%A4%A"]]);
});
