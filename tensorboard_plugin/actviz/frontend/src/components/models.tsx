// Which of several models that write to one run is in view: that of the chosen layer.
import { chooseLayer } from "../actions";
import { focusedRun, modelInView, models } from "../state";

/** Goes to the first layer of another model; nothing where the run has one. */
export function ModelChooser() {
  const model = models.value[focusedRun.value ?? ""];
  if (model === undefined || model.models.length < 2) return null;
  return (
    <label>
      Model
      <select
        data-testid="model"
        value={modelInView.value}
        onChange={(event) => {
          const first = model.layers.find((info) => (info.model ?? "") === event.currentTarget.value);
          if (first !== undefined) chooseLayer(first.name);
        }}
      >
        {model.models.map(({ name }) => (
          <option key={name} value={name}>
            {name || "(without a name)"}
          </option>
        ))}
      </select>
    </label>
  );
}
