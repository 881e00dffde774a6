// Typed calls of the HTTP routes. The page's <base> is data/plugin/actviz/, so that a route's bare name is its URL.
import { type Extremes, ofColumns } from "./columns";
import { type Container, decode } from "./container";
import type { Measure, Quantity } from "./state";
import type {
  Attention,
  Channels,
  Differences,
  Estimator,
  FindingsAnswer,
  Heads,
  Histograms,
  Inputs,
  LayerStats,
  Layout,
  Maps,
  Matching,
  Model,
  PartingAnswer,
  Projection,
  RunsAnswer,
  Similarity,
  Stats,
  Timeline,
} from "./types";

/** An answer that is an error, or none; `code` is the API's (`no_data`, ...), or `offline`. */
export class ApiError extends Error {
  override name = "ApiError";
  constructor(
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

type Parameters = Record<string, string | number | undefined>;

async function get(route: string, parameters: Parameters, signal?: AbortSignal): Promise<Response> {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) if (value !== undefined) query.set(name, String(value));
  const text = query.toString();
  let response: Response;
  try {
    response = await fetch(text === "" ? route : `${route}?${text}`, { signal: signal ?? null });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError("offline", "TensorBoard does not answer");
  }
  if (response.ok) return response;
  const answer = (await response.json().catch(() => null)) as { code?: string; message?: string } | null;
  throw new ApiError(answer?.code ?? "internal", answer?.message ?? `${route} answered ${response.status}`);
}

async function getJson<T>(route: string, parameters: Parameters, signal?: AbortSignal): Promise<T> {
  return (await (await get(route, parameters, signal)).json()) as T;
}

async function getContainer(route: string, parameters: Parameters, signal?: AbortSignal): Promise<Container> {
  return decode(await (await get(route, parameters, signal)).arrayBuffer());
}

export function fetchRuns(signal?: AbortSignal): Promise<RunsAnswer> {
  return getJson("runs", {}, signal);
}

export function fetchTimeline(run: string, signal?: AbortSignal): Promise<Timeline> {
  return getJson("timeline", { run }, signal);
}

export function fetchModel(run: string, signal?: AbortSignal): Promise<Model> {
  return getJson("model", { run }, signal);
}

/** Which part of a statistic is wanted: since a revision, or the steps from..to, and in how many columns; of activations, unless said otherwise. */
export interface StatsRange {
  of?: Quantity | undefined;
  since?: string | undefined;
  from?: number | undefined;
  to?: number | undefined;
  columns?: number | undefined;
}

/** One statistic; `partial`: only the steps after the revision `since`, where the server still knows it. */
export async function fetchStats(
  run: string,
  stat: string,
  range: StatsRange = {},
  signal?: AbortSignal,
): Promise<Stats & { partial: boolean }> {
  const { header, arrays } = await getContainer("stats", { run, stat, ...range }, signal);
  const layers = header.layers as string[];
  const matrices =
    range.columns === undefined
      ? {
          steps: arrays.steps as Float64Array,
          values: arrays.values as Float32Array,
          zero: arrays.zero as Float32Array,
          nonfinite: arrays.nonfinite as Float32Array,
        }
      : ofColumns(layers, arrays as unknown as Extremes);
  const of = header.of as Quantity;
  return { run, revision: String(header.revision), of, stat, layers, ...matrices, partial: header.since !== undefined };
}

/** All statistics of one layer, of all steps or of one; the limits are of the whole run either way. */
export async function fetchLayer(
  run: string,
  layer: string,
  signal?: AbortSignal,
  range: StepRange = {},
): Promise<LayerStats> {
  const { header, arrays } = await getContainer("layer", { run, layer, ...range }, signal);
  return {
    run,
    layer,
    columns: header.columns as string[],
    steps: arrays.steps as Float64Array,
    values: arrays.values as Float64Array,
    abs_limit: header.abs_limit as number | null,
    low_limit: header.low_limit as number | null,
    high_limit: header.high_limit as number | null,
  };
}

/** Some of the steps: those from `from` to `to`, and at most `columns` of them; of activations, unless said otherwise. */
export interface StepRange {
  of?: Quantity | undefined;
  from?: number | undefined;
  to?: number | undefined;
  columns?: number | undefined;
}

export async function fetchHistograms(
  run: string,
  layer: string,
  signal?: AbortSignal,
  range: StepRange = {},
): Promise<Histograms> {
  const { arrays } = await getContainer("histograms", { run, layer, ...range }, signal);
  return {
    run,
    layer,
    steps: arrays.steps as Float64Array,
    bins: arrays.bins as Int16Array,
    left: arrays.left as Float64Array,
    right: arrays.right as Float64Array,
    shares: arrays.shares as Float32Array,
  };
}

export async function fetchChannels(
  run: string,
  layer: string,
  signal?: AbortSignal,
  range: StepRange = {},
): Promise<Channels> {
  const { header, arrays } = await getContainer("channels", { run, layer, ...range }, signal);
  return {
    run,
    layer,
    steps: arrays.steps as Float64Array,
    channels: arrays.channels as Uint32Array,
    mean: arrays.mean as Float32Array,
    max: arrays.max as Float32Array,
    zero: arrays.zero as Float32Array,
    dead_since: header.dead_since as [number, number][],
  };
}

export async function fetchMaps(run: string, layer: string, step: number, signal?: AbortSignal): Promise<Maps> {
  return asMaps(await getContainer("maps", { run, layer, step }, signal));
}

/** Maps of a range of steps; from `next` on (null: nowhere) and of the `unreadable` steps they have to be asked for by themselves. */
export interface MapsRange {
  maps: ReadonlyMap<number, Maps>;
  next: number | null;
  unreadable: readonly number[];
}

export async function fetchMapsRange(
  run: string,
  layer: string,
  from: number,
  to: number,
  signal?: AbortSignal,
): Promise<MapsRange> {
  const { header, arrays } = await getContainer("maps_range", { run, layer, from, to }, signal);
  const [steps, offsets, containers] = [arrays.steps, arrays.offsets, arrays.containers] as [
    Float64Array,
    Uint32Array,
    Uint8Array<ArrayBuffer>,
  ];
  const found = new Map<number, Maps>();
  for (let index = 0; index < steps.length; index++) {
    const container = containers.buffer.slice(offsets[index] as number, offsets[index + 1] as number);
    found.set(steps[index] as number, asMaps(await decode(container)));
  }
  return { maps: found, next: header.next as number | null, unreadable: header.unreadable as number[] };
}

/** Attention weights as maps, a channel a head. */
export async function fetchAttention(
  run: string,
  layer: string,
  step: number,
  signal?: AbortSignal,
): Promise<Attention> {
  const container = await getContainer("attention", { run, layer, step }, signal);
  const { header, arrays } = container;
  return {
    ...asMaps(container),
    queries: (header.queries as number[] | null) ?? null,
    entropy: arrays.entropy as Float32Array,
    largest_logit: arrays.largest_logit as Float32Array,
  };
}

export async function fetchHeads(run: string, layer: string, signal?: AbortSignal): Promise<Heads> {
  const { arrays } = await getContainer("heads", { run, layer }, signal);
  return {
    run,
    layer,
    steps: arrays.steps as Float64Array,
    heads: arrays.heads as Uint32Array,
    entropy: arrays.entropy as Float32Array,
    largest_logit: arrays.largest_logit as Float32Array,
    largest_weight: arrays.largest_weight as Float32Array,
  };
}

/** The samples in force at a step, of a model by its name. */
export async function fetchInputs(run: string, model: string, step: number, signal?: AbortSignal): Promise<Inputs> {
  const container = await getContainer("inputs", { run, model, step }, signal);
  return {
    ...asMaps(container),
    labels: container.header.labels as string[] | null,
    tokens: (container.header.tokens as Inputs["tokens"] | undefined) ?? null,
    digest: (container.header.digest as Inputs["digest"] | undefined) ?? null,
  };
}

/** What is compared: the layers of a model at a step, or the steps of a layer, at most `columns` of them. */
export interface Compared {
  run: string;
  otherRun?: string;
  model?: string;
  otherModel?: string;
  step?: number;
  layer?: string;
  columns?: number;
  estimator: Estimator;
}

/** CKA, layer x layer or step x step. */
export async function fetchSimilarity(of: Compared, signal?: AbortSignal): Promise<Similarity> {
  const { otherRun, otherModel, ...rest } = of;
  const others = { other_run: otherRun, other_model: otherModel };
  const { header, arrays } = await getContainer("similarity", { ...rest, ...others }, signal);
  const side = (layers: unknown, steps: unknown) => (layers as string[]) ?? Array.from(steps as Float64Array);
  return {
    run: of.run,
    otherRun: otherRun ?? of.run,
    model: of.model ?? "",
    otherModel: of.otherModel ?? "",
    step: of.step ?? null,
    layer: of.layer ?? null,
    estimator: of.estimator,
    samples: header.samples as number,
    logged: header.logged as [number, number],
    sameInputs: header.same_inputs as boolean | null,
    rows: side(header.layers, arrays.steps),
    columns: side(header.other_layers, arrays.other_steps),
    cka: arrays.cka as Float32Array,
    rowStates: arrays.states as Uint8Array,
    columnStates: arrays.other_states as Uint8Array,
  };
}

/** The samples' principal components at all steps, or at one. */
export async function fetchProjection(
  of: { run: string; layer: string; step?: number },
  signal?: AbortSignal,
): Promise<Projection> {
  const { header, arrays } = await getContainer("projection", of, signal);
  return {
    run: of.run,
    layer: of.layer,
    samples: header.samples as number,
    logged: header.logged as number,
    steps: arrays.steps as Float64Array,
    points: arrays.points as Float32Array,
    explained: arrays.explained as Float32Array,
    participation: arrays.participation as Float32Array,
    effectiveRank: arrays.effective_rank as Float32Array,
    states: arrays.states as Uint8Array,
  };
}

/** A run at a step. */
export interface RunStep {
  run: string;
  step: number;
}

function pairParameters(a: RunStep, b: RunStep): Parameters {
  return { run: a.run, step: a.step, other_run: b.run, other_step: b.step };
}

export async function fetchDifferences(
  a: RunStep,
  b: RunStep,
  measure: Measure,
  signal?: AbortSignal,
): Promise<Differences> {
  const { header, arrays } = await getContainer("differences", { ...pairParameters(a, b), measure }, signal);
  return {
    run: a.run,
    step: a.step,
    other_run: b.run,
    other_step: b.step,
    measure,
    layers: header.layers as string[],
    missing: header.missing as [string[], string[]],
    change: arrays.change as Float32Array,
    rms: arrays.rms as Float32Array,
    mean: arrays.mean as Float32Array,
    nonfinite: arrays.nonfinite as Float32Array,
  };
}

export async function fetchMatching(layer: string, a: RunStep, b: RunStep, signal?: AbortSignal): Promise<Matching> {
  const { header, arrays } = await getContainer("matching", { layer, ...pairParameters(a, b) }, signal);
  return {
    channels: arrays.channels as Uint32Array,
    partners: arrays.partners as Uint32Array,
    correlation: arrays.correlation as Float32Array,
    values: header.values as number,
  };
}

function asMaps({ header, arrays, shapes }: Container): Maps {
  const [, , height, width] = shapes.data ?? [0, 0, 0, 0];
  return {
    source: header.source as Maps["source"],
    layout: header.layout as Layout,
    shape: header.shape as number[],
    samples: header.samples as number[],
    channels: header.channels as number[],
    units: (header.units as number[] | null) ?? null,
    pool: header.pool as [number, number],
    height: height ?? 0,
    width: width ?? 0,
    data: arrays.data as Uint8Array,
    low: arrays.low as Float32Array,
    high: arrays.high as Float32Array,
    mean: arrays.mean as Float32Array,
  };
}

type Chosen = Readonly<Record<string, number>>;

/** What is wrong with a run, with other thresholds than the defaults where some are given. */
export function fetchFindings(run: string, thresholds: Chosen, signal?: AbortSignal): Promise<FindingsAnswer> {
  return getJson("findings", { run, ...thresholds }, signal);
}

export function fetchParting(run: string, other: string, thresholds: Chosen): Promise<PartingAnswer> {
  return getJson("parting", { run, other_run: other, ...thresholds });
}
