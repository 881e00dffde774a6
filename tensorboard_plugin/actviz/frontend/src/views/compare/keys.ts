// The keys of the Compare view, besides those of every view.
import { signal } from "@preact/signals";
import { clearStepB, moveStepB, swapSides } from "../../sides";
import { COMPARE_MODES, compareMode, matchChannels, type RunLetter } from "../../state";

/** Where, from 0 to 1, A ends and B begins in each map. */
export const wipeEdge = signal(0.5);
/** Which side blinking shows now, and whether it goes on by itself. */
export const blinkShown = signal<RunLetter>("A");
export const blinking = signal(!globalThis.matchMedia?.("(prefers-reduced-motion: reduce)").matches);

export function blink(): void {
  blinkShown.value = blinkShown.value === "A" ? "B" : "A";
}

function moveEdge(by: number): void {
  wipeEdge.value = Math.max(0, Math.min(1, wipeEdge.value + by));
}

export const COMPARE_KEYS: Readonly<Record<string, () => void>> = {
  x: swapSides,
  ",": () => moveStepB(-1),
  ".": () => moveStepB(1),
  "<": () => moveStepB(-10),
  ">": () => moveStepB(10),
  c: clearStepB,
  m: () => {
    matchChannels.value = !matchChannels.value;
  },
  d: () => {
    compareMode.value = COMPARE_MODES[
      (COMPARE_MODES.indexOf(compareMode.value) + 1) % COMPARE_MODES.length
    ] as (typeof COMPARE_MODES)[number];
  },
  "-": () => moveEdge(-0.05),
  "=": () => moveEdge(0.05),
  "+": () => moveEdge(0.05),
  k: () => {
    blinking.value = false;
    blink();
  },
};

export const COMPARE_HELP: readonly (readonly [string, string])[] = [
  [", .", "B's own step: previous, next logged one (< > ten)"],
  ["c", "B's step the same as A's again"],
  ["m", "channels of B matched to A's by correlation"],
  ["d", "side by side, wipe, blink, difference"],
  ["- +", "edge of the wipe"],
  ["k", "blink by hand"],
];
