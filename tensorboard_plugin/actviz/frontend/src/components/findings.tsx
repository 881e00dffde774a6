// Where something went wrong, earliest first; below the layers.
import {
  answerOf,
  goToFinding,
  type Item,
  isCurrent,
  items,
  signOf,
  thresholds,
  thresholdsShown,
  toggleCascade,
  unfolded,
} from "../findings";
import { formatCount, shorten } from "../format";
import { axis, laneSteps, shownRuns } from "../state";
import type { Threshold } from "../types";
import { Swatch } from "./frame";
import "./findings.css";

export function Findings() {
  const list = items.value;
  const found = shownRuns.value.map(({ run }) => answerOf(run));
  const errors = found.flatMap((answer) => (answer?.error ? [answer.error] : []));
  const waiting = found.some((answer) => answer === undefined);
  const leftOut = found.reduce((sum, answer) => sum + (answer?.data?.left_out ?? 0), 0);
  return (
    <section class="findings" aria-label="Findings" data-testid="findings">
      <div class="findings-head">
        <h2>Findings</h2>
        <span class="hint">earliest first</span>
        <span class="spacer" />
        <button
          type="button"
          class="hint"
          data-testid="thresholds-toggle"
          aria-expanded={thresholdsShown.value}
          onClick={() => {
            thresholdsShown.value = !thresholdsShown.value;
          }}
        >
          {Object.keys(thresholds.value).length > 0 ? "thresholds changed" : "thresholds"}
        </button>
      </div>
      {thresholdsShown.value && <Thresholds />}
      <div class="findings-list">
        {errors.map((error) => (
          <p key={error} class="hint">
            {error}
          </p>
        ))}
        {list.map((item) => (
          <FindingRow key={item.key} item={item} />
        ))}
        {list.length === 0 && errors.length === 0 && (
          <p class="hint" data-testid="no-findings">
            {waiting
              ? "Looking through the logged steps."
              : laneSteps.value.length > 0
                ? "None: no rule finds anything wrong in the logged steps."
                : "No step is logged yet."}
          </p>
        )}
        {leftOut > 0 && <p class="hint">{formatCount(leftOut)} more are not listed.</p>}
      </div>
    </section>
  );
}

function FindingRow({ item }: { item: Item }) {
  const { finding, letter, run, sentence, followers } = item;
  const open = unfolded.value.has(item.cascade);
  const lasts = finding.goes_on ? "still so" : `until ${formatCount(finding.last_step)}`;
  return (
    <>
      {letter === null && <p class="hint">Between the runs</p>}
      <div class={item.follows ? "finding follows" : "finding"}>
        <button
          type="button"
          data-testid="finding"
          data-rule={finding.rule}
          data-layer={finding.layer}
          data-step={finding.first_step}
          aria-current={isCurrent(item) ? "true" : undefined}
          title={`${finding.layer}: ${finding.sentence}; from step ${finding.first_step}, ${lasts}\nUsually: ${finding.cause}`}
          onClick={() => goToFinding(item)}
        >
          <span class={`sign ${finding.severity}`} aria-hidden="true">
            {signOf(finding)}
          </span>
          <span class="name">{shorten(finding.layer, 22)}</span>
          {letter !== null ? <Swatch letter={letter} run={run} /> : <span class="hint">A and B</span>}
          <span class="spacer" />
          <span class="at">step {formatCount(finding.first_step)}</span>
          <span class="evidence">
            {finding.sentence}
            <span class="visually-hidden">
              , {finding.severity === "bad" ? "bad" : "warning"}, run {letter ?? "A and B"}
            </span>
          </span>
        </button>
        {followers > 0 && (
          <button
            type="button"
            class="cascade hint"
            aria-expanded={open}
            title={sentence ?? ""}
            onClick={() => toggleCascade(item.cascade)}
          >
            {open ? "▾" : "▸"} {sentence}
          </button>
        )}
      </div>
    </>
  );
}

function Thresholds() {
  const known = shownRuns.value.map(({ run }) => answerOf(run)?.data?.thresholds).find((each) => each !== undefined);
  return (
    <div class="thresholds" data-testid="thresholds">
      {Object.entries(known ?? {}).map(([name, about]) => (
        <ThresholdField key={name} name={name} about={about} />
      ))}
      <button
        type="button"
        disabled={Object.keys(thresholds.value).length === 0}
        onClick={() => {
          thresholds.value = {};
        }}
      >
        Defaults
      </button>
    </div>
  );
}

function ThresholdField({ name, about }: { name: string; about: Threshold }) {
  const value = thresholds.value[name] ?? about.default;
  return (
    <label title={`${about.meaning} (${about.low} to ${about.high}; ${about.default} unless changed)`}>
      <span class={name in thresholds.value ? "changed" : ""}>{name.replaceAll("_", " ")}</span>
      <input
        type="number"
        data-testid={`threshold-${name}`}
        min={about.low}
        max={about.high}
        step="any"
        value={value}
        onChange={(event) => {
          const { [name]: _, ...others } = thresholds.value;
          const wanted = event.currentTarget.valueAsNumber;
          const usable = event.currentTarget.validity.valid && Number.isFinite(wanted);
          if (!usable) event.currentTarget.value = String(value);
          else thresholds.value = wanted === about.default ? others : { ...others, [name]: wanted };
        }}
      />
    </label>
  );
}

/** The time line's lane of findings: a sign where each begins. */
export function FindingsLane() {
  const { x, first, last } = axis.value;
  const shown = new Map<number, Item>();
  for (const item of items.value) {
    const at = item.finding.first_step;
    const place = Math.round(x(at) / 4);
    const there = shown.get(place);
    const worse = there?.finding.severity === "warn" && item.finding.severity === "bad";
    if (at >= first && at <= last && (there === undefined || worse)) shown.set(place, item);
  }
  return (
    <>
      {[...shown.values()].map(({ key, finding }) => (
        <span
          key={key}
          class={`finding-sign sign ${finding.severity}`}
          style={{ left: `${x(finding.first_step)}px` }}
          aria-hidden="true"
        >
          {signOf(finding)}
        </span>
      ))}
    </>
  );
}
