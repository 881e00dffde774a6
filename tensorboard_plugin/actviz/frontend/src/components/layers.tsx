// The layers in execution order, each with a mark, and its statistic over the steps.
import { useEffect, useRef } from "preact/hooks";
import { chooseLayer, openLayer } from "../actions";
import { runColour } from "../colour";
import { drawSparkline } from "../draw/sparkline";
import { byLayer, signOf } from "../findings";
import { shorten } from "../format";
import { palette } from "../palette";
import { type LayerRow, rows, rowsScroll, toggleGroup, typeOf } from "../rows";
import { dark, layer, loggedSteps, search, shownRuns, stat, statScale, stats, step } from "../state";
import { isFraction, statLabel } from "../statistics";
import { rowOf } from "../stats";
import { Canvas } from "./canvas";

const SPARK_WIDTH = 84;

export function Search() {
  return (
    <div class="search">
      <svg width="12" height="12" viewBox="0 0 12 12" aria-hidden="true">
        <circle cx="5" cy="5" r="3.5" fill="none" stroke="currentColor" />
        <path d="M8 8l3 3" stroke="currentColor" />
      </svg>
      <input
        data-testid="search"
        id="search"
        type="text"
        placeholder="Search layers"
        aria-label="Search layers by text or glob"
        value={search.value}
        onInput={(event) => {
          search.value = event.currentTarget.value;
        }}
      />
      <kbd>/</kbd>
    </div>
  );
}

/** What is wrong with a layer in the shown runs, the worst and then the earliest first. */
function faults(name: string): { sign: string; severity: string; words: string } | null {
  const found = byLayer.value.get(name);
  if (found === undefined) return null;
  const worst = found.find(({ finding }) => finding.severity === "bad") ?? found[0];
  if (worst === undefined) return null;
  const words = found.map(
    ({ letter, finding }) => `run ${letter}, from step ${finding.first_step}: ${finding.sentence}`,
  );
  return { sign: signOf(worst.finding), severity: worst.finding.severity, words: words.join("\n") };
}

function LayerItem({ row }: { row: LayerRow }) {
  const name = row.info.name;
  const selected = layer.value === name;
  const ref = useRef<HTMLButtonElement>(null);
  useEffect(() => {
    if (selected) ref.current?.scrollIntoView({ block: "nearest" });
  }, [selected]);
  const wrong = faults(name);
  return (
    <button
      type="button"
      ref={ref}
      class="layer-row"
      role="option"
      tabIndex={-1}
      data-testid="layer-row"
      data-layer={name}
      aria-selected={selected}
      style={{ height: `${row.height}px` }}
      title={wrong ? `${name}\n${wrong.words}` : name}
      onClick={() => (selected ? openLayer(name) : chooseLayer(name))}
    >
      <span class={wrong ? `mark ${wrong.severity}` : "mark"} aria-hidden="true">
        {wrong?.sign ?? "•"}
      </span>
      <span class="name">{shorten(row.label, 24)}</span>
      <span class="type">{typeOf(row.info)}</span>
      <Sparkline name={name} height={row.height - 8} />
    </button>
  );
}

function Sparkline({ name, height }: { name: string; height: number }) {
  const steps = loggedSteps.value;
  const lines = shownRuns.value.flatMap(({ run }) => {
    const known = stats.value[run];
    return known ? [{ steps: known.steps, values: rowOf(known, name), colour: runColour(run, dark.value) }] : [];
  });
  const first = steps[0] ?? 0;
  const last = steps[steps.length - 1] ?? 1;
  return (
    <Canvas
      width={SPARK_WIDTH}
      height={height}
      aria-hidden="true"
      draw={(context) =>
        drawSparkline(
          context,
          lines,
          { first, last, width: SPARK_WIDTH, height },
          statScale.value === "log" && !isFraction(stat.value),
          step.value,
          palette.value.accent,
        )
      }
    />
  );
}

export function Layers({ height }: { height: number | null }) {
  const ref = useRef<HTMLDivElement>(null);
  const shown = rows.value;
  useEffect(() => {
    const tree = ref.current;
    if (tree && Math.abs(tree.scrollTop - rowsScroll.value) > 1) tree.scrollTop = rowsScroll.value;
  }, [rowsScroll.value]);
  return (
    <>
      <div class="tree-head hint">
        <span>Layer</span>
        <span class="stat">
          {statLabel(stat.value)}
          {statScale.value === "log" && !isFraction(stat.value) ? ", log" : ""}
        </span>
      </div>
      <div
        class="tree"
        ref={ref}
        role="listbox"
        aria-label="Layers in execution order"
        tabIndex={0}
        style={height === null ? { flex: "1 1 0" } : { flex: `0 1 ${height}px` }}
        onScroll={(event) => {
          rowsScroll.value = event.currentTarget.scrollTop;
        }}
        onKeyDown={(event) => {
          if (event.key === "Enter" && layer.value !== null) openLayer(layer.value);
        }}
      >
        {shown.map((row) =>
          row.kind === "group" ? (
            <button
              type="button"
              class="group-row"
              key={`group ${row.top} ${row.group}`}
              style={{ height: `${row.height}px` }}
              title={row.group}
              aria-expanded={!row.folded}
              onClick={() => toggleGroup(row.group)}
            >
              <span class="turn">{row.folded ? "▸" : "▾"}</span>
              <span class="name">{shorten(row.group, 34)}</span>
            </button>
          ) : (
            <LayerItem key={row.info.name} row={row} />
          ),
        )}
        {shown.length === 0 && search.value !== "" && (
          <div class="no-match">No layer's name has “{search.value}” in it.</div>
        )}
      </div>
    </>
  );
}
