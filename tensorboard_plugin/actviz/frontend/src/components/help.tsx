// The keys. A sheet beside the picture, not a dialogue before it.
import { helpShown } from "../state";

const KEYS: readonly (readonly [string, string])[] = [
  ["← →", "former, next logged step (Shift: ten)"],
  ["Home End", "first, last logged step"],
  ["↑ ↓", "layer"],
  ["- +", "fold, unfold the block that the layer is in"],
  ["v", "values over steps in the layer's row"],
  ["Enter", "in the tree: open the layer"],
  ["[ ]", "channel"],
  ["space", "play, pause"],
  ["l", "loop: play the range in view again and again"],
  ["f", "follow the newest step"],
  ["z Z", "zoom the step axis in, out, round the step"],
  ["1 … 5", "view"],
  ["x", "swap runs A and B"],
  ["/", "search layers: text, or a glob with * and ?"],
  ["Esc", "leave: this, the search, the zoom"],
  ["?", "this"],
  ["click", "a step, a layer, a channel; again: open it"],
  ["drag", "scrub; on the line between two panels: resize (also with the arrow keys)"],
  ["Shift-drag", "zoom the step axis to a range"],
  ["Alt-click", "reference step of the histogram"],
];

export function Help() {
  if (!helpShown.value) return null;
  return (
    <dl class="help" aria-label="Keys" data-testid="help">
      {KEYS.map(([key, does]) => (
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
