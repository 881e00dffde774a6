// Folding and unfolding blocks.
import { batch } from "@preact/signals";
import { chooseLayer, openLayer } from "../../actions";
import { focusedRun, layer, layersInView, toggledBlocks } from "../../state";
import { type Entry, scoreEntries } from "./blocks";

/** Folds an open block, and unfolds a folded one; a chosen layer that would go out of sight gives way to the block's last. */
export function toggleBlock(block: string): void {
  const before = toggledBlocks.value;
  batch(() => {
    toggledBlocks.value = before.includes(block) ? before.filter((each) => each !== block) : [...before, block];
    const entries = scoreEntries(layersInView(focusedRun.value), [], toggledBlocks.value);
    const home = foldedAround(entries, layer.value);
    if (home !== null) chooseLayer(home.info.name);
  });
}

/** The folded block that hides a layer: it is inside, and not the one that stands for the block. */
export function foldedAround(entries: readonly Entry[], name: string | null): Entry | null {
  const found = entries.find((entry) => entry.kind === "folded" && entry.layers.includes(name ?? ""));
  return found === undefined || found.info.name === name ? null : found;
}

/** Unfolds the block that hides a layer, so that what was chosen is seen. */
export function unfoldAround(entries: readonly Entry[], name: string | null): void {
  const hiding = foldedAround(entries, name)?.block ?? null;
  if (hiding !== null) toggleBlock(hiding);
}

/** What a second click on the chosen row does, and Enter: unfolds its block, or opens the layer's own view. */
export function openChosen(): void {
  const folded = scoreEntries(layersInView(focusedRun.value), [], toggledBlocks.value).find(
    (entry) => entry.kind === "folded" && entry.info.name === layer.value,
  );
  if (folded?.block != null) toggleBlock(folded.block);
  else if (layer.value !== null) openLayer(layer.value);
}
