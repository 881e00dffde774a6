// Where the selected layer's values lie over the steps, for each shown run.
import { useMemo } from "preact/hooks";
import { fetchHistograms } from "../../api";
import { lut } from "../../colour";
import { Canvas } from "../../components/canvas";
import { StepPlot, Swatch, useFetched } from "../../components/frame";
import { drawValues, drawValueTicks, fullShare, valueScale } from "../../draw/values";
import { formatPercent, shortOf } from "../../format";
import { palette } from "../../palette";
import {
  axis,
  dark,
  layerInfo,
  mainWidth,
  type Quantity,
  quantity,
  shownRuns,
  timelines,
  toldStep,
  zoom,
} from "../../state";
import { indexOfStep } from "../../stats";
import { fitted } from "../../text";
import type { Histograms } from "../../types";

/** Below a strip's swatch there is room for labels. */
const SWATCH_BOTTOM = 20;

export function ValuesOverSteps({ height }: { height: number }) {
  const shown = shownRuns.value;
  const name = layerInfo.value?.name ?? null; // what a link asked for may be no layer
  const range = zoom.value;
  const known = shown.map(({ run }) => [run, timelines.value[run]?.revision]);
  const of = quantity.value;
  const key = name === null || shown.length === 0 ? null : JSON.stringify([name, of, known, range]);
  const { data, key: answered } = useFetched(key, (signal) =>
    Promise.all(
      shown.map(async ({ run, letter }) => ({
        letter,
        run,
        layer: name as string,
        of,
        histograms: await fetchHistograms(run, name as string, signal, {
          of,
          from: range?.[0],
          to: range?.[1],
        }).catch(() => null),
      })),
    ),
  );
  const each = Math.max(60, Math.floor((height - 44) / Math.max(1, shown.length)) - 10);
  const found = (data ?? []).flatMap(({ histograms }) => (histograms ? [histograms] : []));
  const scale = useMemo(() => valueScale(found, each), [data, each]);
  const full = useMemo(() => fullShare(found), [data]);
  return (
    <section data-testid="values" data-layer={data?.[0]?.layer ?? ""}>
      <div class="panel-head">
        <h2>
          {data?.[0]?.of === "gradients" ? "Gradients" : "Values"} of{" "}
          {fitted(data?.[0]?.layer ?? name ?? "…", mainWidth.value * 0.4, 12)} over steps
        </h2>
        <span class="hint">share of the values in each quarter octave; exact zeros in their own row</span>
        {answered !== key && data?.[0]?.layer !== name && <span class="hint">loading {name}</span>}
      </div>
      {(data ?? []).map(({ letter, run, layer: name, of, histograms }) => (
        <div key={letter} style={{ marginBottom: "10px" }}>
          {histograms && histograms.steps.length > 0 ? (
            <StepPlot label={`Values of ${name} in run ${run} over steps`}>
              <Canvas
                deps={[histograms, scale, full]}
                width={mainWidth.value}
                height={each}
                role="img"
                data-testid={`values-${letter.toLowerCase()}`}
                data-csv={`histograms.csv?${new URLSearchParams({ run, layer: name, of })}`}
                aria-label={`Where the values of ${name} lie over steps, run ${run}`}
                draw={(context) => {
                  drawValues(context, histograms, axis.value, scale, 0, lut("counts", dark.value), full);
                  drawValueTicks(context, axis.value, scale, palette.value.ink2, SWATCH_BOTTOM);
                }}
              />
              <div style={{ position: "absolute", left: "12px", top: "0" }}>
                <Swatch letter={letter} run={run} />
              </div>
              <ValueNumbers histograms={histograms} of={of} height={each} />
            </StepPlot>
          ) : (
            <p class="hint" style={{ padding: "0 16px" }}>
              {histograms
                ? `Run ${run} logged no ${of === "gradients" ? "gradients" : "histograms"} of ${name}.`
                : `Run ${run} has no ${of === "gradients" ? "gradients of" : "layer"} ${name}.`}
            </p>
          )}
        </div>
      ))}
    </section>
  );
}

/** The 95th percentile, the median and the share of zeros at the step in view, at the right edge. */
function ValueNumbers({ histograms, of, height }: { histograms: Histograms; of: Quantity; height: number }) {
  const index = indexOfStep(histograms.steps, toldStep.value);
  if (index < 0) return <div class="lane-values hint">not logged</div>;
  const shares = histograms.shares.subarray(index * histograms.bins.length, (index + 1) * histograms.bins.length);
  const zero = shares[histograms.bins.indexOf(0)] ?? 0;
  return (
    <>
      <div class="lane-values">
        {[0.95, 0.5, 0.05].map((share) => (
          <div key={share}>
            <span>p{share * 100}</span>
            {shortOf(of)(percentile(histograms, shares, share))}
          </div>
        ))}
      </div>
      <div class="lane-values" style={{ top: `${Math.max(48, height - 15)}px` }}>
        <div>
          <span>zero</span>
          {formatPercent(zero)}
        </div>
      </div>
    </>
  );
}

function percentile({ left, right }: Histograms, shares: Float32Array, share: number): number {
  let below = 0;
  for (let index = 0; index < shares.length; index++) {
    const here = shares[index] as number;
    if (below + here >= share && here > 0)
      return (left[index] as number) + ((right[index] as number) - (left[index] as number)) * ((share - below) / here);
    below += here;
  }
  return Number.NaN;
}
