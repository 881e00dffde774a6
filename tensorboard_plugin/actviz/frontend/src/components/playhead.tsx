// The second playhead: where B is in the Compare view, when it is elsewhere than A.
import { formatCount } from "../format";
import { sideB } from "../sides";
import { axis, step, view } from "../state";

export function PlayheadB() {
  const side = sideB.value;
  const { first, last, x } = axis.value;
  if (view.value !== "compare" || side === null || side.step === step.value) return null;
  if (side.step < first || side.step > last) return null;
  const left = `${x(side.step)}px`;
  return (
    <>
      <div class="cursor other" style={{ left }} />
      <div class="playhead other" data-testid="playhead-b" style={{ left }}>
        B {formatCount(side.step)}
      </div>
    </>
  );
}
