// The keyboard.
import { firstStep, lastStep, moveChannel, moveLayer, moveStep, swapRuns, toggleFollow, togglePlay } from "./actions";
import { moveFinding } from "./findings";
import { helpShown, search, VIEWS, view } from "./state";

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
  n: () => moveFinding(1),
  N: () => moveFinding(-1),
  x: swapRuns,
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
    if (target instanceof HTMLButtonElement && event.key === " ") return;
    const action = ACTIONS[event.key];
    if (action === undefined) return;
    event.preventDefault();
    action(event);
  });
}
