// How alike representations are: layers, steps and runs, and the samples on their principal components.
import { useMemo } from "preact/hooks";
import { setFocus } from "../actions";
import { css, lut } from "../colour";
import { Swatch } from "../components/frame";
import { ModelChooser } from "../components/models";
import { sameInputs } from "../inputs";
import { LOWEST_COLOUR, turnedOnto } from "../similarity";
import { comparison, dark, estimator, focus, focusedRun, layer, mainWidth, models, sample, shownRuns } from "../state";
import type { Estimator } from "../types";
import { comparable, projections, revisionOf, useLatest, useProbe } from "./similarity/data";
import { Dimensions, Frames, type RunHistory } from "./similarity/history";
import { WithoutProbe } from "./similarity/missing";
import { ComparisonChooser, LayersPanel, type Side, StepsPanel } from "./similarity/panels";
import { Samples } from "./similarity/samples";
import "./similarity.css";

const GAP = 28;
const INSET = 16;
const WIDE = 1000;

export function SimilarityControls() {
  const shown = shownRuns.value;
  const run = focusedRun.value;
  if (run === null || shown.every((each) => comparable(each.run).length === 0)) return <ModelChooser />;
  return (
    <>
      <ModelChooser />
      <Estimators />
      <Legend />
      <SampleChooser run={run} />
      {shown.length > 1 &&
        shown.map(({ letter, run: each }) => (
          <button
            type="button"
            key={letter}
            class="focus-run"
            aria-pressed={focus.value === letter}
            aria-label={`Show run ${letter}: ${each}`}
            title={each}
            onClick={() => setFocus(letter)}
          >
            <Swatch letter={letter} run={each} />
          </button>
        ))}
    </>
  );
}

/** Of the samples whose maps are logged: the same choice as in the Layer view. */
function SampleChooser({ run }: { run: string }) {
  const probe = useProbe(run);
  if (probe === null || probe.samples.length === 0) return null;
  return (
    <label>
      Sample
      <select
        data-testid="sample"
        value={Math.min(sample.value, probe.samples.length - 1)}
        onChange={(event) => {
          sample.value = Number(event.currentTarget.value);
        }}
      >
        {probe.samples.map((each, index) => (
          <option key={each} value={index}>
            {probe.labels?.[each] === undefined ? each : `${each}: ${probe.labels[each]}`}
          </option>
        ))}
      </select>
    </label>
  );
}

const ESTIMATORS_WORDS =
  "Linear CKA grows towards 1 where a layer has more features than the probe has samples, whatever they are of: it is for many samples. " +
  "Debiased CKA is for small probes; it scatters the more, the fewer the samples.";

function Estimators() {
  return (
    <label title={ESTIMATORS_WORDS}>
      Estimator
      <select
        data-testid="estimator"
        value={estimator.value}
        onChange={(event) => {
          estimator.value = event.currentTarget.value as Estimator;
        }}
      >
        <option value="unbiased">debiased CKA: small probes</option>
        <option value="biased">linear CKA: many samples</option>
      </select>
    </label>
  );
}

function Legend() {
  const table = lut("statistics", dark.value);
  const stops = Array.from({ length: 9 }, (_, index) => css(table, index / 8)).join(", ");
  return (
    <span class="legend" role="img" aria-label={`Colours from ${LOWEST_COLOUR[estimator.value]} or less to 1`}>
      ≤ {LOWEST_COLOUR[estimator.value]}
      <span style={{ width: "72px", height: "10px", background: `linear-gradient(to right, ${stops})` }} />1
    </span>
  );
}

/** What a run's samples did over the steps; the layer before is never returned for this one. */
function useRunHistory(of: Side | undefined): RunHistory | null {
  const name = layer.value;
  const there = of !== undefined && comparable(of.run).some((info) => info.name === name);
  const query = of !== undefined && there ? { run: of.run, layer: name as string, logged: revisionOf(of.run) } : null;
  const { shown, error } = useLatest(projections, query);
  const probe = useProbe(of?.run ?? null);
  if (of === undefined) return null;
  const history = shown !== null && shown.run === of.run && shown.layer === name ? shown : null;
  const missing =
    comparable(of.run).length === 0
      ? `Run ${of.letter} has no probe.`
      : `Run ${of.letter} has no Gram matrices of ${name}.`;
  return {
    of,
    history,
    words: error !== null ? `${error.message}.` : there ? "" : missing,
    probe,
    turned: false,
  };
}

/** What both runs' samples did; where they are the same ones, B's plane is turned onto A's. */
function useHistories([one, other]: readonly Side[]): (RunHistory | null)[] {
  const [a, b] = [useRunHistory(one), useRunHistory(other)];
  const same = a?.history && b?.history && sameInputs(a.probe, b.probe, ["probe", "probe"]) === "same";
  const onto = same ? a.history : null;
  const history = b?.history ?? null;
  const turned = useMemo(() => (history && onto ? turnedOnto(history, onto) : history), [history, onto]);
  return [a, b && { ...b, history: turned, turned: turned !== history }];
}

/** Sizes such that all fit the page; in a low one it scrolls. */
function sizes(
  available: number,
  runs: number,
): { columns: number; width: number; height: number; frame: number; lines: number } {
  const columns = mainWidth.value > WIDE ? 3 : 2;
  const width = Math.floor((mainWidth.value - 2 * INSET - GAP * (columns - 1)) / columns);
  const frame = Math.round(Math.max(54, Math.min(112, available * 0.09)));
  const lines = Math.round(Math.max(52, Math.min(110, available * 0.1)));
  const below = runs * (frame + 6) + lines + 2 * 28;
  return { columns, width, height: Math.max(200, available - below - 34 - 20 - 24 - 12), frame, lines };
}

export function SimilarityView({ available }: { available: number }) {
  const shown = shownRuns.value;
  const histories = useHistories(shown).filter((each) => each !== null);
  const focused = histories.find(({ of }) => of.run === focusedRun.value) ?? histories[0];
  if (focused === undefined || shown.some(({ run }) => models.value[run] === undefined))
    return <p class="no-match">Reading the run.</p>;
  if (shown.every(({ run }) => comparable(run).length === 0)) return <WithoutProbe />;
  const { width, height, frame, lines } = sizes(available, shown.length);
  const [one, other] = [shown[0] as Side, shown[1]];
  const panel = { width, height };
  const head = other && <ComparisonChooser />;
  return (
    <div data-testid="similarity-view">
      <div class="similarity-top">
        <LayersPanel {...panel} one={focused.of} other={focused.of} />
        {other !== undefined && comparison.value === "between" ? (
          <LayersPanel {...panel} one={one} other={other} head={head} />
        ) : (
          <StepsPanel {...panel} one={focused.of} other={focused.of} head={head} />
        )}
        <Samples of={focused.of} history={focused.history} probe={focused.probe} width={width} height={height} />
      </div>
      <Frames runs={histories} side={frame} />
      <Dimensions runs={histories} height={lines} />
    </div>
  );
}
