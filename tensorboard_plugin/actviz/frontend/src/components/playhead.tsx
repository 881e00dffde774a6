// The second playhead: where B is in the Compare view, when it is elsewhere than A.
import { formatCount } from "../format";
import { sideB } from "../sides";
import { axis, step, view } from "../state";

export function PlayheadB() {
  const side = sideB.value;
  if (view.value !== "compare" || side === null || side.step === step.value) return null;
  const left = `${axis.value.x(side.step)}px`;
  return (
    <>
      <div class="cursor other" style={{ left }} />
      <div class="playhead other" data-testid="playhead-b" style={{ left }}>
        B {formatCount(side.step)}
      </div>
    </>
  );
}
