// The keyboard.
import {
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
import { helpShown, search, VIEWS, view } from "./state";
import { COMPARE_KEYS } from "./views/compare/keys";
import { togglePulse } from "./views/propagation/pulse";
import { openChosen } from "./views/propagation/toggle";

const ACTIONS: Readonly<Record<string, (event: KeyboardEvent) => void>> = {
  ArrowLeft: (event) => moveStep(event.shiftKey ? -10 : -1),
  ArrowRight: (event) => moveStep(event.shiftKey ? 10 : 1),
  Home: firstStep,
  End: lastStep,
  ArrowUp: () => moveLayer(-1),
  ArrowDown: () => moveLayer(1),
  "[": () => moveChannel(-1),
  "]": () => moveChannel(1),
  "+": () => stretchContrast(1 / 1.25),
  "-": () => stretchContrast(1.25),
  "0": resetContrast,
  o: toggleOverlay,
  " ": togglePlay,
  f: toggleFollow,
  x: swapRuns,
  Enter: () => {
    if (view.value === "propagation") openChosen();
  },
  p: () => {
    if (view.value === "propagation") togglePulse();
  },
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
  Escape: () => {
    helpShown.value = false;
    search.value = "";
  },
};

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
    if (target instanceof HTMLButtonElement && (event.key === " " || event.key === "Enter")) return;
    const action = (view.value === "compare" ? COMPARE_KEYS[event.key] : undefined) ?? ACTIONS[event.key];
    if (action === undefined) return;
    event.preventDefault();
    action(event);
  });
}
