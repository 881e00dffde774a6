// The keys. A sheet beside the picture, not a dialogue before it.
import { helpShown } from "../state";

const KEYS: readonly (readonly [string, string])[] = [
  ["← →", "former, next logged step (Shift: ten)"],
  ["Home End", "first, last logged step"],
  ["↑ ↓", "layer"],
  ["[ ]", "channel"],
  ["space", "play, pause"],
  ["f", "follow the newest step"],
  ["n N", "next, former finding"],
  ["1 … 5", "view"],
  ["x", "swap runs A and B"],
  ["/", "search layers"],
  ["Esc", "leave the search, close this"],
  ["?", "this"],
  ["click", "a step, a layer, a channel; again: open it"],
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
