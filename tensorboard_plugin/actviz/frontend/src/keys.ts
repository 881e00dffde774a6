// The keyboard.

import { firstStep, lastStep, moveChannel, moveLayer, moveStep, swapRuns, toggleFollow, togglePlay } from "./actions";
import { foldAround, toggleStrips } from "./rows";
import { brush, helpShown, layer, looping, saveShown, search, VIEWS, view, zoom } from "./state";
import { resetZoom, zoomBy } from "./zoom";

const ACTIONS: Readonly<Record<string, (event: KeyboardEvent) => void>> = {
  ArrowLeft: (event) => moveStep(event.shiftKey ? -10 : -1),
  ArrowRight: (event) => moveStep(event.shiftKey ? 10 : 1),
  Home: firstStep,
  End: lastStep,
  ArrowUp: () => moveLayer(-1),
  ArrowDown: () => moveLayer(1),
  "[": () => moveChannel(-1),
  "]": () => moveChannel(1),
  " ": togglePlay,
  f: toggleFollow,
  l: () => {
    looping.value = !looping.value;
  },
  x: swapRuns,
  z: () => zoomBy(0.5),
  Z: () => zoomBy(2),
  v: () => {
    if (layer.value !== null) toggleStrips(layer.value);
  },
  "-": () => foldAround(layer.value ?? "", true),
  "+": () => foldAround(layer.value ?? "", false),
  "=": () => foldAround(layer.value ?? "", false),
  ...Object.fromEntries(
    VIEWS.map((name, index) => [
      String(index + 1),
      () => {
        view.value = name;
      },
    ]),
  ),
  "/": () => document.getElementById("search")?.focus(),
  "?": () => {
    helpShown.value = !helpShown.value;
  },
  Escape: leave,
};

/** Leaves one thing at a time, the last opened first. */
function leave(): void {
  if (brush.value !== null) brush.value = null;
  else if (helpShown.value || saveShown.value) helpShown.value = saveShown.value = false;
  else if (search.value !== "") search.value = "";
  else if (zoom.value !== null) resetZoom();
}

/** Listens to the page's keys; those typed into a field, or that a control needs itself, are left alone. */
export function listenToKeys(): void {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const target = event.target as HTMLElement;
    if (target instanceof HTMLInputElement) {
      if (event.key !== "Escape") return;
      target.blur();
    }
    if (target instanceof HTMLSelectElement && event.key !== "Escape") return;
    if (target instanceof HTMLButtonElement && event.key === " ") return;
    const action = ACTIONS[event.key];
    if (action === undefined) return;
    event.preventDefault();
    action(event);
  });
}
