// What the HTTP routes answer, decoded; see ../../http_api.md for the meaning of each field.
import type { Measure, Quantity } from "./state";

export interface Notice {
  file: string;
  byte: number;
  message: string;
}

export interface RunInfo {
  run: string;
  revision: string;
  steps: number;
  first_step: number | null;
  last_step: number | null;
  last_wall_time_s: number | null;
  layers: number;
  notices: Notice[];
}

export interface OtherRun {
  run: string;
  files: number;
  size_bytes: number;
  note: string;
}

export interface RunsAnswer {
  version: number;
  logdir: string | null;
  checked_ago_s: number;
  poll_interval_s: number;
  ready: boolean;
  notices: Notice[];
  runs: RunInfo[];
  other: OtherRun[];
}

export interface Mark {
  step: number;
  wall_time_s: number;
  text: string;
}

export interface Timeline {
  run: string;
  revision: string;
  steps: number[];
  wall_times_s: number[];
  marks: Mark[];
  restarts: { step: number; wall_time_s: number }[];
}

export type Layout = "channels" | "sequence" | "vector";

export interface LayerInfo {
  name: string;
  path?: string;
  type?: string;
  call?: number;
  shape?: number[];
  dtype?: string;
  layout?: Layout | null;
  channel_axis?: number | null;
  parameters?: number;
  /** Names of the layers whose output it takes; `input` is the model's. */
  inputs?: string[];
  /** The kinds of record that there are of it. */
  records?: string[];
  /** Of a volume, the slices whose maps are logged besides the middle one's. */
  slices?: number[];
  /** Name of its model, where that has one. */
  model?: string;
}

/** One of the models that write to a run; the only one's name may be empty. */
export interface WatchedModel {
  name: string;
  /** Its class. */
  model: string | null;
  step: number | null;
  /** Versions and options of its newest `watch`. */
  session: Record<string, unknown>;
}

export interface ModuleInfo {
  path: string;
  type: string;
  parameters: number;
}

export interface Model {
  run: string;
  revision: string;
  models: WatchedModel[];
  layers: LayerInfo[];
  modules: ModuleInfo[];
  /** Places with attention weights. */
  attention: string[];
}

/** Columns that steps were gathered into: of each, the first and the last step, and how many. */
export interface StepColumns {
  first: Float64Array;
  last: Float64Array;
  count: Uint32Array;
}

/**
 * One statistic of all layers; matrices are row-major [layers, steps].
 *
 * Where there were too many steps, `columns` says which each entry stands for, and the matrices hold extremes: of `values` the one farther
 * from its row's median, of `zero` and `nonfinite` the largest. The `steps` of those of more than one step are then no whole numbers, so
 * that no extreme is taken for the value at a logged step.
 */
export interface Stats {
  run: string;
  revision: string;
  of: Quantity;
  stat: string;
  layers: string[];
  steps: Float64Array;
  values: Float32Array;
  zero: Float32Array;
  nonfinite: Float32Array;
  columns?: StepColumns;
}

/** All statistics of one layer; `values` is row-major [columns, steps]. */
export interface LayerStats {
  run: string;
  layer: string;
  columns: string[];
  steps: Float64Array;
  values: Float64Array;
  abs_limit: number | null;
  low_limit: number | null;
  high_limit: number | null;
}

/** `shares` is row-major [steps, bins]: the share of the finite values in each bin. */
export interface Histograms {
  run: string;
  layer: string;
  steps: Float64Array;
  bins: Int16Array;
  left: Float64Array;
  right: Float64Array;
  shares: Float32Array;
}

/** Matrices are row-major [steps, channels]. */
export interface Channels {
  run: string;
  layer: string;
  steps: Float64Array;
  channels: Uint32Array;
  mean: Float32Array;
  max: Float32Array;
  zero: Float32Array;
  dead_since: [channel: number, step: number][];
}

/** The maps of one layer at one step: `data` is [samples, channels, height, width], quantised (see wire.py). */
export interface Maps {
  source: "probe" | "train";
  layout: Layout;
  shape: number[];
  samples: number[];
  channels: number[];
  units: number[] | null;
  pool: [number, number];
  height: number;
  width: number;
  data: Uint8Array;
  low: Float32Array;
  high: Float32Array;
  mean: Float32Array;
}

/** Attention weights: maps of queries x keys, a channel a head; `entropy`, `largest_logit` are [samples, heads]. */
export interface Attention extends Maps {
  /** Indices of the queries kept; null: all. */
  queries: number[] | null;
  entropy: Float32Array;
  largest_logit: Float32Array;
}

/** Attention heads over steps; matrices are row-major [steps, heads]. */
export interface Heads {
  run: string;
  layer: string;
  steps: Float64Array;
  heads: Uint32Array;
  entropy: Float32Array;
  largest_logit: Float32Array;
  largest_weight: Float32Array;
}

export interface Inputs extends Maps {
  labels: string[] | null;
  tokens: (string[] | null)[] | null;
  /** Equal where the probe is the same to the last bit; null: not known. */
  digest: string | null;
}

export type Estimator = "biased" | "unbiased";

/** Of a layer or step in a comparison: why CKA with it has no meaning. The page alone knows of missing ones. */
export enum GramState {
  HasDirection,
  Equal,
  NonFinite,
  Missing,
}

/** Linear CKA, row-major [rows, columns]: layers of two sides at a step, or steps of one layer. */
export interface Similarity {
  run: string;
  otherRun: string;
  /** Whose layers are compared; empty where they have no name, and in step x step. */
  model: string;
  otherModel: string;
  /** The step of layer x layer; null: `layer`'s step x step. */
  step: number | null;
  layer: string | null;
  estimator: Estimator;
  samples: number;
  /** How many each side has; the matrix may be of fewer. */
  logged: [number, number];
  /** Whether the runs show the same inputs; null: that cannot be told. */
  sameInputs: boolean | null;
  rows: readonly (string | number)[];
  columns: readonly (string | number)[];
  cka: Float32Array;
  rowStates: Uint8Array;
  columnStates: Uint8Array;
}

/** The probe's samples on two principal components at each of S steps; `points` is row-major [steps, samples, 2]. */
export interface Projection {
  run: string;
  layer: string;
  samples: number;
  logged: number;
  steps: Float64Array;
  points: Float32Array;
  explained: Float32Array;
  participation: Float32Array;
  effectiveRank: Float32Array;
  states: Uint8Array;
}

/** How much each layer differs between A and B; `rms`, `mean` and `nonfinite` are row-major [2, layers]: A's, B's. */
export interface Differences {
  run: string;
  step: number;
  other_run: string;
  other_step: number;
  measure: Measure;
  layers: string[];
  /** Layers that A, and those that B lacks. */
  missing: [string[], string[]];
  change: Float32Array;
  rms: Float32Array;
  mean: Float32Array;
  nonfinite: Float32Array;
}

/** Pairs of channels: `channels[i]` of A with `partners[i]` of B; `correlation` NaN where it has no meaning. */
export interface Matching {
  channels: Uint32Array;
  partners: Uint32Array;
  correlation: Float32Array;
  /** Values of each channel that the correlation is over. */
  values: number;
}

export interface Finding {
  rule: string;
  severity: "bad" | "warn";
  layer: string;
  first_step: number;
  last_step: number;
  goes_on: boolean;
  evidence: Record<string, number | null>;
  sentence: string;
  brief: string;
  cause: string;
  cascade: number;
  link: { view: string; layer: string; step: number; channel: number | null };
}

export interface Threshold {
  value: number;
  default: number;
  low: number;
  high: number;
  meaning: string;
}

export interface FindingsAnswer {
  run: string;
  revision: string;
  steps: number;
  findings: Finding[];
  cascades: { sentence: string; findings: number[] }[];
  left_out: number;
  thresholds: Record<string, Threshold>;
}

export interface PartingAnswer {
  run: string;
  revision: string;
  other_run: string;
  differ_from: number | null;
  finding: Finding | null;
}
