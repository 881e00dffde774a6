import { expect, test } from "vitest";
import { layoutRows, matches, typeOf } from "../src/rows";

const layers = ["stem", "block.0.conv", "block.0.relu", "block.0", "block.1.conv", "head.lin:1[0]"].map((name) => ({
  name,
  path: name.replace(/:1\[0\]$/, ""),
}));

function names(rows: ReturnType<typeof layoutRows>): string[] {
  return rows.map((row) => (row.kind === "group" ? `${row.group}/` : row.label));
}

test("layers stand in execution order under the block they belong to, its own output with them", () => {
  expect(names(layoutRows(layers, 20, "", new Set()))).toEqual([
    "stem",
    "block/",
    "block.0/",
    "conv",
    "relu",
    "(output)",
    "block.1/",
    "conv",
    "head/",
    "lin:1[0]",
  ]);
});

test("a function stands in the module that calls it, and says what it is once", () => {
  const mixed = [
    { name: "relu", path: "relu", type: "relu" },
    { name: "block.0.conv", path: "block.0.conv", type: "Conv2d" },
    { name: "block.0/add:1", path: "block.0/add", type: "add" },
  ];
  expect(names(layoutRows(mixed, 20, "", new Set()))).toEqual(["relu", "block.0/", "conv", "add:1"]);
  expect(mixed.map(typeOf)).toEqual(["", "Conv2d", ""]);
});

test("rows follow each other without gap, and a folded block keeps its name only", () => {
  const rows = layoutRows(layers, 20, "", new Set(["block.0"]));
  expect(names(rows).slice(0, 4)).toEqual(["stem", "block/", "block.0/", "block.1/"]);
  for (let index = 1; index < rows.length; index++)
    expect(rows[index]?.top).toBe((rows[index - 1]?.top ?? 0) + (rows[index - 1]?.height ?? 0));
});

test("blocks nest; one with nothing in it but another has no row of its own", () => {
  const deep = ["net.encoder.0.conv", "net.encoder.0.relu", "net.encoder.1.conv", "net.head"].map((name) => ({ name }));
  const rows = layoutRows(deep, 20, "", new Set());
  expect(rows.map((row) => [row.depth, row.label])).toEqual([
    [0, "net"],
    [1, "encoder"],
    [2, "0"],
    [3, "conv"],
    [3, "relu"],
    [2, "1"],
    [3, "conv"],
    [1, "head"],
  ]);
  const inner = layoutRows([{ name: "a.b.c.conv" }, { name: "a.b.c.relu" }], 20, "", new Set());
  expect(inner.map((row) => row.label)).toEqual(["a.b.c", "conv", "relu"]);
});

test("a folded block hides all that is in it, knows its layers, and is as high as a layer", () => {
  const rows = layoutRows(layers, 28, "", new Set(["block", "block.0"]));
  expect(names(rows)).toEqual(["stem", "block/", "head/", "lin:1[0]"]);
  const block = rows[1];
  expect(block?.kind === "group" && block.layers.map(({ name }) => name)).toEqual([
    "block.0.conv",
    "block.0.relu",
    "block.0",
    "block.1.conv",
  ]);
  expect(block?.height).toBe(28);
});

test("search takes text or a glob", () => {
  expect(matches("block.0.conv", "CONV")).toBe(true);
  expect(matches("block.0.conv", "block.*.conv")).toBe(true);
  expect(matches("block.0.conv2", "block.*.conv")).toBe(false);
  expect(matches("a(b", "a(?")).toBe(true);
  expect(matches("anything", "")).toBe(true);
});
