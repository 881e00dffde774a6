// Play through: a signal that runs through the layers, row after row. It changes neither selection nor URL.
import { signal } from "@preact/signals";

const SLOWEST_MS = 300;
const FASTEST_MS = 60;
const WHOLE_MS = 6000;
const REST_MS = 700;

/** The row that the signal has reached, `INPUT_ROW` for the input; null: it does not run. */
export const pulse = signal<number | null>(null);
/** The rows that it goes through, in order; the view sets them. */
export const pulseRows = signal<readonly number[]>([]);

let timer = 0;

export function stopPulse(): void {
  clearTimeout(timer);
  pulse.value = null;
}

/** Starts the signal at the input, or stops it. */
export function togglePulse(): void {
  const rows = pulseRows.value;
  if (pulse.value !== null || rows.length === 0) {
    stopPulse();
    return;
  }
  const wait = Math.max(FASTEST_MS, Math.min(SLOWEST_MS, WHOLE_MS / rows.length));
  const reach = (index: number) => {
    if (index >= rows.length) {
      stopPulse();
      return;
    }
    pulse.value = rows[index] as number;
    timer = window.setTimeout(() => reach(index + 1), index === rows.length - 1 ? REST_MS : wait);
  };
  reach(0);
}
