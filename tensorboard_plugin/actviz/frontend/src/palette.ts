// The page's colours for canvases, read from the style sheet, so that they are written down once.
import { computed } from "@preact/signals";
import { dark } from "./state";

const NAMES = ["bg", "panel", "line", "line2", "ink", "ink2", "ink3", "accent", "bad", "warn"] as const;

export type Palette = Readonly<Record<(typeof NAMES)[number], string>>;

export const palette = computed<Palette>(() => {
  void dark.value;
  const style = getComputedStyle(document.documentElement);
  return Object.fromEntries(NAMES.map((name) => [name, style.getPropertyValue(`--${name}`).trim()])) as Palette;
});

export const FONT = '11px Roboto, system-ui, -apple-system, "Segoe UI", sans-serif';
