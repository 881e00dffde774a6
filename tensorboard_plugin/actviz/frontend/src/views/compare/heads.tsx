// What stands above the maps: whose they are, their scale, and what the mode is steered with.
import { changeColour, css, lut, type ScaleName } from "../../colour";
import { Swatch } from "../../components/frame";
import { formatCount, formatNumber, shorten } from "../../format";
import type { ScaleLimits } from "../../maps";
import { clearStepB, moveStepB } from "../../sides";
import { dark, type RunLetter, stepB } from "../../state";
import type { ShownSide } from "./data";
import { blink, blinking, wipeEdge } from "./keys";

/** `half`: only from zero on, where no value is below. */
export function Scale({ name, limits, half }: { name: ScaleName; limits: ScaleLimits; half: boolean }) {
  const table = lut(name, dark.value);
  const stops = Array.from({ length: 17 }, (_, index) => css(table, half ? 0.5 + index / 32 : index / 16)).join(", ");
  const end = limits.clips ? [half ? "" : "≤ ", "≥ "] : ["", ""];
  const low = half ? 0 : limits.low;
  return (
    <span class="legend" role="img" aria-label={`Scale from ${formatNumber(low)} to ${formatNumber(limits.high)}`}>
      {end[0]}
      {formatNumber(low)}
      <span class="ramp" style={{ background: `linear-gradient(to right, ${stops})` }} />
      {end[1]}
      {formatNumber(limits.high)}
    </span>
  );
}

/** What the two halves of the scale of differences say, each in its own colour. */
export function ChangeWords() {
  return (
    <span class="change-words" data-testid="change-words">
      <span style={{ color: changeColour(-1, dark.value) }}>less in B</span>,{" "}
      <span style={{ color: changeColour(1, dark.value) }}>more in B</span>
    </span>
  );
}

export function SideHead({ shown }: { shown: ShownSide }) {
  const { letter, run, step } = shown.side;
  return (
    <div class="side-head" data-testid={`side-${letter.toLowerCase()}`} data-run={run} data-step={step}>
      <Swatch letter={letter} run={run} />
      <strong title={run}>{shorten(run, 22)}</strong>
      <span class="side-step">step {formatCount(step)}</span>
      {letter === "B" && (
        <span class="steppers">
          <button
            type="button"
            aria-label="B: former logged step"
            title="B: former logged step (,)"
            onClick={() => moveStepB(-1)}
          >
            ◀
          </button>
          <button
            type="button"
            aria-label="B: next logged step"
            title="B: next logged step (.)"
            onClick={() => moveStepB(1)}
          >
            ▶
          </button>
          {stepB.value !== null && (
            <button
              type="button"
              data-testid="clear-step-b"
              title="B's step as if none were set (c)"
              onClick={clearStepB}
            >
              clear
            </button>
          )}
        </span>
      )}
    </div>
  );
}

export function Words({ text }: { text: string }) {
  return (
    <p class="compare-words" role="status" data-testid="compare-words">
      {text}
    </p>
  );
}

export function BlinkHead({ shown }: { shown: RunLetter }) {
  return (
    <span class="steppers">
      <span class="blink-letter" data-testid="blink-shown">
        {shown}
      </span>
      <button
        type="button"
        aria-pressed={blinking.value}
        onClick={() => {
          blinking.value = !blinking.value;
        }}
      >
        {blinking.value ? "hold" : "blink"}
      </button>
      <button
        type="button"
        title="Show the other one (k)"
        onClick={() => {
          blinking.value = false;
          blink();
        }}
      >
        show the other one
      </button>
    </span>
  );
}

export function WipeHead() {
  return (
    <label class="steppers">
      A
      <input
        type="range"
        min={0}
        max={100}
        value={Math.round(wipeEdge.value * 100)}
        aria-label="Edge between A and B in each map, per cent"
        title="Drag in a map, or the keys - and +"
        onInput={(event) => {
          wipeEdge.value = Number(event.currentTarget.value) / 100;
        }}
      />
      B
    </label>
  );
}
