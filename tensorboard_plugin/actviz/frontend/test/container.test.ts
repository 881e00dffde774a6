import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { ContainerError, decode } from "../src/container";

const golden = new Uint8Array(readFileSync(new URL("golden.actviz", import.meta.url)));

function copy(): Uint8Array<ArrayBuffer> {
  return new Uint8Array(golden);
}

test("a container that Python wrote decodes to its fields and arrays", async () => {
  const { kind, header, arrays, shapes } = await decode(copy().buffer);
  expect(kind).toBe("maps");
  expect(header.layer).toBe("naïve ☃");
  expect(shapes.data).toEqual([2, 3, 4, 5]);
  expect(arrays.data).toEqual(Uint8Array.from({ length: 120 }, (_, index) => index));
  expect(arrays.low).toEqual(new Float32Array([-1.5, 0, 2, 3, 4, 5]));
  expect(arrays.bins).toEqual(new Int16Array([-1019, 0, 1019]));
  expect(arrays.counts).toEqual(new Uint32Array([1, 2 ** 32 - 1]));
  expect(arrays.total).toEqual(new BigInt64Array([2n ** 53n + 1n]));
  expect(arrays.steps).toEqual(new Float64Array([0, 1e15, Number.NaN]));
  expect(arrays.zeros).toEqual(new Float32Array(1000));
  expect(arrays.empty).toEqual(new Float32Array());
});

test("what is no container is refused with the reason", async () => {
  await expect(decode(new ArrayBuffer(4))).rejects.toThrow("answer of 4 bytes");
  await expect(decode(new TextEncoder().encode("<html></html>").buffer)).rejects.toThrow("does not start with ACTV");
  await expect(decode(copy().slice(0, 20).buffer)).rejects.toThrow("ends within its header");
});

test("a newer version is refused with what to do", async () => {
  const newer = new TextDecoder("latin1").decode(copy()).replace('"version":1', '"version":9');
  const bytes = Uint8Array.from(newer, (character) => character.charCodeAt(0));
  await expect(decode(bytes.buffer)).rejects.toThrow(/version 9.*upgrade/);
  await expect(decode(bytes.buffer)).rejects.toBeInstanceOf(ContainerError);
});
