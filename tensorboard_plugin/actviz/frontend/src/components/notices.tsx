// What is wrong with the log or the connection, said plainly above the view.
import { formatCount } from "../format";
import { absent, connectionError, laneRuns, runErrors, runs } from "../state";

export function Notices() {
  const shown = new Set(laneRuns.value.map(({ run }) => run));
  const errors = Object.entries(runErrors.value).filter(([run]) => shown.has(run));
  const ofRuns = (runs.value?.runs ?? []).filter(({ run }) => shown.has(run)).flatMap(({ notices }) => notices);
  const notices = [...(runs.value?.notices ?? []), ...ofRuns];
  if (notices.length === 0 && errors.length === 0 && connectionError.value === null && absent.value.length === 0)
    return null;
  return (
    <div class="notices" role="status" data-testid="notices">
      {connectionError.value !== null && (
        <div>
          <span class="sign">!</span>
          {connectionError.value}. What is shown is its last answer; the page asks again every 2 s.
        </div>
      )}
      {absent.value.length > 0 && (
        <div data-testid="absent">
          <span class="sign">!</span>
          The link asks for what is not in this log: {absent.value.join("; ")}. Something else is shown instead.{" "}
          <button
            type="button"
            class="hint"
            onClick={() => {
              absent.value = [];
            }}
          >
            Dismiss
          </button>
        </div>
      )}
      {errors.map(([run, words]) => (
        <div key={run}>
          <span class="sign">!</span>
          Run {run}: {words}
        </div>
      ))}
      {notices.map((notice) => (
        <div key={`${notice.file} ${notice.byte}`}>
          <span class="sign">!</span>
          {notice.message}
          {notice.file !== "" && (
            <span class="hint">
              {" "}
              {notice.file}, byte {formatCount(notice.byte)}
            </span>
          )}
        </div>
      ))}
    </div>
  );
}
