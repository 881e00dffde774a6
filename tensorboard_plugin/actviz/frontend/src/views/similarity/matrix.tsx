// One matrix of CKA: by pointer and by keyboard, with the value of a cell below it.
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { lut } from "../../colour";
import { Canvas } from "../../components/canvas";
import { cellAt, drawMatrix, edge, type MatrixCells } from "../../draw/matrix";
import { shorten } from "../../format";
import { palette } from "../../palette";
import { saveBlob } from "../../saving";
import { matrixCsv } from "../../similarity";
import { dark } from "../../state";

const LABEL_CHARACTERS = 13;
const CHARACTER = 6.2;
/** Names stand as close as can be read; of numbers a few are enough. */
const NAME_PITCH = 12;
const NUMBER_PITCH = 32;

export interface MatrixProps {
  testid: string;
  title: string;
  /** What stands in the title's place; left out: the title. */
  head?: ComponentChildren;
  /** What it is of, where the step in view does not say it all. */
  about: ComponentChildren;
  /** The same in a sentence, for who does not see the picture. */
  summary: string;
  rows: readonly (string | number)[];
  columns: readonly (string | number)[];
  cells: MatrixCells;
  side: number;
  selectedRow: number;
  selectedColumn: number;
  /** What a cell says. */
  describe: (row: number, column: number) => string;
  onChoose: (row: number, column: number) => void;
  /** What is absent, in words. */
  note: string;
  data: Readonly<Record<string, string>>;
  fileName: string;
}

/** Room for the longest of some names. */
export function labelRoom(names: readonly (string | number)[]): number {
  const longest = Math.max(2, ...names.map((name) => Math.min(LABEL_CHARACTERS, String(name).length)));
  return Math.ceil(longest * CHARACTER) + 8;
}

export function Matrix(props: MatrixProps) {
  const { testid, title, rows, columns, cells, side, selectedRow, selectedColumn } = props;
  const [hovered, setHovered] = useState<[number, number] | null>(null);
  const [cursor, setCursor] = useState<[number, number] | null>(null);
  const marked = hovered ?? cursor ?? (selectedColumn >= 0 && selectedRow >= 0 ? [selectedRow, selectedColumn] : null);
  const read = marked !== null && marked[0] < rows.length && marked[1] < columns.length ? marked : null;
  const room = labelRoom(rows);
  const draw = (context: CanvasRenderingContext2D, canvas: HTMLCanvasElement) => {
    const written = drawMatrix(context, cells, side, lut("statistics", dark.value), palette.value);
    Object.assign(canvas.dataset, props.data);
    canvas.dataset.numbers = written.join(" ");
    canvas.dataset.low = String(cells.low);
    canvas.dataset.rows = rows.join("\n");
    canvas.dataset.columns = columns.join("\n");
  };
  const place = (event: PointerEvent | MouseEvent): [number, number] | null => {
    const bounds = (event.currentTarget as HTMLElement).getBoundingClientRect();
    const row = cellAt(event.clientY - bounds.top, rows.length, side);
    const column = cellAt(event.clientX - bounds.left, columns.length, side);
    return row < 0 || column < 0 ? null : [row, column];
  };
  const move = (event: KeyboardEvent) => {
    const [down, right] = MOVES[event.key] ?? [0, 0];
    const [row, column] = cursor ?? [Math.max(0, selectedRow), Math.max(0, selectedColumn)];
    if (event.key === "Enter") props.onChoose(row, column);
    else if (down === 0 && right === 0) return;
    else
      setCursor([
        Math.max(0, Math.min(rows.length - 1, row + down)),
        Math.max(0, Math.min(columns.length - 1, column + right)),
      ]);
    event.preventDefault();
    event.stopPropagation(); // within the matrix the arrows move in it, not through layers and steps
  };
  return (
    <section class="matrix" style={{ width: `${room + side}px` }} data-testid={testid}>
      <div class="panel-head flush">
        {props.head ?? <h2>{title}</h2>}
        <span class="hint">{props.about}</span>
        <span class="spacer" />
        <button
          type="button"
          class="hint save"
          title="Save the matrix as CSV"
          onClick={() => {
            const csv = matrixCsv(title, rows, columns, cells.values);
            const name = props.fileName.replace(/[^A-Za-z0-9._-]+/g, "-");
            saveBlob(new Blob([csv], { type: "text/csv" }), `${name}.csv`);
          }}
        >
          CSV
        </button>
      </div>
      <div class="matrix-body" style={{ paddingLeft: `${room}px` }}>
        <RowNames names={rows} side={side} selected={selectedRow} width={room - 6} />
        <div
          class="matrix-cells"
          role="group"
          // biome-ignore lint/a11y/noNoninteractiveTabindex: its cells are reached by the arrow keys
          tabIndex={0}
          aria-label={`${props.summary} Arrow keys: a cell; Enter: choose it.`}
          style={{ width: `${side}px`, height: `${side}px` }}
          onKeyDown={move}
          onBlur={() => setCursor(null)}
          onPointerMove={(event) => setHovered(place(event))}
          onPointerLeave={() => setHovered(null)}
          onClick={(event) => {
            const cell = place(event);
            if (cell !== null) props.onChoose(...cell);
          }}
        >
          <Canvas width={side} height={side} draw={draw} deps={[cells, side]} role="img" aria-label={props.summary} />
          <Outline rows={rows.length} columns={columns.length} side={side} row={selectedRow} column={null} kind="row" />
          {selectedColumn >= 0 && (
            <Outline
              rows={rows.length}
              columns={columns.length}
              side={side}
              row={selectedRow}
              column={selectedColumn}
              kind="pair"
            />
          )}
          {(hovered ?? cursor) && read && (
            <Outline
              rows={rows.length}
              columns={columns.length}
              side={side}
              row={read[0]}
              column={read[1]}
              kind="hover"
            />
          )}
        </div>
        <ColumnNames names={columns} side={side} selected={selectedColumn} />
      </div>
      <p class="readout-line" aria-live="polite" data-testid="cell-value">
        {read ? props.describe(read[0], read[1]) : props.note}
      </p>
    </section>
  );
}

const MOVES: Readonly<Record<string, readonly [number, number]>> = {
  ArrowUp: [-1, 0],
  ArrowDown: [1, 0],
  ArrowLeft: [0, -1],
  ArrowRight: [0, 1],
};

interface OutlineProps {
  rows: number;
  columns: number;
  side: number;
  row: number;
  /** null: the whole row. */
  column: number | null;
  kind: "row" | "pair" | "hover";
}

function Outline({ rows, columns, side, row, column, kind }: OutlineProps) {
  if (row < 0) return null;
  const [top, bottom] = [edge(row, rows, side), edge(row + 1, rows, side)];
  const [left, right] = column === null ? [0, side] : [edge(column, columns, side), edge(column + 1, columns, side)];
  return (
    <div
      class={`outline ${kind}`}
      style={{
        left: `${left - 1}px`,
        top: `${top - 1}px`,
        width: `${Math.max(3, right - left + 1)}px`,
        height: `${Math.max(3, bottom - top + 1)}px`,
      }}
    />
  );
}

/** Which names have room, so that they do not touch: each so manieth, and always the selected one. */
function shownNames(names: readonly (string | number)[], side: number, selected: number): number[] {
  const pitch = side / names.length;
  const apart = typeof names[0] === "number" ? NUMBER_PITCH : NAME_PITCH;
  const every = Math.max(1, Math.ceil(apart / pitch));
  const isFree = (index: number) =>
    selected < 0 || Math.abs(index - selected) * pitch >= Math.min(apart, every * pitch);
  return Array.from(names.keys()).filter((index) => index === selected || (index % every === 0 && isFree(index)));
}

interface NamesProps {
  names: readonly (string | number)[];
  side: number;
  selected: number;
}

function RowNames({ names, side, selected, width }: NamesProps & { width: number }) {
  return (
    <div class="row-names" style={{ width: `${width}px` }} aria-hidden="true">
      {shownNames(names, side, selected).map((index) => (
        <span
          key={index}
          class={index === selected ? "selected" : ""}
          title={String(names[index])}
          style={{ top: `${(edge(index, names.length, side) + edge(index + 1, names.length, side)) / 2 - 7}px` }}
        >
          {shorten(String(names[index]), LABEL_CHARACTERS)}
        </span>
      ))}
    </div>
  );
}

function ColumnNames({ names, side, selected }: NamesProps) {
  const apart = typeof names[0] === "number" ? Math.max(NUMBER_PITCH, side / names.length) : side / names.length;
  const upright = labelRoom(names) - 4 > apart;
  return (
    <div
      class={upright ? "column-names upright" : "column-names"}
      style={{ height: `${upright ? labelRoom(names) : 16}px` }}
      aria-hidden="true"
    >
      {shownNames(names, side, selected).map((index) => (
        <span
          key={index}
          class={index === selected ? "selected" : ""}
          title={String(names[index])}
          style={{ left: `${(edge(index, names.length, side) + edge(index + 1, names.length, side)) / 2}px` }}
        >
          {shorten(String(names[index]), LABEL_CHARACTERS)}
        </span>
      ))}
    </div>
  );
}
