// A line between two panels that can be moved, by pointer and by keyboard.

const STEP = 16;
const LARGE_STEP = 64;

interface Props {
  /** What is made larger or smaller. */
  label: string;
  /** The line's own direction: `vertical` stands between left and right. */
  orientation: "vertical" | "horizontal";
  /** Size of the panel left of it, or above it, in CSS pixels. */
  size: number;
  least: number;
  most: number;
  /** The size that was chosen; null: the usual one. */
  onChange: (size: number | null) => void;
  testid: string;
}

export function Splitter({ label, orientation, size, least, most, onChange, testid }: Props) {
  const vertical = orientation === "vertical";
  const set = (wanted: number) => onChange(Math.round(Math.max(least, Math.min(most, wanted))));
  const place = (event: PointerEvent) => (vertical ? event.clientX : event.clientY);
  return (
    <div
      class={`splitter ${orientation}`}
      role="separator"
      tabIndex={0}
      data-testid={testid}
      aria-label={label}
      aria-orientation={orientation}
      aria-valuenow={Math.round(size)}
      aria-valuemin={least}
      aria-valuemax={most}
      title={`${label}: drag, or arrow keys; double click for the usual size`}
      onPointerDown={(event) => {
        event.currentTarget.setPointerCapture(event.pointerId);

        event.currentTarget.dataset.grip = String(place(event) - size);
        event.preventDefault();
        event.currentTarget.focus();
      }}
      onPointerMove={(event) => {
        if (event.currentTarget.hasPointerCapture(event.pointerId))
          set(place(event) - Number(event.currentTarget.dataset.grip));
      }}
      onDblClick={() => onChange(null)}
      onKeyDown={(event) => {
        const by = event.shiftKey ? LARGE_STEP : STEP;
        const moves: Record<string, number> = {
          [vertical ? "ArrowLeft" : "ArrowUp"]: size - by,
          [vertical ? "ArrowRight" : "ArrowDown"]: size + by,
          Home: least,
          End: most,
        };
        const wanted = moves[event.key];
        if (wanted === undefined) return;
        event.preventDefault();
        event.stopPropagation(); // the arrows go through steps and layers elsewhere
        set(wanted);
      }}
    />
  );
}
