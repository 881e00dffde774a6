// Which runs are A and B, and which are shown beside them.
import { signal } from "@preact/signals";
import { useLayoutEffect, useRef } from "preact/hooks";
import { chooseRun, MOST_RUNS, togglePinned } from "../actions";
import { cascadesOf } from "../findings";
import { formatCount } from "../format";
import { leftWidth } from "../layout";
import { matches } from "../rows";
import { laneRuns, pinned, type RunLetter, runA, runB, runs } from "../state";
import { fitted } from "../text";
import type { RunInfo } from "../types";
import { Swatch } from "./frame";

/** So many runs are listed at once. */
const LISTED = 100;

const chooserShown = signal(false);
const wanted = signal("");

function RunRow({ letter }: { letter: RunLetter }) {
  const chosen = (letter === "A" ? runA : runB).value;
  const all = runs.value?.runs ?? [];
  const info = all.find((each) => each.run === chosen);
  const found = chosen === null ? 0 : cascadesOf(chosen);
  return (
    <div class="run-row">
      <Swatch letter={letter} run={chosen} />
      <select
        data-testid={`run-${letter.toLowerCase()}`}
        aria-label={`Run ${letter}`}
        title={info ? `${info.run}: ${formatCount(info.steps)} logged steps` : "no second run"}
        value={chosen ?? ""}
        onChange={(event) => chooseRun(letter, event.currentTarget.value === "" ? null : event.currentTarget.value)}
      >
        {letter === "B" && <option value="">{all.length > 1 ? "no second run" : "no other run"}</option>}
        {all.map((each) => (
          <option key={each.run} value={each.run}>
            {each.run}
          </option>
        ))}
      </select>
      {info && (
        <span class="hint steps">
          {found > 0 ? (
            <span class="found" data-testid={`findings-${letter.toLowerCase()}`}>
              {found} {found === 1 ? "finding" : "findings"}
            </span>
          ) : (
            `${formatCount(info.steps)} steps`
          )}
        </span>
      )}
      {letter === "B" && all.length > 2 && (
        <button
          type="button"
          class="more-runs"
          data-testid="more-runs"
          aria-expanded={chooserShown.value}
          title="Search all runs; show more of them beside A and B"
          onClick={() => {
            chooserShown.value = !chooserShown.value;
          }}
        >
          + runs
        </button>
      )}
    </div>
  );
}

export function Runs() {
  const beside = laneRuns.value.filter(({ letter }) => letter === null);
  return (
    <div class="runs">
      <RunRow letter="A" />
      <RunRow letter="B" />
      {beside.map(({ run }) => (
        <div key={run} class="run-row pinned" data-testid="pinned-run" data-run={run}>
          <Swatch letter={null} run={run} />
          <span class="name" title={run}>
            {fitted(run, leftWidth.value - 66, 12)}
          </span>
          <button
            type="button"
            aria-label={`Show run ${run} no longer`}
            title="Show it no longer"
            onClick={() => togglePinned(run)}
          >
            ×
          </button>
        </div>
      ))}
      {chooserShown.value && <Chooser />}
    </div>
  );
}

function Chooser() {
  const field = useRef<HTMLInputElement>(null);
  useLayoutEffect(() => field.current?.focus(), []);
  const found = (runs.value?.runs ?? []).filter(({ run }) => matches(run, wanted.value));
  const close = () => {
    chooserShown.value = false;
  };
  return (
    <section
      class="chooser"
      aria-label="All runs"
      data-testid="chooser"
      onKeyDown={(event) => {
        if (event.key === "Escape") close();
        event.stopPropagation(); // letters are typed here
      }}
    >
      <div class="chooser-head">
        <input
          ref={field}
          type="text"
          placeholder="Search runs"
          aria-label="Search runs by text or glob"
          value={wanted.value}
          onInput={(event) => {
            wanted.value = event.currentTarget.value;
          }}
        />
        <button type="button" onClick={close}>
          Close
        </button>
      </div>
      <ul>
        {found.slice(0, LISTED).map((info) => (
          <Choice key={info.run} info={info} />
        ))}
      </ul>
      {found.length > LISTED && <p class="hint">{formatCount(found.length - LISTED)} more: search for them.</p>}
      {found.length === 0 && <p class="hint">No run's name has “{wanted.value}” in it.</p>}
    </section>
  );
}

function Choice({ info: { run, steps } }: { info: RunInfo }) {
  const isA = runA.value === run;
  const isB = runB.value === run;
  const isPinned = pinned.value.includes(run);
  const full = !isPinned && pinned.value.length >= MOST_RUNS - 2;
  return (
    <li data-run={run}>
      <Swatch letter={isA ? "A" : isB ? "B" : null} run={run} />
      <span class="name" title={run}>
        {fitted(run, Math.max(leftWidth.value - 16, 340) - 190, 12)}
      </span>
      <span class="hint">{formatCount(steps)}</span>
      <button type="button" aria-pressed={isA} aria-label={`${run} as A`} onClick={() => chooseRun("A", run)}>
        A
      </button>
      <button
        type="button"
        aria-pressed={isB}
        aria-label={`${run} as B`}
        onClick={() => chooseRun("B", isB ? null : run)}
      >
        B
      </button>
      <button
        type="button"
        aria-pressed={isPinned}
        aria-label={`show ${run} too`}
        disabled={isA || isB || full}
        title={full ? `at most ${MOST_RUNS} runs at once` : "Show it too, in the Overview"}
        onClick={() => togglePinned(run)}
      >
        show
      </button>
    </li>
  );
}
