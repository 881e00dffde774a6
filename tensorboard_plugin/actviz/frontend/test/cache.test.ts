import { expect, test } from "vitest";
import { MapsCache } from "../src/cache";
import type { Maps } from "../src/types";

function cache(capacity: number) {
  const asked: number[] = [];
  const failing = new Set<number>();
  const load = async (_run: string, _layer: string, step: number) => {
    asked.push(step);
    if (failing.has(step)) throw new Error(`no maps at ${step}`);
    return { data: new Uint8Array(100), height: step } as unknown as Maps;
  };
  return { asked, failing, kept: new MapsCache(load, capacity) };
}

const key = (step: number, wallTime_s = 1) => ({ run: "a", layer: "b", part: "", step, wallTime_s });

test("those who ask at the same time share one request, and later ones need none", async () => {
  const { asked, kept } = cache(1000);
  const [one, other] = await Promise.all([kept.get(key(3)), kept.get(key(3))]);
  expect(one).toBe(other);
  expect(one.height).toBe(3);
  expect(await kept.get(key(3))).toBe(one);
  expect(asked).toEqual([3]);
});

test("a step that was logged anew is asked for anew", async () => {
  const { asked, kept } = cache(1000);
  await kept.get(key(3, 1));
  await kept.get(key(3, 2));
  expect(asked).toEqual([3, 3]);
});

test("the least used are dropped beyond the capacity", async () => {
  const { kept } = cache(250);
  await kept.get(key(1));
  await kept.get(key(2));
  kept.peek(key(1));
  await kept.get(key(3));
  expect([1, 2, 3].map((step) => kept.peek(key(step)) !== undefined)).toEqual([true, false, true]);
});

test("a failure is not kept", async () => {
  const { asked, failing, kept } = cache(1000);
  failing.add(5);
  await expect(kept.get(key(5))).rejects.toThrow("no maps at 5");
  failing.clear();
  expect((await kept.get(key(5))).height).toBe(5);
  expect(asked).toEqual([5, 5]);
});

test("neighbours are fetched ahead in one request, and only what is missing", async () => {
  const asked: number[] = [];
  const ranges: string[] = [];
  const maps = (step: number) => ({ data: new Uint8Array(10), height: step }) as unknown as Maps;
  const load = async (_run: string, _layer: string, step: number) => {
    asked.push(step);
    return maps(step);
  };
  const range = async (_run: string, _layer: string, from: number, to: number) => {
    ranges.push(`${from}-${to}`);
    const found = [5, 7, 8].filter((step) => step >= from && step <= to).map((step) => [step, maps(step)] as const);
    return { maps: new Map(found), next: 9, unreadable: [] }; // 6 was not logged, 9 has no room
  };
  const kept = new MapsCache(load, 1000, range);
  await kept.get(key(4));
  const ahead = kept.fetchAhead([2, 4, 5, 6, 7, 8, 9].map((step) => key(step)));
  expect((await kept.get(key(7))).height).toBe(7); // joins the request under way
  await ahead;
  expect(ranges).toEqual(["5-9"]);
  expect(asked).toEqual([4, 2, 9]);
  expect([2, 4, 5, 7, 8, 9].map((step) => kept.peek(key(step))?.height)).toEqual([2, 4, 5, 7, 8, 9]);
  expect([kept.peek(key(6)), kept.has(key(6))]).toEqual([undefined, true]); // nothing to fetch ahead
});

test("a range that fails is asked for step by step, so that each step has its own answer", async () => {
  const { asked, failing } = cache(1000);
  failing.add(2);
  const load = async (_run: string, _layer: string, step: number) => {
    asked.push(step);
    if (failing.has(step)) throw new Error(`no maps at ${step}`);
    return { data: new Uint8Array(10) } as unknown as Maps;
  };
  const kept = new MapsCache(load, 1000, () => Promise.reject(new Error("offline")));
  await kept.fetchAhead([key(1), key(2), key(3)]);
  expect(asked).toEqual([1, 2, 3]);
  expect([1, 2, 3].map((step) => kept.has(key(step)))).toEqual([true, false, true]);
});
