// The second playhead: where B is in the Compare view, when it is elsewhere than A; else the reference step, where one was chosen.
import { computed } from "@preact/signals";
import { clearReference } from "../actions";
import { formatCount } from "../format";
import { sideB } from "../sides";
import { axis, referenceStep, step, view } from "../state";

/** The step that it stands at; null: there is none. */
export const secondStep = computed(() => {
  if (view.value !== "compare") return referenceStep.value;
  const at = sideB.value?.step ?? null;
  return at === step.value ? null : at;
});

export function SecondPlayhead() {
  return view.value === "compare" ? (
    <Head name="B" at={secondStep.value} testid="playhead-b" />
  ) : (
    <Head name="reference" at={secondStep.value} testid="playhead-reference" />
  );
}

function Head({ name, at, testid }: { name: string; at: number | null; testid: string }) {
  const { first, last, x } = axis.value;
  if (at === null || at < first || at > last) return null;
  return (
    <button
      type="button"
      class="playhead other"
      data-testid={testid}
      style={{ left: `${x(at)}px` }}
      title={`${name} at step ${formatCount(at)}; click, or R: not any more`}
      onPointerDown={(event) => event.stopPropagation()}
      onClick={clearReference}
    >
      {name} {formatCount(at)}
    </button>
  );
}
