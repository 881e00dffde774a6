// The keys. A sheet beside the picture, not a dialogue before it.
import { helpShown, view } from "../state";
import { COMPARE_HELP } from "../views/compare/keys";

const KEYS: readonly (readonly [string, string])[] = [
  ["← →", "former, next logged step (Shift: ten)"],
  ["Home End", "first, last logged step"],
  ["↑ ↓", "layer"],
  ["[ ]", "channel, attention head"],
  ["+ − 0", "more, less contrast; as it was"],
  ["o", "maps over their input"],
  ["space", "play, pause"],
  ["p", "Propagation: play through the layers"],
  ["f", "follow the newest step"],
  ["1 … 5", "view"],
  ["x", "swap runs A and B"],
  ["/", "search layers"],
  ["Esc", "leave the search, close this"],
  ["?", "this"],
  ["arrows, Enter", "in a matrix of Similarity: go to a cell, choose it"],
  ["click", "a step, a layer, a channel; again: open it"],
  ["Alt-click", "reference step, of histogram and change; in Compare, B's step"],
];

export function Help() {
  if (!helpShown.value) return null;
  return (
    <dl class="help" aria-label="Keys" data-testid="help">
      {[...KEYS, ...(view.value === "compare" ? COMPARE_HELP : [])].map(([key, does]) => (
        <>
          <dt>
            <kbd>{key}</kbd>
          </dt>
          <dd>{does}</dd>
        </>
      ))}
    </dl>
  );
}
