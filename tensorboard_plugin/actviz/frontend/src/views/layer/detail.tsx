// What the plots of the Layer view are of: the layer, one of its channels, or its gradient.
import { choosesQuantity, type DetailOf, detailOf, quantity } from "../../state";

/** A choice of two or three, as words in a row. */
export function Choice<T extends string>({
  label,
  state,
  choices,
}: {
  label: string;
  state: { value: T };
  choices: readonly (readonly [T, string])[];
}) {
  return (
    <span class="choice" role="group" aria-label={label}>
      {choices.map(([value, text]) => (
        <button
          type="button"
          key={value}
          data-testid={`choose-${value}`}
          aria-pressed={state.value === value}
          onClick={() => {
            state.value = value;
          }}
        >
          {text}
        </button>
      ))}
    </span>
  );
}

type Detail = DetailOf | "gradient";

/** The two signals as one choice. */
export const detail = {
  get value(): Detail {
    return quantity.value === "gradients" ? "gradient" : detailOf.value;
  },
  set value(chosen: Detail) {
    quantity.value = chosen === "gradient" ? "gradients" : "activations";
    if (chosen !== "gradient") detailOf.value = chosen;
  },
};

/** `named`: the channel that there is to choose, or null. */
export function DetailChoice({ label, named }: { label: string; named: number | null }) {
  const choices: [Detail, string][] = [["layer", "layer"]];
  if (named !== null) choices.push(["channel", `channel ${named}`]);
  if (choosesQuantity.value) choices.push(["gradient", "gradient"]);
  return choices.length > 1 ? (
    <Choice label={label} state={detail} choices={choices} />
  ) : (
    <span class="hint">of the layer</span>
  );
}
