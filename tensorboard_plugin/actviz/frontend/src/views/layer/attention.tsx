// A layer's attention: its heads at one step, and over the steps.
import { focusedRun, layer, mainWidth, sample, scaleLocked, step } from "../../state";
import { useAttention, useHeads, useInputsAt } from "./data";
import { HeadsTop } from "./heads";
import { HeadStrips } from "./headstrips";

export function AttentionView({ place, available }: { place: string; available: number }) {
  const { shown: fetched, error } = useAttention(place);
  const { heads, error: headsError } = useHeads(place);
  // A locked scale is known only with the heads over the steps: no picture on another scale before that.
  const locked = scaleLocked.value;
  const shown = heads === null && headsError === null && locked ? null : fetched;
  const inputs = useInputsAt(focusedRun.value, layer.value, shown?.step ?? null, shown?.attention.source ?? null);
  const at =
    shown === null ? 0 : (shown.attention.samples[Math.min(sample.value, shown.attention.samples.length - 1)] ?? 0);
  const spare = Math.max(0, available - 668);
  const top = 360 + spare * 0.55;
  const heights = { heat: 60 + spare * 0.15, entropy: 54 + spare * 0.1, logit: 54 + spare * 0.1 };
  return (
    <div data-testid="layer-view">
      <div class="layer-top" style={{ minHeight: `${top}px` }}>
        {shown ? (
          <HeadsTop
            shown={shown}
            heads={heads}
            tokens={inputs?.tokens?.[at] ?? null}
            label={inputs?.labels?.[at] ?? null}
            width={mainWidth.value}
            height={top}
          />
        ) : (
          <p class="layer-words" data-testid="no-attention">
            {error ?? ""}
          </p>
        )}
        {shown !== null && shown.step !== step.value && (
          <span class="waiting">{error ?? `waiting for step ${step.value}`}</span>
        )}
      </div>
      {place !== layer.value && <p class="hint attention-of">Attention of {place}</p>}
      {headsError !== null && <p class="layer-words">{headsError}</p>}
      {heads && <HeadStrips heads={heads} keys={shown?.attention.shape[3] ?? 2} heights={heights} />}
    </div>
  );
}
