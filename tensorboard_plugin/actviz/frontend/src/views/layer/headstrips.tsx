// What attention heads did over the steps.
import { useMemo } from "preact/hooks";
import { lut } from "../../colour";
import { drawHeadHeat, drawHeadLines } from "../../draw/weights";
import { formatShort } from "../../format";
import { FONT, palette } from "../../palette";
import { axis, dark, head, step } from "../../state";
import { indexOfStep } from "../../stats";
import type { Heads } from "../../types";
import { Strip } from "./history";

/** The smallest and the largest of what is known; NaN where nothing is. */
function rangeOf(values: Float32Array): [least: number, most: number] {
  let [least, most] = [Number.NaN, Number.NaN];
  for (const value of values) {
    if (!(least <= value) && !Number.isNaN(value)) least = value;
    if (!(most >= value) && !Number.isNaN(value)) most = value;
  }
  return [least, most];
}

interface HeadStripsProps {
  heads: Heads;
  /** Number of keys, which bounds the entropy. */
  keys: number;
  heights: { heat: number; entropy: number; logit: number };
}

export function HeadStrips({ heads, keys, heights }: HeadStripsProps) {
  const count = heads.heads.length;
  const row = head.value === null ? -1 : heads.heads.indexOf(head.value);
  const chosen = row < 0 ? null : row;
  const index = indexOfStep(heads.steps, step.value);
  const [least, most] = useMemo(() => rangeOf(heads.entropy), [heads]);
  const number = (values: Float32Array): [string, string][] => {
    if (index < 0) return [];
    const own = values.subarray(index * count, (index + 1) * count);
    const [smallest, largest] = rangeOf(own);
    const ends: [string, string][] = [
      ["largest", formatShort(largest)],
      ["least", formatShort(smallest)],
    ];
    return chosen === null ? ends : [[`head ${head.value}`, formatShort(own[chosen] as number)], ...ends];
  };
  const lines = (values: Float32Array, height: number) => (context: CanvasRenderingContext2D) =>
    drawHeadLines(context, heads.steps, values, count, chosen, axis.value, height, palette.value);
  const anyLogit = heads.largest_logit.some((value) => !Number.isNaN(value));
  return (
    <>
      <Strip
        title="Entropy, heads × steps"
        hint={`one row a head, from ${formatShort(least)} to ${formatShort(most)} nats; 0: one key, ln ${keys} = ${formatShort(Math.log(keys))}: all alike; mean over the shown samples`}
        testid="heads-heat"
        height={heights.heat}
        deps={[heads, keys, chosen]}
        numbers={
          chosen === null || index < 0
            ? []
            : [[`head ${head.value}`, formatShort(heads.entropy[index * count + chosen] as number)]]
        }
        draw={(context, canvas) => {
          drawHeadHeat(
            context,
            heads.steps,
            heads.entropy,
            count,
            { low: least, high: most > least ? most : least + 1, clips: false },
            axis.value,
            heights.heat,
            lut("statistics", dark.value),
          );
          context.font = FONT;
          context.fillStyle = palette.value.ink2;
          context.textAlign = "right";
          context.textBaseline = "middle";
          const tall = heights.heat / count;
          const every = Math.max(1, Math.ceil(12 / tall));
          for (let at = 0; at < count; at += every)
            context.fillText(String(heads.heads[at]), axis.value.left - 8, (at + 0.5) * tall);
          if (chosen !== null) {
            context.fillStyle = palette.value.accent;
            context.fillRect(axis.value.left - 6, (chosen + 0.5) * tall - 1, 5, 2);
          }
          canvas.dataset.heads = String(count);
          canvas.dataset.low = String(least);
          canvas.dataset.high = String(most);
        }}
      />
      <Strip
        title="Entropy"
        hint="a line a head; nats"
        testid="heads-entropy"
        height={heights.entropy}
        deps={[heads, chosen]}
        numbers={number(heads.entropy)}
        draw={lines(heads.entropy, heights.entropy)}
      />
      {anyLogit ? (
        <Strip
          title="Largest logit"
          hint="a line a head; before the softmax, of the shown samples"
          testid="heads-logit"
          height={heights.logit}
          deps={[heads, chosen]}
          numbers={number(heads.largest_logit)}
          draw={lines(heads.largest_logit, heights.logit)}
        />
      ) : (
        <p class="layer-words">The logits are not known: this module puts out its weights alone.</p>
      )}
    </>
  );
}
