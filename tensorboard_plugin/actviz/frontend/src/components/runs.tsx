// Which runs are A and B.
import { chooseRun } from "../actions";
import { cascadesOf } from "../findings";
import { formatCount } from "../format";
import { type RunLetter, runA, runB, runs } from "../state";
import { Swatch } from "./frame";

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
        title={chosen ?? "no second run"}
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
        <span class="hint">
          <span class={found > 0 ? "logged" : ""}>
            {formatCount(info.steps)} steps{found > 0 && " · "}
          </span>
          {found > 0 && (
            <span class="found" data-testid={`findings-${letter.toLowerCase()}`}>
              {found} {found === 1 ? "finding" : "findings"}
            </span>
          )}
        </span>
      )}
    </div>
  );
}

export function Runs() {
  return (
    <div class="runs">
      <RunRow letter="A" />
      <RunRow letter="B" />
    </div>
  );
}
