// The layers in execution order, each with a mark, and its statistic over the steps.
import { computed } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { chooseLayer, openLayer } from "../actions";
import { runColour } from "../colour";
import { statsInView } from "../detail";
import { drawSparkline, sparkX } from "../draw/sparkline";
import { byLayer, signOf } from "../findings";
import { leftWidth, slim } from "../layout";
import {
  expanded,
  type GroupRow,
  type LayerRow,
  rows,
  rowsScroll,
  toggleGroup,
  toggleStrips,
  typeOf,
  useRowsScroll,
} from "../rows";
import { axis, dark, drawnStat, laneRuns, layer, search, shownStat, statScale, step, view } from "../state";
import { isFraction } from "../statistics";
import { rowOf } from "../stats";
import { fitted } from "../text";
import { Canvas } from "./canvas";

const SPARK_WIDTH = 84;
const SPARK_RIGHT = 18;
const MARK_WIDTH = 28;
const INDENT = 8;
const NAME_SIZE = 13;
const LEAST_NAME = 48;
/** A thin scrollbar, where it takes room. */
const SCROLLBAR = 8;
/** Sparklines so many pixels above and below what is in view are drawn ahead. */
const AHEAD = 600;
const screen = computed(() => Math.floor(rowsScroll.value / AHEAD) * AHEAD);

function isNear(row: { top: number }): boolean {
  return row.top > screen.value - AHEAD && row.top < screen.value + globalThis.innerHeight + 2 * AHEAD;
}

/** As much of a name as fits the left column. */
function named(label: string, depth: number, beside: number): string {
  const room = leftWidth.value - MARK_WIDTH - depth * INDENT - beside - SCROLLBAR;
  return fitted(label, Math.max(LEAST_NAME, room), NAME_SIZE);
}

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
  const open = expanded.value.has(name);
  return (
    <div class="layer-slot" style={{ height: `${row.height}px` }}>
      <button
        type="button"
        ref={ref}
        class="layer-row"
        role="treeitem"
        tabIndex={-1}
        data-testid="layer-row"
        data-layer={name}
        aria-selected={selected}
        aria-level={row.depth + 1}
        style={{ height: `${row.lanes}px` }}
        title={wrong ? `${name}\n${wrong.words}` : name}
        onClick={() => (selected ? openLayer(name) : chooseLayer(name))}
      >
        <span class={wrong ? `mark ${wrong.severity}` : "mark"} aria-hidden="true">
          {wrong?.sign ?? "•"}
        </span>
        <span class="name" style={{ paddingLeft: `${row.depth * INDENT}px` }}>
          {named(row.label, row.depth, slim.value ? 16 : SPARK_WIDTH + SPARK_RIGHT + 14)}
        </span>
        <span class="type">{typeOf(row.info)}</span>
        {!slim.value && isNear(row) && <Sparkline name={name} height={Math.min(20, row.lanes - 6)} />}
      </button>
      {view.value === "overview" && !slim.value && (
        <button
          type="button"
          class="turn-strips"
          data-testid="turn-strips"
          tabIndex={-1}
          aria-expanded={open}
          aria-label={`Values of ${name} in its row`}
          title="Values over steps in the row (v)"
          style={{ height: `${row.lanes}px` }}
          onClick={() => toggleStrips(name)}
        >
          {open ? "▾" : "▸"}
        </button>
      )}
    </div>
  );
}

function GroupItem({ row }: { row: GroupRow }) {
  const layersWithin = `${row.layers.length} ${row.layers.length === 1 ? "layer" : "layers"}`;
  return (
    <button
      type="button"
      class="group-row"
      role="treeitem"
      aria-level={row.depth + 1}
      aria-expanded={!row.folded}
      data-testid="group-row"
      data-group={row.group}
      style={{ height: `${row.height}px`, paddingLeft: `${12 + row.depth * INDENT}px` }}
      title={
        row.folded
          ? `${row.group}: ${layersWithin}\nfolded: the values are its last layer's, the hatch is of all of them`
          : `${row.group}: ${layersWithin}`
      }
      onClick={() => toggleGroup(row.group)}
    >
      <span class="turn">{row.folded ? "▸" : "▾"}</span>
      <span class="name">{named(row.label, row.depth, row.folded && !slim.value ? 76 : 16)}</span>
      {row.folded && !slim.value && <span class="hint">{layersWithin}</span>}
    </button>
  );
}

function Sparkline({ name, height }: { name: string; height: number }) {
  const lines = laneRuns.value.flatMap(({ run }) => {
    const known = statsInView(run);
    return known ? [{ steps: known.steps, values: rowOf(known, name), colour: runColour(run, dark.value) }] : [];
  });
  return (
    <Canvas
      width={SPARK_WIDTH}
      height={height}
      aria-hidden="true"
      deps={[...lines.map(({ values }) => values), ...lines.map(({ colour }) => colour)]}
      draw={(context) =>
        drawSparkline(context, lines, axis.value, { width: SPARK_WIDTH, height }, drawnStat.value, statScale.value)
      }
    />
  );
}

/** The cursor of all sparklines. */
function SparkCursor() {
  const { first, last } = axis.value;
  const here = step.value;
  if (here === null || here < first || here > last || slim.value) return null;
  const right = SPARK_RIGHT + SPARK_WIDTH - sparkX(axis.value, SPARK_WIDTH, here);
  return <div class="cursor" style={{ right: `${right - 0.5}px` }} />;
}

/** The selected layer stays in view when the tree becomes lower, as when findings arrive below it. */
function keepSelectedInView(tree: HTMLElement): () => void {
  let before = tree.clientHeight;
  const observer = new ResizeObserver(() => {
    const row = tree.querySelector<HTMLElement>("[aria-selected=true]");
    const top = row ? row.getBoundingClientRect().top - tree.getBoundingClientRect().top : -1;
    if (top >= 0 && top < before) row?.scrollIntoView({ block: "nearest" });
    before = tree.clientHeight;
  });
  observer.observe(tree);
  return () => observer.disconnect();
}

export function Layers({ height }: { height: number | null }) {
  const { ref, onScroll } = useRowsScroll();
  const shown = rows.value;
  useEffect(() => keepSelectedInView(ref.current as HTMLElement), []);
  return (
    <>
      <div class="tree-head hint">
        <span>Layer</span>
        {!slim.value && (
          <span class="stat">
            {shownStat.value}
            {statScale.value === "linear" || isFraction(drawnStat.value) ? "" : `, ${statScale.value}`}
          </span>
        )}
      </div>
      <div
        class={height === null ? "tree free" : "tree"}
        ref={ref}
        role="tree"
        aria-label="Layers in execution order"
        tabIndex={0}
        style={height === null ? {} : { flex: `0 0 ${height}px` }}
        onScroll={onScroll}
        onKeyDown={(event) => {
          if (event.key === "Enter" && event.target === event.currentTarget && layer.value !== null)
            openLayer(layer.value);
        }}
      >
        <div class="tree-rows">
          {shown.map((row) =>
            row.kind === "group" ? (
              <GroupItem key={`group ${row.top} ${row.group}`} row={row} />
            ) : (
              <LayerItem key={row.info.name} row={row} />
            ),
          )}
          <SparkCursor />
        </div>
        {shown.length === 0 && search.value !== "" && (
          <div class="no-match">No layer's name has “{search.value}” in it.</div>
        )}
      </div>
    </>
  );
}
