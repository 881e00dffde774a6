// The page when the log holds nothing of ours: what to add, what was looked at, what may be the reason.
import { useEffect, useState } from "preact/hooks";
import { copyText } from "../clipboard";
import { formatBytes } from "../format";
import { connectionError, runs } from "../state";

const CALL = 'import actviz_tb\n\nactviz_tb.watch(model, "runs/exp1")';

export function Empty() {
  const answer = runs.value;
  const ago = useSecondsSince(answer);
  const [copied, setCopied] = useState(false);
  if (answer === null || !answer.ready)
    return (
      <div class="empty" data-testid="loading">
        <h1>{connectionError.value ?? "Reading the log directory"}</h1>
        <p>The page fills by itself.</p>
      </div>
    );
  return (
    <div class="empty" data-testid="empty">
      <h1>No activations in this log yet</h1>
      <p>Add one call to the training script. The page fills by itself as soon as the first step is logged.</p>
      <pre class="code mono">
        import actviz_tb{"\n\n"}
        actviz_tb.watch(model, "runs/exp1") <span class="comment"># before the first step</span>
        {"\n"}
        <span class="comment">for x, y in loader: ... # the loop stays as it is</span>
        <button type="button" onClick={() => void copyText(CALL).then(setCopied)}>
          {copied ? "Copied" : "Copy"}
        </button>
      </pre>
      <h2>To see the same inputs at every step, give it a probe</h2>
      <pre class="code mono">actviz_tb.watch(model, "runs/exp1", probe=images[:10], probe_labels=labels[:10])</pre>
      {answer.notices?.map((notice) => (
        <p key={notice.message} style={{ marginTop: "20px" }}>
          {notice.message}
        </p>
      ))}
      <h2>What was looked at</h2>
      <table>
        <tbody>
          {answer.other.map((other) => (
            <tr key={other.run}>
              <td>{other.run}</td>
              <td>
                {other.files} event {other.files === 1 ? "file" : "files"}, {formatBytes(other.size_bytes)}
              </td>
              <td>{other.note}</td>
            </tr>
          ))}
          {answer.other.length === 0 && (
            <tr>
              <td>no event file</td>
              <td />
              <td>the directory is empty, or not there yet</td>
            </tr>
          )}
        </tbody>
      </table>
      <p class="hint" style={{ marginTop: "8px", fontSize: "12px" }}>
        Log directory {answer.logdir ?? "unknown"}. Looked {ago} s ago, looks again every{" "}
        {Math.max(2, Math.round(answer.poll_interval_s))} s.
      </p>
      <h2>Already logging?</h2>
      <ul>
        <li>
          Is this the directory that the script writes to? <span class="mono">tensorboard --logdir runs</span>
        </li>
        <li>
          Was a step due? Log more often to be sure. <span class="mono">watch(..., every=10)</span>
        </li>
        <li>
          Is the run still in its first step? <span class="mono">print(logger.report())</span>
        </li>
      </ul>
    </div>
  );
}

function useSecondsSince(answer: { checked_ago_s: number } | null): number {
  const [now, setNow] = useState(Date.now());
  const [arrived, setArrived] = useState(Date.now());
  useEffect(() => setArrived(Date.now()), [answer]);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  return Math.max(0, Math.round((answer?.checked_ago_s ?? 0) + (now - arrived) / 1000));
}
