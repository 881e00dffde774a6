// Sizes that the reader chose, kept in this browser; where it keeps nothing (a sandboxed frame), until the page is closed.
import { effect, signal } from "@preact/signals";

/** A number that is kept under a name; null until it is chosen. */
export function kept(name: string) {
  const key = `actviz.${name}`;
  const state = signal<number | null>(null);
  try {
    const text = localStorage.getItem(key);
    const value = Number(text);
    if (text !== null && Number.isFinite(value)) state.value = value;
  } catch {
    return state;
  }
  effect(() => {
    try {
      if (state.value === null) localStorage.removeItem(key);
      else localStorage.setItem(key, String(state.value));
    } catch {
      // Full, or no longer allowed: it holds until the page is closed.
    }
  });
  return state;
}
