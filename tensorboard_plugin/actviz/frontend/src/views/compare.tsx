// Two (run, step) pairs, map by map and layer by layer.
import { useEffect, useRef, useState } from "preact/hooks";
import { Chooser } from "../components/chooser";
import { widestChannel } from "../maps";
import { sideA, sideB } from "../sides";
import {
  type CompareMode,
  channel,
  colormap,
  compareMode,
  layer,
  mainWidth,
  matchChannels,
  runB,
  runs,
  sample,
  scaleLocked,
  scaleMode,
} from "../state";
import { Overlaid, type SideRecords, StatisticsTable } from "./compare/bottom";
import { useAtStep, useDifferences, useHistory, usePair } from "./compare/data";
import { ChannelsByChange, LayersByChange } from "./compare/lists";
import { Panels, spareHeight } from "./compare/panels";
import { rankChannels } from "./compare/rank";
import { sceneOf } from "./compare/scene";
import { mismatch } from "./compare/tiles";
import "./compare.css";

const MODES: readonly (readonly [CompareMode, string])[] = [
  ["side", "side by side"],
  ["wipe", "wipe"],
  ["blink", "blink"],
  ["difference", "difference only"],
];

/** Height of the part below the maps: at least, and how much more where the maps leave it. */
const LOW = 192;
const MOST_SPARE = 200;

export function CompareControls() {
  const { pair } = usePair();
  const samples = pair?.a.maps.samples ?? [];
  const labels = pair?.a.inputs?.labels;
  return (
    <>
      <button
        type="button"
        class="toggle"
        data-testid="match"
        aria-pressed={matchChannels.value}
        title="Each channel of A beside the one of B that correlates with it (m)"
        onClick={() => {
          matchChannels.value = !matchChannels.value;
        }}
      >
        Match channels
      </button>
      <Chooser<CompareMode> label="Mode" testid="mode" state={compareMode} choices={MODES} />
      <Chooser
        label="Scale"
        testid="compare-scale"
        state={{
          get value() {
            return scaleLocked.value ? "locked" : "layer";
          },
          set value(chosen: "locked" | "layer") {
            scaleMode.value = chosen;
          },
        }}
        choices={[
          ["locked", "locked over both runs"],
          ["layer", "these maps"],
        ]}
      />
      <label>
        Sample
        <select
          data-testid="sample"
          value={Math.min(sample.value, Math.max(0, samples.length - 1))}
          onChange={(event) => {
            sample.value = Number(event.currentTarget.value);
          }}
        >
          {samples.map((number, index) => (
            <option key={number} value={index}>
              {labels?.[index] !== undefined ? `${index}: ${labels[index]}` : String(index)}
            </option>
          ))}
        </select>
      </label>
    </>
  );
}

export function CompareView({ available }: { available: number }) {
  const { pair, waiting, error } = usePair();
  const [a, b] = [sideA.value, sideB.value];
  const [ofA, ofB] = [useHistory(a), useHistory(b)];
  const [atA, atB] = [useAtStep(a, ofA.history), useAtStep(b, ofB.history)];
  const { differences, error: differencesError } = useDifferences();
  const holder = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(800);
  useEffect(() => {
    if (!holder.current) return undefined;
    const observer = new ResizeObserver(([entry]) => entry && setWidth(Math.floor(entry.contentRect.width)));
    observer.observe(holder.current);
    return () => observer.disconnect();
  }, []);
  useEffect(() => {
    if (pair?.a.maps.layout === "channels" && (channel.value === null || !pair.a.maps.channels.includes(channel.value)))
      channel.value = widestChannel(pair.a.maps, sample.value);
  }, [pair?.a.maps]);
  // The shared scale is known only with both histories: no picture on another scale before that.
  const settled = (ofA.history || ofA.error !== null) && (ofB.history || ofB.error !== null);
  const statistics = [ofA.history?.statistics ?? null, ofB.history?.statistics ?? null];
  const scene = pair && settled ? sceneOf(pair, statistics, sample.value, scaleLocked.value) : null;
  const sides: SideRecords[] = [];
  if (a && ofA.history && atA) sides.push({ side: a, history: ofA.history, histograms: atA.histograms });
  if (b && ofB.history && atB) sides.push({ side: b, history: ofB.history, histograms: atB.histograms });
  // Numbers of channels say nothing where the layer has another shape in B.
  const unrelated = pair !== null && mismatch(pair.a.maps, pair.b.maps, pair.matching !== null) !== null;
  const matching = matchChannels.value ? (pair?.matching ?? null) : null;
  const current = pair !== null && pair.a.side.step === a?.step && pair.b.side.step === b?.step;
  const channels =
    a && b && atA && atB && !unrelated && (matching === null || current)
      ? rankChannels(atA.channels, a.step, atB.channels, b.step, matching)
      : [];
  const unmatched = scene && matching ? scene.pairs.filter(({ b: partner }) => partner < 0).length : null;
  const height = Math.max(220, available - LOW - 40);
  const spare = scene ? spareHeight(scene, width, height) : 0;
  const low = LOW + Math.min(MOST_SPARE, spare);
  const narrow = width < 620;
  const words = error ?? ofA.error ?? ofB.error ?? (pair === null && (!a || !b) ? "Nothing was logged yet." : null);
  return (
    <div
      class={`compare${mainWidth.value < 960 ? " stacked" : ""}`}
      data-testid="compare-view"
      data-colormap={colormap.value}
    >
      <div class={`compare-main${narrow ? " narrow" : ""}`} ref={holder}>
        <Notes
          same={pair?.same ?? null}
          matchError={pair?.matchError ?? null}
          waiting={waiting ? `${a?.step} and ${b?.step}` : null}
        />
        {scene ? (
          <Panels scene={scene} width={width} height={height} />
        ) : (
          <p class="layer-words" data-testid="compare-words">
            {words ?? ""}
          </p>
        )}
        <div class="compare-bottom">
          {sides.length > 0 && <Overlaid sides={sides} width={narrow ? width : width - 316} height={low - 48} />}
          <StatisticsTable sides={sides} />
        </div>
      </div>
      <aside class="compare-lists" aria-label="Ranked by change" style={{ height: `${available}px` }}>
        <LayersByChange differences={differences} error={differencesError} />
        <ChannelsByChange
          key={layer.value}
          rows={channels}
          unmatched={unmatched}
          steps={a && b ? [a.step, b.step] : null}
        />
      </aside>
    </div>
  );
}

function Notes({
  same,
  matchError,
  waiting,
}: {
  same: string | null;
  matchError: string | null;
  waiting: string | null;
}) {
  const notes = [];
  if (runB.value === null)
    notes.push(
      runs.value && runs.value.runs.length > 1
        ? "No second run is chosen: B is this run at another step."
        : "One run: B is the same one at another step.",
    );
  if (same === "unknown")
    notes.push("Whether A and B show the same inputs cannot be told: they were logged without pictures.");
  if (matchError !== null) notes.push(`Channels are not matched: ${matchError}`);
  if (waiting !== null) notes.push(`waiting for steps ${waiting}`);
  return notes.length > 0 ? (
    <p class="hint compare-notes" role="status" data-testid="compare-notes">
      {notes.join(" ")}
    </p>
  ) : null;
}
