// The keys. A sheet beside the picture, not a dialogue before it.
import { helpShown, view } from "../state";
import { COMPARE_HELP } from "../views/compare/keys";

const KEYS: readonly (readonly [string, string])[] = [
  ["← →", "previous, next logged step (Shift: ten)"],
  ["Home End", "first, last logged step"],
  ["↑ ↓", "layer"],
  ["- +", "fold, unfold the block that the layer is in"],
  ["v", "values over steps in the layer's row"],
  ["Enter", "in the tree: open the layer"],
  ["[ ]", "channel, attention head"],
  ["- + 0", "Layer: less, more contrast; as it was"],
  ["o", "Layer: maps over their input"],
  [", .", "Layer: slice of a volume"],
  ["p", "Propagation: play through the layers"],
  ["space", "play, pause"],
  ["l", "loop: play the range in view again and again"],
  ["f", "follow the newest step"],
  ["z Z", "zoom the step axis in, out, round the step"],
  ["n N", "next, previous finding"],
  ["1 … 5", "view"],
  ["r R", "this step is the reference (in Compare: B's), the first one is again"],
  ["x", "swap runs A and B"],
  ["/", "search layers: text, or a glob with * and ?"],
  ["Esc", "leave: this, the search, the zoom"],
  ["?", "this"],
  ["arrows, Enter", "in a matrix of Similarity: go to a cell, choose it"],
  ["click", "a step, a layer, a channel; again: open it"],
  ["drag", "scrub; on the line between two panels: resize (also with the arrow keys)"],
  ["Shift-drag", "zoom the step axis to a range"],
  ["Alt-click", "as r, for a step of any plot"],
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
