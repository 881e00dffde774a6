// The view of runs without a probe: what to add.

export function WithoutProbe() {
  return (
    <div class="without-probe" data-testid="without-probe">
      <h2>These runs have no probe</h2>
      <p>
        Whether two layers, steps or runs represent the same is asked of the same inputs. Give <code>watch</code> a
        fixed batch of them; it runs through the model on logged steps and leaves no trace in it.
      </p>
      <pre class="code mono">
        actviz_tb.watch(model, "runs/exp1",{"\n"}
        {"                "}probe=images[:64], probe_labels=labels[:64])
      </pre>
      <p>Up to 64 samples are compared; the more, the surer the numbers. Labels are shown as the samples' points.</p>
    </div>
  );
}
