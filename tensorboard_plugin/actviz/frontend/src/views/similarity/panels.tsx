// The two matrices: layer by layer within a run; and between the runs, or step by step.
import type { ComponentChildren } from "preact";
import { useEffect } from "preact/hooks";
import { chooseLayer, chooseReference, chooseStep, openLayer } from "../../actions";
import { ApiError } from "../../api";
import type { MatrixCells } from "../../draw/matrix";
import { formatCount } from "../../format";
import { adviceOn, extremePairs, formatCka, LOWEST_COLOUR } from "../../similarity";
import {
  comparison,
  estimator,
  layer,
  modelIn,
  pairLayer,
  type RunLetter,
  referenceStep,
  step,
  stepsInView,
} from "../../state";
import { indexOfStep } from "../../stats";
import { GramState, type Similarity } from "../../types";
import { comparable, loggedAt, revisionOf, type SimilarityQuery, similarities, useLatest } from "./data";
import { labelRoom, Matrix } from "./matrix";

const PREFETCH = 3;
const MOST_STEPS = 512;

export interface Side {
  letter: RunLetter;
  run: string;
}

interface PanelProps {
  one: Side;
  other: Side;
  /** Width of the panel, names included, and height of its cells. */
  width: number;
  height: number;
  /** What stands in the title's place; left out: the title. */
  head?: ComponentChildren;
}

/** Which comparison the second matrix shows; nothing to choose without a second run. */
export function ComparisonChooser() {
  return (
    <select
      class="head-choice"
      data-testid="comparison"
      aria-label="What the second matrix compares"
      value={comparison.value}
      onChange={(event) => {
        comparison.value = event.currentTarget.value as typeof comparison.value;
      }}
    >
      <option value="between">Between runs</option>
      <option value="steps">Step by step</option>
    </select>
  );
}

/** The comparison of two runs' layers (or one run's with themselves) at a step; null where one of them did not log it. */
function layersQuery({ one, other }: Pick<PanelProps, "one" | "other">, at: number | null): SimilarityQuery | null {
  const logged = [loggedAt(one.run, at), loggedAt(other.run, at)] as const;
  if (at === null || logged[0] === null || logged[1] === null || comparable(other.run).length === 0) return null;
  const otherRun = one.run === other.run ? {} : { otherRun: other.run };
  const names = { model: modelIn(one.run), otherModel: modelIn(other.run) };
  return { run: one.run, ...otherRun, ...names, step: at, estimator: estimator.value, logged: [logged[0], logged[1]] };
}

/** Asks for the comparisons of the steps round one, one after the other, until what it returns is called. */
function prefetch(at: number, queryAt: (step: number | null) => SimilarityQuery | null): () => void {
  let current = true;
  const steps = stepsInView.value;
  const here = indexOfStep(steps, at);
  void (async () => {
    for (let away = 1; away <= PREFETCH; away++)
      for (const index of [here + away, here - away]) {
        const query = queryAt(steps[index] ?? null);
        if (current && query !== null) await similarities.get(query).catch(() => undefined);
      }
  })();
  return () => {
    current = false;
  };
}

/** Why two runs cannot be compared at the step in view, where that is known without asking. */
function absentSide({ one, other }: Pick<PanelProps, "one" | "other">): string | null {
  for (const { run, letter } of [one, other]) {
    if (comparable(run).length === 0) return `Run ${letter} has no probe.`;
    if (step.value !== null && loggedAt(run, step.value) === null)
      return `Run ${letter} did not log step ${formatCount(step.value)}.`;
  }
  return null;
}

export function LayersPanel(props: PanelProps) {
  const { one, other } = props;
  const within = one.run === other.run;
  const query = layersQuery(props, step.value);
  const { shown, waiting, error } = useLatest(similarities, query);
  useEffect(() => {
    if (shown === null || shown.step === null || shown.step !== step.value) return undefined;
    return prefetch(shown.step, (at) => layersQuery(props, at));
  }, [shown]);
  const title = within ? "Layer by layer" : "Between runs";
  const absent = absentSide(props);
  if (absent !== null) return <Words {...props} title={title} words={absent} />;
  if (error !== null) return <Words {...props} title={title} words={wordsOf(error, props)} />;
  const ofModels = shown?.model === modelIn(one.run) && shown.otherModel === modelIn(other.run);
  if (shown === null || !ofModels || !isOf(shown, props))
    return <Words {...props} title={title} words={waiting ? "Comparing." : ""} />;
  if (shown.sameInputs === false)
    return (
      <Words
        {...props}
        title={title}
        words="The two runs were shown different inputs (or labels): a comparison would mean nothing. Give both the same probe."
      />
    );
  const at = shown.step as number;
  const rows = axisLayers(shown, one.run, "rows");
  const columns = axisLayers(shown, other.run, "columns");
  const cells = cellsOf(shown, rows, columns);
  const row = rows.indexOf(layer.value ?? "");
  const column = columns.indexOf(pairLayer.value ?? "");
  const sides = within ? `${one.letter} with ${one.letter}` : `rows ${one.letter}, columns ${other.letter}`;
  const name = (index: number, letter: RunLetter, names: readonly string[]) =>
    within ? names[index] : `${names[index]} (${letter})`;
  return (
    <Matrix
      testid={within ? "matrix-within" : "matrix-between"}
      title={title}
      head={props.head}
      about={
        <>
          {sides}, step {formatCount(at)}
          {waiting && step.value !== null && ` · waiting for step ${formatCount(step.value)}`}
          {shown.sameInputs === null && " · whether the inputs are the same is not known"}
        </>
      }
      summary={summaryOf(shown, `${rows.length} layers, ${sides}, step ${at}`, rows, columns, cells.values)}
      rows={rows}
      columns={columns}
      cells={cells}
      side={sideOf(props, rows, columns)}
      selectedRow={row}
      selectedColumn={column}
      describe={(i, j) =>
        `${name(i, one.letter, rows)} and ${name(j, other.letter, columns)}: ${valueWords(cells, i, j)}`
      }
      onChoose={(i, j) => {
        if (rows[i] === layer.value && columns[j] === pairLayer.value) openLayer(rows[i] as string);
        chooseLayer(rows[i] as string);
        pairLayer.value = columns[j] as string;
      }}
      note={absentWords(cells, rows, within ? null : columns) || (within ? advice(shown) : "")}
      data={{ run: one.run, otherRun: other.run, step: String(at), estimator: shown.estimator }}
      fileName={`cka_${one.run}${within ? "" : `_${other.run}`}_step-${at}`}
    />
  );
}

export function StepsPanel(props: PanelProps) {
  const { one, other, width, height } = props;
  const name = layer.value;
  const columns = Math.max(2, Math.min(MOST_STEPS, Math.floor(Math.min(width, height))));
  const otherRun = one.run === other.run ? {} : { otherRun: other.run };
  const query: SimilarityQuery | null =
    name === null
      ? null
      : {
          run: one.run,
          ...otherRun,
          layer: name,
          columns,
          estimator: estimator.value,
          logged: [revisionOf(one.run), revisionOf(other.run)],
        };
  const { shown, waiting, error } = useLatest(similarities, query);
  const title = "Step by step";
  if (error !== null) return <Words {...props} title={title} words={wordsOf(error, props)} />;
  if (shown === null || shown.layer !== name || !isOf(shown, props))
    return <Words {...props} title={title} words={waiting ? "Comparing." : ""} />;
  const rows = shown.rows as readonly number[];
  const cells = cellsOf(shown, rows, shown.columns);
  const every = Math.max(1, Math.round(shown.logged[0] / rows.length));
  return (
    <Matrix
      testid="matrix-steps"
      title={title}
      head={props.head}
      about={`${name}, run ${one.letter}${every > 1 ? `, about every ${every}th logged step` : ""}`}
      summary={summaryOf(shown, `${rows.length} steps of ${name}, run ${one.letter}`, rows, rows, cells.values)}
      rows={rows}
      columns={rows}
      cells={cells}
      side={sideOf(props, rows, rows)}
      selectedRow={indexOfStep(rows, step.value)}
      selectedColumn={indexOfStep(rows, referenceStep.value)}
      describe={(i, j) =>
        `steps ${formatCount(rows[i] as number)} and ${formatCount(rows[j] as number)}: ${valueWords(cells, i, j)}`
      }
      onChoose={(i, j) => {
        chooseStep(rows[i] as number);
        chooseReference(rows[j] as number);
      }}
      note={absentWords(cells, rows, null)}
      data={{ run: one.run, otherRun: one.run, layer: name as string, estimator: shown.estimator }}
      fileName={`cka_${one.run}_${name}_steps`}
    />
  );
}

function isOf(shown: Similarity, { one, other }: Pick<PanelProps, "one" | "other">): boolean {
  return shown.run === one.run && shown.otherRun === other.run && shown.estimator === estimator.value;
}

/** The layers of a side: all that a run compares, so that a row stays where it is; those of the answer where it has not all. */
function axisLayers(shown: Similarity, run: string, side: "rows" | "columns"): string[] {
  const answered = shown[side] as readonly string[];
  const all = comparable(run).map((info) => info.name);
  const whole =
    answered.length === shown.logged[side === "rows" ? 0 : 1] && answered.every((name) => all.includes(name));
  return whole ? all : [...answered];
}

/** The answer's cells on these axes; no value where the answer has none. */
function cellsOf(
  shown: Similarity,
  rows: readonly (string | number)[],
  columns: readonly (string | number)[],
): MatrixCells {
  const values = new Float32Array(rows.length * columns.length).fill(Number.NaN);
  const from = (names: readonly (string | number)[], axis: readonly (string | number)[]) => {
    const places = new Map(names.map((name, index) => [name, index]));
    return axis.map((name) => places.get(name) ?? -1);
  };
  const [ofRow, ofColumn] = [from(shown.rows, rows), from(shown.columns, columns)];
  for (const [row, source] of ofRow.entries())
    for (const [column, other] of ofColumn.entries())
      if (source >= 0 && other >= 0)
        values[row * columns.length + column] = shown.cka[source * shown.columns.length + other] as number;
  const states = (all: Uint8Array, places: readonly number[]) =>
    Uint8Array.from(places, (place) => (place < 0 ? GramState.Missing : (all[place] as number)));
  return {
    rows: rows.length,
    columns: columns.length,
    values,
    rowStates: states(shown.rowStates, ofRow),
    columnStates: states(shown.columnStates, ofColumn),
    low: LOWEST_COLOUR[shown.estimator],
  };
}

function sideOf(
  { width, height }: PanelProps,
  rows: readonly (string | number)[],
  columns: readonly (string | number)[],
): number {
  return Math.floor(Math.max(80, rows.length, columns.length, Math.min(width - labelRoom(rows), height)));
}

function advice({ run, estimator: method, samples }: Similarity): string {
  const features = comparable(run).map(({ shape }) =>
    (shape ?? []).slice(1).reduce((size, extent) => size * extent, 1),
  );
  return adviceOn(method, samples, Math.max(0, ...features));
}

const STATE_WORDS: Readonly<Record<number, string>> = {
  [GramState.Equal]: "equal for all samples",
  [GramState.NonFinite]: "NaN or infinity",
  [GramState.Missing]: "no Gram matrix",
};

function valueWords({ values, columns, rowStates, columnStates }: MatrixCells, row: number, column: number): string {
  const value = values[row * columns + column] as number;
  if (!Number.isNaN(value)) return value.toFixed(4).replace("-", "\u2212");
  return STATE_WORDS[Math.max(rowStates[row] as number, columnStates[column] as number)] ?? "no value";
}

/** Which rows and columns have no value, and why. */
function absentWords(
  { rowStates, columnStates }: MatrixCells,
  rows: readonly (string | number)[],
  columns: readonly (string | number)[] | null,
): string {
  const parts: string[] = [];
  for (const state of [GramState.Equal, GramState.NonFinite, GramState.Missing]) {
    const names = [
      ...rows.filter((_, index) => rowStates[index] === state),
      ...(columns ?? []).filter((_, index) => columnStates[index] === state),
    ];
    if (names.length === 0) continue;
    const shown = names.length > 5 ? `${names.slice(0, 4).join(", ")} and ${names.length - 4} more` : names.join(", ");
    parts.push(`${shown}: ${STATE_WORDS[state]}`);
  }
  return parts.join("; ");
}

function summaryOf(
  shown: Similarity,
  what: string,
  rows: readonly (string | number)[],
  columns: readonly (string | number)[],
  values: Float32Array,
): string {
  const pairs = extremePairs(rows, columns, values);
  const pair = ([row, column]: [number, number]) =>
    `${rows[row]} and ${columns[column]}, ${formatCka(values[row * columns.length + column] as number)}`;
  const method = shown.estimator === "biased" ? "Linear CKA" : "Debiased linear CKA";
  const found =
    pairs === null ? "Nothing can be compared." : `Least alike: ${pair(pairs.least)}; most: ${pair(pairs.most)}.`;
  return `${method} of ${what}, ${shown.samples} samples. ${found}`;
}

/** Why there is no matrix. */
function wordsOf(error: Error, { one, other }: Pick<PanelProps, "one" | "other">): string {
  const code = error instanceof ApiError ? error.code : "";
  if (code !== "no_data" && code !== "no_layer") return `${error.message}.`;
  const runs = one.run === other.run ? `Run ${one.letter}` : `Run ${one.letter} or ${other.letter}`;
  return `${runs} has no Gram matrix here: ${error.message}.`;
}

function Words({ title, head, words, width, height }: PanelProps & { title: string; words: string }) {
  return (
    <section class="matrix" style={{ width: `${width}px` }} data-testid="matrix-words">
      <div class="panel-head flush">{head ?? <h2>{title}</h2>}</div>
      <p class="matrix-words" style={{ height: `${Math.min(width, height)}px` }}>
        {words}
      </p>
    </section>
  );
}
