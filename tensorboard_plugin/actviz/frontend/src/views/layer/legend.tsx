// The colour scale: what it spans, and the window that the user gives it by dragging, or by its two ends.
import { useRef } from "preact/hooks";
import { resetContrast } from "../../actions";
import { css, lut } from "../../colour";
import { formatNumber } from "../../format";
import type { ScaleLimits } from "../../maps";
import { colormap, contrast, dark } from "../../state";

/** A drag over so many pixels halves or doubles the distance between the ends. */
const PIXELS_A_DOUBLING = 80;
const STEP = 1.1;

export interface LegendProps {
  limits: ScaleLimits;
  /** Only the half above zero: nothing is negative. */
  half: boolean;
  height: number;
  /** What the scale holds for, in a word or two. */
  of?: string;
}

interface Drag {
  y: number;
  upper: boolean;
  low: number;
  high: number;
}

export function Legend({ limits, half, height, of }: LegendProps) {
  const drag = useRef<Drag | null>(null);
  const table = lut(colormap.value, dark.value);
  const { high, clips } = limits;
  const low = half ? 0 : limits.low;
  const symmetric = limits.low === -high;
  const stops = Array.from({ length: 17 }, (_, index) => css(table, half ? 0.5 + index / 32 : index / 16)).join(", ");
  const inner = low < 0 && high > 0 ? [high / 2, 0, low / 2] : [(low + high) / 2];
  /** Gives the scale another end; on a symmetric scale both ends move. */
  const give = (end: "low" | "high", value: number) => {
    if (!Number.isFinite(value)) return;
    const size = Math.abs(value);
    if (symmetric && size > 0) contrast.value = [-size, size];
    else if (end === "high" && value > limits.low) contrast.value = [limits.low, value];
    else if (end === "low" && value < high) contrast.value = [value, high];
  };
  const start = (event: PointerEvent) => {
    const bar = event.currentTarget as HTMLElement;
    bar.setPointerCapture(event.pointerId);
    const upper = symmetric && half ? true : event.clientY < bar.getBoundingClientRect().top + height / 2;
    drag.current = { y: event.clientY, upper, low: limits.low, high };
  };
  const move = (event: PointerEvent) => {
    const from = drag.current;
    if (from === null) return;
    const factor = 2 ** ((from.y - event.clientY) / PIXELS_A_DOUBLING);
    if (symmetric)
      contrast.value = [
        -from.high * (from.upper ? factor : 1 / factor),
        from.high * (from.upper ? factor : 1 / factor),
      ];
    else if (from.upper) contrast.value = [from.low, from.low + (from.high - from.low) * factor];
    else contrast.value = [from.high - (from.high - from.low) / factor, from.high];
  };
  const textOf = (name: "low" | "high", value: number) =>
    (clips && value !== 0 ? (name === "high" ? "≥ " : "≤ ") : "") + formatNumber(value);
  const end = (name: "low" | "high", value: number) => (
    <input
      class={`scale-end ${name}`}
      data-testid={`scale-${name}`}
      aria-label={name === "high" ? "Upper end of the colour scale" : "Lower end of the colour scale"}
      title={`${clips ? "values beyond take this colour; " : ""}type another end, or use the arrow keys`}
      disabled={half && name === "low"}
      value={textOf(name, value)}
      onFocus={(event) => {
        event.currentTarget.value = String(Number(value.toPrecision(4)));
        event.currentTarget.select();
      }}
      onBlur={(event) => {
        event.currentTarget.value = textOf(name, value);
      }}
      onChange={(event) => give(name, Number.parseFloat(event.currentTarget.value.replace("\u2212", "-")))}
      onKeyDown={(event) => {
        if (event.key !== "ArrowUp" && event.key !== "ArrowDown") return;
        event.preventDefault();
        const up = (event.key === "ArrowUp") === value >= 0;
        give(name, value * (up ? STEP : 1 / STEP));
      }}
    />
  );
  return (
    <div class="colour-bar" style={{ height: `${height}px` }}>
      <div
        class="bar"
        data-testid="legend"
        role="img"
        aria-label={`Scale from ${formatNumber(low)} to ${formatNumber(high)}; the keys + and - change its contrast, 0 resets it`}
        title="drag: contrast (+ −); double click: as it was (0)"
        style={{ background: `linear-gradient(to top, ${stops})` }}
        onPointerDown={start}
        onPointerMove={move}
        onPointerUp={() => {
          drag.current = null;
        }}
        onDblClick={resetContrast}
      />
      {end("high", high)}
      {inner.map((value, index) => (
        <span key={index} style={{ top: `${((index + 1) / (inner.length + 1)) * 100}%` }}>
          {formatNumber(value)}
        </span>
      ))}
      {end("low", low)}
      {contrast.value !== null ? (
        <button
          type="button"
          class="scale-reset"
          data-testid="contrast-reset"
          title="the scale as it was (0)"
          onClick={resetContrast}
        >
          reset
        </button>
      ) : (
        of && <span class="scale-of hint">{of}</span>
      )}
    </div>
  );
}
