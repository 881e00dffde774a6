// Sizes of the frame's parts.
import { computed, signal } from "@preact/signals";
import { kept } from "./keep";
import { rowsHeight } from "./rows";

const NARROW = 1000;
const USUAL_LEFT = 264;
const NARROW_LEFT = 168;
export const LEAST_LEFT = 112;
/** Below so many pixels the left column shows mark and name only. */
const SLIM_LEFT = 208;
/** Height of the lines above the tree and above the quilt. */
export const HEAD_HEIGHT = 24;
const LEAST_QUILT = 96;
const LEAST_BELOW = 96;

export const windowWidth = signal(globalThis.innerWidth ?? 1440);
/** Width that was chosen for the left column, and share of the height for the quilt. */
export const chosenLeft = kept("left");
const chosenQuilt = kept("quilt");

export const mostLeft = computed(() => Math.max(LEAST_LEFT, Math.min(640, Math.floor(windowWidth.value * 0.45))));

/** Width of the left column in CSS pixels. */
export const leftWidth = computed(() =>
  Math.max(
    LEAST_LEFT,
    Math.min(mostLeft.value, chosenLeft.value ?? (windowWidth.value <= NARROW ? NARROW_LEFT : USUAL_LEFT)),
  ),
);

/** Whether the left column has room for mark and name only. */
export const slim = computed(() => leftWidth.value < SLIM_LEFT);

/** Limits of the quilt's height in a view `available` pixels high. */
export function quiltLimits(available: number): { least: number; most: number } {
  const most = Math.max(LEAST_QUILT, Math.min(rowsHeight.value + 4, available - HEAD_HEIGHT - LEAST_BELOW));
  return { least: Math.min(LEAST_QUILT, most), most };
}

/** Height at which tree and quilt stand level. */
export function quiltHeight(available: number): number {
  const { least, most } = quiltLimits(available);
  return Math.max(least, Math.min(most, Math.floor((available - HEAD_HEIGHT) * (chosenQuilt.value ?? 0.56))));
}

export function chooseQuiltHeight(available: number, height: number | null): void {
  chosenQuilt.value = height === null ? null : height / (available - HEAD_HEIGHT);
}
