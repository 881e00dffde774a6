// The keyboard.
import {
  chooseReference,
  clearReference,
  firstStep,
  lastStep,
  moveChannel,
  moveLayer,
  moveStep,
  resetContrast,
  stretchContrast,
  swapRuns,
  toggleFollow,
  toggleOverlay,
  togglePlay,
} from "./actions";
import { moveDepth } from "./depths";
import { moveFinding, thresholdsShown } from "./findings";
import { foldAround, toggleStrips } from "./rows";
import {
  brush,
  helpShown,
  layer,
  layerInfo,
  looping,
  saveShown,
  search,
  step,
  VIEWS,
  type View,
  view,
  zoom,
} from "./state";
import { parentWindow } from "./theme";
import { COMPARE_KEYS } from "./views/compare/keys";
import { togglePulse } from "./views/propagation/pulse";
import { openChosen } from "./views/propagation/toggle";
import { resetZoom, zoomBy } from "./zoom";

type Keys = Readonly<Record<string, (event: KeyboardEvent) => void>>;

const KEYS: Keys = {
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
  r: () => {
    if (step.value !== null) chooseReference(step.value);
  },
  R: clearReference,
  x: swapRuns,
  n: () => moveFinding(1),
  N: () => moveFinding(-1),
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

/** What a key does in one view only, or otherwise than in the others. */
const KEYS_OF: Readonly<Partial<Record<View, Keys>>> = {
  layer: {
    "+": () => stretchContrast(1 / 1.25),
    "=": () => stretchContrast(1 / 1.25),
    "-": () => stretchContrast(1.25),
    "0": resetContrast,
    o: toggleOverlay,
    ",": () => moveDepth(layerInfo.value, -1),
    ".": () => moveDepth(layerInfo.value, 1),
  },
  propagation: { Enter: openChosen, p: togglePulse },
  compare: COMPARE_KEYS,
};

/** Leaves one thing at a time, the last opened first. */
function leave(): void {
  if (brush.value !== null) brush.value = null;
  else if (thresholdsShown.value) thresholdsShown.value = false;
  else if (helpShown.value || saveShown.value) helpShown.value = saveShown.value = false;
  else if (search.value !== "") search.value = "";
  else if (zoom.value !== null) resetZoom();
}

/** Lets go of a list that was opened with the pointer once something is chosen: the arrows move steps and layers again. */
function letGoOfLists(): void {
  let pointed: EventTarget | null = null;
  document.addEventListener("pointerdown", ({ target }) => {
    pointed = target;
  });
  document.addEventListener("change", ({ target }) => {
    if (target instanceof HTMLSelectElement && target === pointed) target.blur();
  });
}

/** Takes the keys back from TensorBoard's own bar when the pointer comes in, unless something is being typed there. */
function takeKeysBack(): void {
  document.documentElement.addEventListener("pointerenter", () => {
    const active = parentWindow()?.document.activeElement;
    if (active && !active.matches("input, textarea, select, [contenteditable]") && !document.hasFocus()) window.focus();
  });
}

/** Listens to the page's keys; those typed into a field, or that a control needs itself, are left alone. */
export function listenToKeys(): void {
  letGoOfLists();
  takeKeysBack();
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const target = event.target as HTMLElement;
    if (target instanceof HTMLInputElement) {
      if (event.key !== "Escape") return;
      target.blur();
    }
    if (target instanceof HTMLSelectElement && event.key !== "Escape") return;
    if (target instanceof HTMLButtonElement && (event.key === " " || event.key === "Enter")) return;
    const action = KEYS_OF[view.value]?.[event.key] ?? KEYS[event.key];
    if (action === undefined) return;
    event.preventDefault();
    action(event);
  });
}
