// Typed calls of the HTTP routes. The page's <base> is data/plugin/actviz/, so that a route's bare name is its URL.
import { type Container, decode } from "./container";
import type {
  Channels,
  FindingsAnswer,
  Histograms,
  Inputs,
  LayerStats,
  Layout,
  Maps,
  Model,
  PartingAnswer,
  RunsAnswer,
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

/** One statistic; with `since`, only the steps after that revision, when the server still knows it. */
export async function fetchStats(
  run: string,
  stat: string,
  since?: string,
  signal?: AbortSignal,
): Promise<Stats & { partial: boolean }> {
  const { header, arrays } = await getContainer("stats", { run, stat, since }, signal);
  return {
    run,
    revision: String(header.revision),
    stat,
    layers: header.layers as string[],
    steps: arrays.steps as Float64Array,
    values: arrays.values as Float32Array,
    zero: arrays.zero as Float32Array,
    nonfinite: arrays.nonfinite as Float32Array,
    partial: header.since !== undefined,
  };
}

export async function fetchLayer(run: string, layer: string, signal?: AbortSignal): Promise<LayerStats> {
  const { header, arrays } = await getContainer("layer", { run, layer }, signal);
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

export async function fetchHistograms(run: string, layer: string, signal?: AbortSignal): Promise<Histograms> {
  const { arrays } = await getContainer("histograms", { run, layer }, signal);
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

export async function fetchChannels(run: string, layer: string, signal?: AbortSignal): Promise<Channels> {
  const { header, arrays } = await getContainer("channels", { run, layer }, signal);
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

export async function fetchInputs(run: string, step: number, signal?: AbortSignal): Promise<Inputs> {
  const container = await getContainer("inputs", { run, step }, signal);
  return { ...asMaps(container), labels: container.header.labels as string[] | null };
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
