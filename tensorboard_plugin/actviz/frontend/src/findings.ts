// What is wrong with the shown runs, as the server found it; going from finding to finding.
import { batch, computed, effect, signal } from "@preact/signals";
import { ApiError, fetchFindings, fetchParting } from "./api";
import { channel, focus, following, layer, layers, type RunLetter, runs, shownRuns, step, VIEWS, view } from "./state";
import type { Finding, FindingsAnswer, PartingAnswer } from "./types";

/** Thresholds other than the defaults, by name; in the URL. */
export const thresholds = signal<Readonly<Record<string, number>>>({});
export const thresholdsShown = signal(false);
/** Cascades whose followers are listed, by `runCascade`. */
export const unfolded = signal<ReadonlySet<string>>(new Set());

interface Answer<T> {
  /** Run, revision and thresholds that the answer is of. */
  key: string;
  data: T | null;
  error: string | null;
}

const answers = signal<Readonly<Record<string, Answer<FindingsAnswer>>>>({});
const parted = signal<Answer<PartingAnswer> | null>(null);

export interface Item {
  key: string;
  /** Of the cascade; null where the finding is of both runs. */
  letter: RunLetter | null;
  run: string;
  finding: Finding;
  /** Tells the whole cascade; null for a finding that follows from another, or stands alone. */
  sentence: string | null;
  followers: number;
  follows: boolean;
  cascade: string;
}

export function answerOf(run: string): Answer<FindingsAnswer> | undefined {
  return answers.value[run];
}

export function cascadesOf(run: string): number {
  return answers.value[run]?.data?.cascades.length ?? 0;
}

/** The findings of one run as rows, those that follow from another one only where their cascade is unfolded. */
export function itemsOf(answer: FindingsAnswer, letter: RunLetter, open: ReadonlySet<string>): Item[] {
  return answer.cascades.flatMap((cascade, number) => {
    const key = `${answer.run} ${number}`;
    const shown = open.has(key) ? cascade.findings : cascade.findings.slice(0, 1);
    return shown.flatMap((index, place) => {
      const finding = answer.findings[index];
      if (finding === undefined) return [];
      const followers = place === 0 ? cascade.findings.length - 1 : 0;
      const sentence = followers > 0 ? cascade.sentence : null;
      const own = `${key} ${index}`;
      return [{ key: own, letter, run: answer.run, finding, sentence, followers, follows: place > 0, cascade: key }];
    });
  });
}

/** Earliest first; at one step as the server ordered them, its followers right behind a cascade's first finding. */
export function inOrder(items: readonly Item[]): Item[] {
  const starts = new Map<string, number>();
  for (const item of items) if (!item.follows) starts.set(item.cascade, item.finding.first_step);
  const start = (item: Item) => starts.get(item.cascade) ?? item.finding.first_step;
  return items.map((item) => item).sort((one, other) => start(one) - start(other));
}

/** Where the two runs part; last in the list, as runs of other settings part at once. */
const partings = computed<Item[]>(() => {
  const answer = parted.value?.data;
  if (!answer?.finding || shownRuns.value.length < 2) return [];
  const { run, other_run, finding } = answer;
  const key = `parting ${run} ${other_run}`;
  return [{ key, letter: null, run, finding, sentence: null, followers: 0, follows: false, cascade: key }];
});

/** What the list shows. */
export const items = computed<Item[]>(() => {
  const found = shownRuns.value.flatMap(({ run, letter }) => {
    const answer = answers.value[run]?.data;
    return answer ? itemsOf(answer, letter, unfolded.value) : [];
  });
  return [...inOrder(found), ...partings.value];
});

/** All findings of the shown runs by layer, the first one of each first. */
export const byLayer = computed(() => {
  const found = new Map<string, { letter: RunLetter; run: string; finding: Finding }[]>();
  for (const { run, letter } of shownRuns.value)
    for (const finding of answers.value[run]?.data?.findings ?? []) {
      const list = found.get(finding.layer);
      if (list) list.push({ letter, run, finding });
      else found.set(finding.layer, [{ letter, run, finding }]);
    }
  return found;
});

/** A rule's sign: a cross, a ring with a bar, else a triangle. Colour says how bad; the words stand beside. */
export function signOf({ rule }: Finding): string {
  if (rule === "nonfinite") return "×";
  return rule === "dead" || rule === "dead_channels" ? "⊘" : "▲";
}

const current = signal<string | null>(null);

export function isCurrent(item: Item): boolean {
  const { finding } = item;
  return current.value === item.key && layer.value === finding.layer && step.value === finding.first_step;
}

/** Goes to a finding's layer and step; a second time: opens the view that shows it. */
export function goToFinding(item: Item): void {
  const { link } = item.finding;
  const again = isCurrent(item);
  batch(() => {
    current.value = item.key;
    following.value = false;
    if (item.letter !== null) focus.value = item.letter;
    if (layers.value.some((info) => info.name === link.layer)) layer.value = link.layer;
    step.value = link.step;
    channel.value = link.channel;
    const wanted = VIEWS.find((name) => name === link.view);
    if (again && wanted !== undefined) view.value = wanted;
  });
}

/** Goes to the next finding, or the former one; from the step in view where none was gone to. */
export function moveFinding(by: 1 | -1): void {
  const list = items.value;
  if (list.length === 0) return;
  const here = list.findIndex((item) => item.key === current.value);
  const next = here < 0 ? (by > 0 ? 0 : list.length - 1) : (here + by + list.length) % list.length;
  const item = list[next] as Item;
  if (!isCurrent(item)) goToFinding(item);
}

export function toggleCascade(cascade: string): void {
  const next = new Set(unfolded.value);
  if (!next.delete(cascade)) next.add(cascade);
  unfolded.value = next;
}

/** `jump:8,window:5`; null where all are the defaults. */
export function encodeThresholds(chosen: Readonly<Record<string, number>>): string | null {
  const names = Object.keys(chosen).sort();
  return names.length === 0 ? null : names.map((name) => `${name}:${chosen[name]}`).join(",");
}

export function decodeThresholds(text: string): Record<string, number> {
  const found: Record<string, number> = {};
  for (const part of text.split(",")) {
    const [name, value] = part.split(":");
    if (name && /^[a-z_]+$/.test(name) && value && Number.isFinite(Number(value))) found[name] = Number(value);
  }
  return found;
}

/** Keeps the findings of the shown runs those of their newest revision, and of the chosen thresholds. */
export function followFindings(): void {
  const asked = new Map<string, string>();
  effect(() => {
    const chosen = thresholds.value;
    const revisions = new Map(runs.value?.runs.map((info) => [info.run, info.revision]));
    const shown = shownRuns.value.filter(({ run }) => revisions.has(run));
    const suffix = encodeThresholds(chosen) ?? "";
    for (const { run } of shown) {
      const key = `${run} ${revisions.get(run)} ${suffix}`;
      if (asked.get(run) === key) continue;
      asked.set(run, key);
      void settleAnswer(fetchFindings(run, chosen), key, (answer) => {
        if (asked.get(run) === key) answers.value = { ...answers.value, [run]: answer };
      });
    }
    const [one, other] = shown;
    const key = one && other ? `${asked.get(one.run)} ${asked.get(other.run)}` : "";
    if (asked.get("") === key) return;
    asked.set("", key);
    if (one === undefined || other === undefined) {
      parted.value = null;
      return;
    }
    void settleAnswer(fetchParting(one.run, other.run, chosen), key, (answer) => {
      if (asked.get("") === key) parted.value = answer;
    });
  });
}

async function settleAnswer<T>(asked: Promise<T>, key: string, put: (answer: Answer<T>) => void): Promise<void> {
  try {
    put({ key, data: await asked, error: null });
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    put({ key, data: null, error: error.message });
  }
}
