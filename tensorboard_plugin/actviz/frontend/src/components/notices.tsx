// What is wrong with the log or the connection, said plainly above the view.
import { formatCount } from "../format";
import { connectionError, laneRuns, runErrors, runs } from "../state";

export function Notices() {
  const shown = new Set(laneRuns.value.map(({ run }) => run));
  const errors = Object.entries(runErrors.value).filter(([run]) => shown.has(run));
  const ofRuns = (runs.value?.runs ?? []).filter(({ run }) => shown.has(run)).flatMap(({ notices }) => notices);
  const notices = [...(runs.value?.notices ?? []), ...ofRuns];
  if (notices.length === 0 && errors.length === 0 && connectionError.value === null) return null;
  return (
    <div class="notices" role="status" data-testid="notices">
      {connectionError.value !== null && (
        <div>
          <span class="sign">!</span>
          {connectionError.value}. What is shown is its last answer; the page asks again every 2 s.
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
