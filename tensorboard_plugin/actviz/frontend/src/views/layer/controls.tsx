// The Layer view's controls in the title line.
import { setFocus } from "../../actions";
import { Chooser } from "../../components/chooser";
import { Swatch } from "../../components/frame";
import { depthIn, depthsOf } from "../../depths";
import { shorten } from "../../format";
import {
  type ChannelSort,
  type ColormapName,
  channelSort,
  colormap,
  depth,
  focus,
  layerInfo,
  layerPart,
  overlay,
  type ScaleMode,
  sample,
  scaleMode,
  shownRuns,
} from "../../state";
import { type ShownMaps, useInputs, useMaps, usePlace } from "./data";
import { Choice } from "./detail";
import { inputBelow } from "./overlay";

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

function SortChooser({ shown }: { shown: ShownMaps | null }) {
  if (shown?.maps.layout !== "channels") return null;
  return (
    <Chooser<ChannelSort>
      label="Sort"
      testid="sort"
      state={channelSort}
      choices={[
        ["index", "index"],
        ["mean", "mean"],
        ["change", `change since the reference${shown.maps.source === "probe" ? "" : " (needs a probe)"}`],
        ["zero", "zeros"],
      ]}
    />
  );
}

/** Whose values give the limits of the colour scale. */
export function ScaleChooser({ state, overRuns }: { state: { value: ScaleMode }; overRuns: boolean }) {
  return (
    <Chooser<ScaleMode>
      label="Scale"
      testid="scale-mode"
      state={state}
      choices={[
        ["locked", "locked over steps"],
        ["layer", "this step"],
        ["map", "each map"],
        ...(overRuns ? ([["runs", "locked over runs"]] as const) : []),
      ]}
    />
  );
}

/** Which logged slice of a volume is shown. */
function DepthSlider() {
  const info = layerInfo.value;
  const logged = depthsOf(info);
  const here = depthIn(info);
  if (here === null || logged.length < 2) return null;
  return (
    <label title="slice of the volume (, and .)">
      Depth {here}
      <input
        type="range"
        data-testid="depth"
        aria-valuetext={`slice ${here}`}
        min="0"
        max={logged.length - 1}
        step="1"
        value={logged.indexOf(here)}
        onInput={(event) => {
          depth.value = logged[Number(event.currentTarget.value)] as number;
        }}
      />
    </label>
  );
}

export function LayerControls() {
  const { shown } = useMaps();
  const inputs = useInputs(shown);
  const count = shown?.maps.samples.length ?? 0;
  const place = usePlace();
  const at = shown === null ? 0 : Math.min(sample.value, shown.maps.samples.length - 1);
  return (
    <>
      {place !== null && (
        <Choice
          label="Show"
          state={layerPart}
          choices={[
            ["output", "output"],
            ["attention", "attention"],
          ]}
        />
      )}
      {shown && inputBelow(inputs, shown.maps, at) >= 0 && (
        <label title="maps over their input (o)">
          Overlay
          <input
            type="range"
            data-testid="overlay"
            min="0"
            max="1"
            step="0.1"
            value={overlay.value}
            onInput={(event) => {
              overlay.value = Number(event.currentTarget.value);
            }}
          />
        </label>
      )}
      {(place === null || layerPart.value === "output") && <DepthSlider />}
      {place === null || layerPart.value === "output" ? <SortChooser shown={shown} /> : null}
      <ScaleChooser state={scaleMode} overRuns={shownRuns.value.length > 1 || scaleMode.value === "runs"} />
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
              {inputs?.labels?.[index] !== undefined
                ? `${index}: ${shorten(inputs.labels[index] as string, 24)}`
                : String(index)}
            </option>
          ))}
        </select>
      </label>
      <FocusRun />
    </>
  );
}
