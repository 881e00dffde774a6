// Light or dark, as TensorBoard's page around this one is.
import { dark } from "./state";

/** The page around this frame; null where it cannot be reached (another origin), or there is none. */
export function parentWindow(): Window | null {
  try {
    return window.parent !== window && window.parent.document ? window.parent : null;
  } catch {
    return null;
  }
}

/** Follows the class `dark-mode` of TensorBoard's body; without TensorBoard around, the system's preference. */
export function followTheme(): void {
  const body = parentWindow()?.document.body;
  const preference = window.matchMedia("(prefers-color-scheme: dark)");
  const update = () => {
    const wanted = body ? body.classList.contains("dark-mode") : preference.matches;
    document.documentElement.classList.toggle("dark", wanted);
    dark.value = wanted; // after the class: what draws reads its colours from the style
  };
  if (body) new MutationObserver(update).observe(body, { attributes: true, attributeFilter: ["class"] });
  else preference.addEventListener("change", update);
  update();
}
