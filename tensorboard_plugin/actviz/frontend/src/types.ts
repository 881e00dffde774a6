// What the HTTP routes answer, decoded; see ../../http_api.md for the meaning of each field.

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
  parameters?: number;
}

export interface ModuleInfo {
  path: string;
  type: string;
  parameters: number;
}

export interface Model {
  run: string;
  revision: string;
  step: number | null;
  model: string | null;
  layers: LayerInfo[];
  modules: ModuleInfo[];
  session: Record<string, unknown>;
}

/** One statistic of all layers; matrices are row-major [layers, steps]. */
export interface Stats {
  run: string;
  revision: string;
  stat: string;
  layers: string[];
  steps: Float64Array;
  values: Float32Array;
  zero: Float32Array;
  nonfinite: Float32Array;
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

export interface Inputs extends Maps {
  labels: string[] | null;
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
