// What the Similarity view shows, fetched: the newest wish is asked next, one request at a time a panel, and the last answers are kept.
import { useEffect, useRef, useState } from "preact/hooks";
import { type Compared, fetchInputs, fetchProjection, fetchSimilarity } from "../../api";
import { connectionError, layersInView, modelIn, timelines } from "../../state";
import { indexOfStep } from "../../stats";
import type { Inputs, LayerInfo, Projection, Similarity } from "../../types";

const KEPT = 64;
const SAY_WAITING_AFTER_MS = 150;

/** Answers by what was asked; the last used ones are kept. */
export class Answers<Query, Answer> {
  private readonly kept = new Map<string, Answer>();
  private readonly underWay = new Map<string, Promise<Answer>>();

  constructor(
    private readonly load: (query: Query) => Promise<Answer>,
    private readonly capacity = KEPT,
  ) {}

  peek(query: Query): Answer | undefined {
    const key = JSON.stringify(query);
    const found = this.kept.get(key);
    if (found === undefined) return undefined;
    this.kept.delete(key);
    this.kept.set(key, found);
    return found;
  }

  get(query: Query): Promise<Answer> {
    const found = this.peek(query);
    if (found !== undefined) return Promise.resolve(found);
    const key = JSON.stringify(query);
    let request = this.underWay.get(key);
    if (request === undefined) {
      request = this.load(query)
        .then((answer) => {
          this.kept.set(key, answer);
          for (const oldest of this.kept.keys()) {
            if (this.kept.size <= this.capacity) break;
            this.kept.delete(oldest);
          }
          return answer;
        })
        .finally(() => this.underWay.delete(key));
      this.underWay.set(key, request);
    }
    return request;
  }
}

export interface Latest<Answer> {
  /** Of what is asked; or, until that is there, the answer before it: whoever shows it must say what it is of. */
  shown: Answer | null;
  /** Whether what is asked has been awaited long enough to say so. */
  waiting: boolean;
  error: Error | null;
}

/** The answer to a query. While one is under way, others wait, and only the newest of them is asked next: so that play starves none. */
export function useLatest<Query, Answer>(answers: Answers<Query, Answer>, query: Query | null): Latest<Answer> {
  const key = query === null ? null : JSON.stringify(query);
  const wanted = useRef<Query | null>(null);
  const alive = useRef(true);
  const busy = useRef(false);
  const [shown, setShown] = useState<Answer | null>(null);
  const [failure, setFailure] = useState<{ key: string; error: Error } | null>(null);
  const [late, setLate] = useState<string | null>(null);
  const connected = connectionError.value === null;
  wanted.current = query;
  useEffect(() => {
    alive.current = true;
    return () => {
      alive.current = false;
    };
  }, []);
  useEffect(() => {
    if (key === null) return undefined;
    const timer = setTimeout(() => setLate(key), SAY_WAITING_AFTER_MS);
    if (!busy.current) void ask();
    return () => clearTimeout(timer);
  }, [key, connected]); // what failed while the server was away is asked again

  async function ask(): Promise<void> {
    busy.current = true;
    for (let query = wanted.current; query !== null && alive.current; ) {
      const asked = JSON.stringify(query);
      try {
        const answer = await answers.get(query);
        if (alive.current) setShown(() => answer);
      } catch (error) {
        if (alive.current) setFailure({ key: asked, error: error instanceof Error ? error : new Error(String(error)) });
      }
      query = JSON.stringify(wanted.current) === asked ? null : wanted.current;
    }
    busy.current = false;
  }

  if (query === null) return { shown: null, waiting: false, error: null };
  const found = answers.peek(query);
  if (found !== undefined) return { shown: found, waiting: false, error: null };
  if (failure !== null && failure.key === key) return { shown: null, waiting: false, error: failure.error };
  return { shown, waiting: late === key, error: null };
}

/** A comparison; the times of logging (or the revisions) are part of it: what is logged anew is another one. */
export interface SimilarityQuery extends Compared {
  logged: readonly (number | string)[];
}

export interface ProjectionQuery {
  run: string;
  layer: string;
  step?: number;
  logged: number | string;
}

export const similarities = new Answers<SimilarityQuery, Similarity>(({ logged: _, ...of }) => fetchSimilarity(of));
export const projections = new Answers<ProjectionQuery, Projection>(({ logged: _, ...of }) => fetchProjection(of));

/** When a run logged a step; null: it did not. */
export function loggedAt(run: string, step: number | null): number | null {
  const timeline = timelines.value[run];
  const index = timeline === undefined ? -1 : indexOfStep(timeline.steps, step);
  return timeline === undefined || index < 0 ? null : (timeline.wall_times_s[index] as number);
}

export function revisionOf(run: string): string {
  return timelines.value[run]?.revision ?? "";
}

/** The layers of the model in view that have Gram matrices in a run, in execution order. */
export function comparable(run: string): LayerInfo[] {
  return layersInView(run).filter((info) => info.records?.includes("gram"));
}

const probes = new Answers(async (query: { run: string; model: string; step: number }) => ({
  ...query,
  inputs: await fetchInputs(query.run, query.model, query.step),
}));

/** The samples and labels of the probe of the model in view, as the newest record of a run has them. */
export function useProbe(run: string | null): Inputs | null {
  const steps = run === null ? undefined : timelines.value[run]?.steps;
  const last = steps?.[steps.length - 1];
  const model = modelIn(run);
  const { shown } = useLatest(probes, run === null || last === undefined ? null : { run, model, step: last });
  return shown !== null && shown.run === run && shown.model === model ? shown.inputs : null;
}
