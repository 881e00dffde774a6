import { expect, test } from "vitest";
import { decodeThresholds, encodeThresholds, inOrder, itemsOf, signOf } from "../src/findings";
import type { Finding, FindingsAnswer } from "../src/types";

function finding(layer: string, first_step: number, rule = "jump"): Finding {
  const link = { view: "layer", layer, step: first_step, channel: null };
  const words = { sentence: "", brief: "", cause: "" };
  return {
    rule,
    severity: "warn",
    layer,
    first_step,
    last_step: 90,
    goes_on: true,
    evidence: {},
    ...words,
    cascade: 0,
    link,
  };
}

function answer(run: string, findings: Finding[], cascades: number[][]): FindingsAnswer {
  const told = cascades.map((members) => ({ sentence: members.join(), findings: members }));
  return { run, revision: "1", steps: 9, findings, cascades: told, left_out: 0, thresholds: {} };
}

const one = answer("one", [finding("a", 10), finding("b", 20), finding("c", 40)], [[0, 2], [1]]);

test("what follows from a finding is listed behind it, where its cascade is unfolded", () => {
  const names = (open: string[]) => itemsOf(one, "A", new Set(open)).map((item) => item.finding.layer);
  expect(names([])).toEqual(["a", "b"]);
  expect(names(["one 0"])).toEqual(["a", "c", "b"]);
  expect(itemsOf(one, "A", new Set())[0]).toMatchObject({ followers: 1, sentence: "0,2", follows: false });
});

test("findings of two runs are listed by the step at which their cascade begins", () => {
  const other = answer("other", [finding("d", 15)], [[0]]);
  const all = inOrder([...itemsOf(one, "A", new Set(["one 0"])), ...itemsOf(other, "B", new Set())]);
  expect(all.map((item) => item.finding.layer)).toEqual(["a", "c", "d", "b"]);
});

test("thresholds stand in the URL, and what is no threshold is passed over", () => {
  expect(encodeThresholds({})).toBeNull();
  expect(encodeThresholds({ window: 5, jump: 8.5 })).toBe("jump:8.5,window:5");
  expect(decodeThresholds("jump:8.5,window:5")).toEqual({ jump: 8.5, window: 5 });
  expect(decodeThresholds("jump:,:3,a b:1,run:x,depth:1e6")).toEqual({ depth: 1e6 });
});

test("each kind of fault has its sign", () => {
  expect(["nonfinite", "dead", "dead_channels", "jump", "frozen"].map((rule) => signOf(finding("a", 0, rule)))).toEqual(
    ["×", "⊘", "⊘", "▲", "▲"],
  );
});
