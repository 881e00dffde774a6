// CKA matrices and projections, as numbers and words: pure.
import { formatCount } from "./format";
import { indexOfStep } from "./stats";
import { type Estimator, GramState, type Projection } from "./types";

/** Where the colours of CKA begin, so that they mean the same at every step: the biased estimator is seldom near zero. */
export const LOWEST_COLOUR: Readonly<Record<Estimator, number>> = { biased: 0.5, unbiased: 0 };

const FAR_OUT = 1.5;
/** So that a label at the edge is whole. */
const MARGIN = 1.06;

/** `.98`; `1.00` where it is rounded, `1` only where it is (a layer with itself); nothing for NaN. */
export function formatCka(value: number): string {
  if (Number.isNaN(value)) return "";
  if (value > 1 - 1e-6) return "1";
  const text = Math.abs(value).toFixed(2).replace(/^0/, "");
  return value < 0 && text !== ".00" ? `\u2212${text}` : text;
}

/** What is least and most alike of different things, as indices [row, column]; null where nothing compares. */
export function extremePairs(
  rows: readonly (string | number)[],
  columns: readonly (string | number)[],
  cka: Float32Array,
): { least: [number, number]; most: [number, number] } | null {
  let least = -1;
  let most = -1;
  for (let index = 0; index < cka.length; index++) {
    const value = cka[index] as number;
    if (Number.isNaN(value) || rows[Math.floor(index / columns.length)] === columns[index % columns.length]) continue;
    if (least < 0 || value < (cka[least] as number)) least = index;
    if (most < 0 || value > (cka[most] as number)) most = index;
  }
  const place = (index: number): [number, number] => [Math.floor(index / columns.length), index % columns.length];
  return least < 0 ? null : { least: place(least), most: place(most) };
}

/** A text that no spreadsheet takes for a formula, quoted for CSV. */
function csvText(text: string): string {
  return `"${(/^[=+\-@\t\r]/.test(text) ? `'${text}` : text).replace(/"/g, '""')}"`;
}

/** The matrix as CSV: names in the first row and column; an empty cell where CKA has no meaning. */
export function matrixCsv(
  corner: string,
  rows: readonly (string | number)[],
  columns: readonly (string | number)[],
  cka: Float32Array,
): string {
  const name = (each: string | number) => (typeof each === "number" ? String(each) : csvText(each));
  const lines = [[csvText(corner), ...columns.map(name)].join(",")];
  for (const [row, each] of rows.entries()) {
    const values = cka.subarray(row * columns.length, (row + 1) * columns.length);
    lines.push(
      [name(each), ...Array.from(values, (value) => (Number.isNaN(value) ? "" : value.toPrecision(7)))].join(","),
    );
  }
  return `${lines.join("\n")}\n`;
}

/** A rotation about the origin, after a reflection where `sign` is negative. */
interface Turn {
  cosine: number;
  sine: number;
  sign: number;
}

/**
 * The turn by which points [n, 2] lie as near to `target` as can be. The orthogonal Procrustes problem (Schoenemann 1966) in the plane:
 * the best rotation and the best reflection have closed forms.
 */
function turnOnto(points: ArrayLike<number>, target: ArrayLike<number>): Turn {
  let [xx, xy, yx, yy] = [0, 0, 0, 0];
  for (let index = 0; index < points.length; index += 2) {
    const [x, y] = [points[index] as number, points[index + 1] as number];
    const [u, v] = [target[index] as number, target[index + 1] as number];
    xx += x * u;
    xy += x * v;
    yx += y * u;
    yy += y * v;
  }
  const turned = Math.hypot(xx + yy, xy - yx);
  const mirrored = Math.hypot(xx - yy, xy + yx);
  const length = Math.max(turned, mirrored);
  if (!(length > 0)) return { cosine: 1, sine: 0, sign: 1 };
  const sign = turned >= mirrored ? 1 : -1;
  return { cosine: (xx + sign * yy) / length, sine: (xy - sign * yx) / length, sign };
}

function turned(points: Float32Array, { cosine, sine, sign }: Turn): Float32Array {
  const found = new Float32Array(points.length);
  for (let index = 0; index < points.length; index += 2) {
    const [x, y] = [points[index] as number, points[index + 1] as number];
    found[index] = cosine * x - sign * sine * y;
    found[index + 1] = sine * x + sign * cosine * y;
  }
  return found;
}

/** Points turned and mirrored about the origin so that they lie as near to `target` as can be. */
export function alignedTo(points: Float32Array, target: Float32Array): Float32Array {
  return turned(points, turnOnto(points, target));
}

/** The points of one step. */
export function pointsAt({ points, samples }: Projection, index: number): Float32Array {
  return points.subarray(index * samples * 2, (index + 1) * samples * 2);
}

/** A run turned as a whole, the same at each step, so that over the steps of both it lies as near to another run as can be. */
export function turnedOnto(run: Projection, other: Projection): Projection {
  if (run.samples !== other.samples) return run;
  const [own, target]: [number[], number[]] = [[], []];
  for (const [index, at] of run.steps.entries()) {
    const place = indexOfStep(other.steps, at);
    const known = run.states[index] === GramState.HasDirection && other.states[place] === GramState.HasDirection;
    if (place < 0 || !known) continue;
    own.push(...pointsAt(run, index));
    target.push(...pointsAt(other, place));
  }
  return own.length === 0 ? run : { ...run, points: turned(run.points, turnOnto(own, target)) };
}

/** Half the side of a square that holds all points, or where a few are far out, 99 of 100 coordinates; 1 where there are none. */
export function reachOf(points: Float32Array): number {
  const sizes = points
    .filter((value) => Number.isFinite(value))
    .map(Math.abs)
    .sort();
  if (sizes.length === 0) return 1;
  const most = sizes[Math.floor((sizes.length - 1) * 0.99)] as number;
  return Math.min(sizes[sizes.length - 1] as number, FAR_OUT * most) * MARGIN || 1;
}

/** How many points lie beyond a square of half the side `reach`. */
export function beyond(points: Float32Array, reach: number): number {
  let count = 0;
  for (let index = 0; index < points.length; index += 2)
    if (Math.max(Math.abs(points[index] as number), Math.abs(points[index + 1] as number)) > reach) count++;
  return count;
}

/** Index of the point nearest to (x, y), and no farther than `within`; -1: none. */
export function nearestPoint(points: Float32Array, x: number, y: number, within: number): number {
  let found = -1;
  let distance = within;
  for (let index = 0; index < points.length; index += 2) {
    const here = Math.hypot((points[index] as number) - x, (points[index + 1] as number) - y);
    if (here <= distance) [found, distance] = [index / 2, here];
  }
  return found;
}

/** Whether the estimator is right for this probe. */
export function adviceOn(estimator: Estimator, samples: number, features: number): string {
  const size = `${samples} samples, up to ${formatCount(features)} features`;
  if (estimator === "unbiased") return `${size}: right for small probes`;
  return features > samples ? `biased upwards here: ${size}` : `${size}: right for many samples`;
}
