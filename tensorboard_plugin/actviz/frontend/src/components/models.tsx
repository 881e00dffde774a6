// Which of several models that write to one run is in view: that of the chosen layer.
import { chooseLayer } from "../actions";
import { focusedRun, modelInView, models } from "../state";
import { Chooser } from "./chooser";

/** Set to another one, it goes to that one's first layer. */
const chosen = {
  get value(): string {
    return modelInView.value;
  },
  set value(name: string) {
    const layers = models.value[focusedRun.value ?? ""]?.layers ?? [];
    const first = layers.find((info) => (info.model ?? "") === name);
    if (first !== undefined) chooseLayer(first.name);
  },
};

/** Nothing where the run has one model. */
export function ModelChooser() {
  const names = models.value[focusedRun.value ?? ""]?.models.map(({ name }) => name) ?? [];
  if (names.length < 2) return null;
  const choices = names.map((name) => [name, name || "(without a name)"] as const);
  return <Chooser label="Model" testid="model" state={chosen} choices={choices} />;
}
