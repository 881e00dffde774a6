// The Layer view's controls in the title line.
import { setFocus } from "../../actions";
import { Swatch } from "../../components/frame";
import {
  type ChannelSort,
  type ColormapName,
  channelSort,
  colormap,
  focus,
  type ScaleMode,
  sample,
  scaleMode,
  shownRuns,
} from "../../state";
import { useInputs, useMaps } from "./data";

interface ChooserProps<T extends string> {
  label: string;
  testid: string;
  state: { value: T };
  choices: readonly (readonly [T, string])[];
}

export function Chooser<T extends string>({ label, testid, state, choices }: ChooserProps<T>) {
  return (
    <label>
      {label}
      <select
        data-testid={testid}
        value={state.value}
        onChange={(event) => {
          state.value = event.currentTarget.value as T;
        }}
      >
        {choices.map(([value, text]) => (
          <option key={value} value={value}>
            {text}
          </option>
        ))}
      </select>
    </label>
  );
}

/** Which run's maps are shown, where two are chosen. */
export function FocusRun() {
  if (shownRuns.value.length < 2) return null;
  return (
    <>
      {shownRuns.value.map(({ letter, run }) => (
        <button
          type="button"
          key={letter}
          class="focus-run"
          aria-pressed={focus.value === letter}
          aria-label={`Show run ${letter}: ${run}`}
          title={run}
          onClick={() => setFocus(letter)}
        >
          <Swatch letter={letter} run={run} />
        </button>
      ))}
    </>
  );
}

export function LayerControls() {
  const { shown } = useMaps();
  const inputs = useInputs(shown);
  const count = shown?.maps.samples.length ?? 0;
  return (
    <>
      {shown?.maps.layout === "channels" && (
        <Chooser<ChannelSort>
          label="Sort"
          testid="sort"
          state={channelSort}
          choices={[
            ["index", "index"],
            ["mean", "mean"],
            ["zero", "zeros"],
          ]}
        />
      )}
      <Chooser<ScaleMode>
        label="Scale"
        testid="scale-mode"
        state={scaleMode}
        choices={[
          ["locked", "locked over steps"],
          ["layer", "this step"],
          ["map", "each map"],
        ]}
      />
      <Chooser<ColormapName>
        label="Colour"
        testid="colormap"
        state={colormap}
        choices={(["activations", "viridis", "cividis", "inferno", "grey"] as const).map((name) => [name, name])}
      />
      <label>
        Sample
        <select
          data-testid="sample"
          value={Math.min(sample.value, Math.max(0, count - 1))}
          onChange={(event) => {
            sample.value = Number(event.currentTarget.value);
          }}
        >
          {Array.from({ length: count }, (_, index) => (
            <option key={index} value={index}>
              {inputs?.labels?.[index] !== undefined ? `${index}: ${inputs.labels[index]}` : String(index)}
            </option>
          ))}
        </select>
      </label>
      <FocusRun />
    </>
  );
}
