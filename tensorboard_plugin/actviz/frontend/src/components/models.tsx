// Which of several models that write to one run is in view: that of the chosen layer.
import { chooseLayer } from "../actions";
import { focusedRun, modelIn, models } from "../state";
import { Chooser } from "./chooser";

function layersOfRun() {
  return models.value[focusedRun.value ?? ""]?.layers ?? [];
}

/** Set to another one, it goes to that one's first layer. */
const chosen = {
  get value(): string {
    return modelIn(focusedRun.value);
  },
  set value(name: string) {
    const first = layersOfRun().find((info) => (info.model ?? "") === name);
    if (first !== undefined) chooseLayer(first.name);
  },
};

/** Nothing where the run has one model. */
export function ModelChooser() {
  const names = [...new Set(layersOfRun().map((info) => info.model ?? ""))];
  if (names.length < 2) return null;
  const choices = names.map((name) => [name, name || "(without a name)"] as const);
  return <Chooser label="Model" testid="model" state={chosen} choices={choices} />;
}
