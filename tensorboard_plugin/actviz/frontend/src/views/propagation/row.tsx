// One row of the score: name and numbers at the left, the pictures right of the rail.
import { useLayoutEffect } from "preact/hooks";
import { chooseLayer } from "../../actions";
import { statAt } from "../../detail";
import { formatNumber, formatPercent, shorten } from "../../format";
import { hasNonfinite, mapNumber } from "../../maps";
import {
  type ChannelChoice,
  channelChoice,
  drawnQuantity,
  layer,
  referenceStep,
  scaleLocked,
  shownChannels,
  step,
} from "../../state";
import type { LayerStats } from "../../types";
import type { ShownMaps } from "../layer/data";
import { chooseChannels } from "./channels";
import { usePicture, useProfile, useRunLimits, WEIGHT_LIMITS } from "./data";
import { RowPictures } from "./picture";
import { pulse } from "./pulse";
import type { ScoreRow } from "./score";
import { layerOf, type Shared } from "./shared";
import { openChosen, toggleBlock } from "./toggle";

export function Row({ row, index, shared }: { row: ScoreRow; index: number; shared: Shared }) {
  if (row.kind === "head") return <Head row={row} shared={shared} />;
  return <PicturedRow row={row} index={index} shared={shared} />;
}

function Head({ row, shared }: { row: ScoreRow; shared: Shared }) {
  return (
    <div class="score-row" role="listitem" style={{ top: `${row.top}px`, height: `${row.height}px` }}>
      <button
        type="button"
        class="block-head"
        style={{ width: `${shared.textWidth}px` }}
        aria-expanded={true}
        title={`Fold ${row.block}`}
        data-testid="block-head"
        data-block={row.block}
        onClick={() => toggleBlock(row.block as string)}
      >
        <span class="turn">▾</span>
        {shorten(row.label, 22)}
      </button>
    </div>
  );
}

function PicturedRow({ row, index, shared }: { row: ScoreRow; index: number; shared: Shared }) {
  const attention = row.kind === "attention";
  const selected = !attention && row.layers.includes(layer.value ?? "");
  const folds = row.family.kept.length > row.family.columns && channelChoice.value !== "index";
  const chosenBy = useProfile(shared.run, folds && row.picture !== "words" ? row.family.first : null);
  const pictured = usePicture(shared.run, row.picture === "words" ? null : row.info.name, attention);
  const scale = useRunLimits(shared.run, attention || row.picture === "words" ? null : row.info.name);
  const limits = attention ? WEIGHT_LIMITS : scale.limits;
  const ready = scale.settled && chosenBy.settled;
  const shown = ready ? pictured.shown : null;
  const kept = attention ? (shown?.maps.channels ?? []) : row.family.kept;
  const channels = chooseChannels(kept, row.family.columns, channelChoice.value, chosenBy.profile, referenceStep.value);
  useLayoutEffect(() => {
    if (selected && (row.picture === "channels" || row.picture === "vector")) shownChannels.value = channels;
  }, [selected, channels.join()]);
  const reached = pulse.value === null || index <= pulse.value;
  const words = wordsOf(row, pictured.error);
  return (
    <div
      class={`score-row${selected ? " selected" : ""}${row.starts && index > 0 ? " starts" : ""}`}
      style={{ top: `${row.top}px`, height: `${row.height}px` }}
      role="listitem"
      data-testid="score-row"
      data-layer={row.info.name}
      data-kind={row.kind}
      data-reached={reached}
      data-lit={pulse.value === index}
    >
      <RowText
        row={row}
        shared={shared}
        shown={shown}
        fresh={pictured.fresh && ready}
        late={pictured.late}
        selected={selected}
        limits={limits}
      />
      <div class="score-picture" style={{ left: `${shared.mapsLeft}px`, width: `${shared.width}px` }}>
        {words !== null ? (
          <p class="row-words">{words}</p>
        ) : shown !== null ? (
          <RowPictures row={row} shared={shared} shown={shown} channels={channels} limits={limits} />
        ) : (
          <div class="empty-row" style={{ height: `${Math.max(20, row.pictureHeight)}px` }} />
        )}
        {row.info.name === row.family.first && channels.length < kept.length && (
          <span class="hint fit" title={FIT_TITLE}>
            {`${channels.length} of ${kept.length}, ${CHOSEN[channelChoice.value]}`}
          </span>
        )}
      </div>
    </div>
  );
}

/** A name of more characters has its line for itself. */
const LONG = 9;
const CHOSEN: Readonly<Record<ChannelChoice, string>> = {
  index: "the first",
  largest: "the strongest in the run",
  changed: "the most changed",
};
const FIT_TITLE = "So many of the channels that the log keeps fit; choose which by “Channels” above";

function wordsOf(row: ScoreRow, error: string | null): string | null {
  if (row.picture !== "words") return error;
  const shape = row.info.shape?.join(" × ");
  return shape && row.info.layout === null
    ? `An output of this shape (${shape}) has no maps.`
    : "No maps of this layer were logged.";
}

interface TextProps {
  row: ScoreRow;
  shared: Shared;
  shown: ShownMaps | null;
  fresh: boolean;
  late: boolean;
  selected: boolean;
  limits: LayerStats | null;
}

function RowText({ row, shared, shown, fresh, late, selected, limits }: TextProps) {
  const choose = () => {
    if (selected) openChosen();
    else chooseLayer(layerOf(row));
  };
  const size = sizeOf(row, shown);
  const long = row.label.length > LONG;
  const numbers = shown === null ? null : numbersOf(row, shared, shown, limits);
  const inputs = row.info.inputs?.join(", ");
  return (
    <>
      <button
        type="button"
        class="row-name"
        style={{ width: `${shared.textWidth + (shared.mapsLeft - shared.textWidth) - 4}px` }}
        tabIndex={selected ? 0 : -1}
        aria-pressed={selected}
        aria-label={`${row.kind === "folded" ? `block ${row.label}, ` : ""}${row.info.name}, ${size}`}
        title={`${row.info.name}${inputs ? `\nfrom ${inputs}` : ""}${selected ? `\nclick, Enter: ${row.kind === "folded" ? "unfold" : "open this layer"}` : ""}`}
        data-testid="row-name"
        onClick={choose}
      />
      <div class="row-text" style={{ width: `${shared.textWidth}px` }}>
        <div class="first-line">
          {row.kind === "folded" && (
            <button
              type="button"
              class="turn"
              aria-expanded={false}
              aria-label={`Unfold ${row.block}, ${row.layers.length} layers`}
              title={`Unfold ${row.layers.length} layers`}
              data-testid="unfold"
              data-block={row.block}
              onClick={() => toggleBlock(row.block as string)}
            >
              ▸
            </button>
          )}
          <span class="name">{shorten(row.label, 18)}</span>
          {!long && <span class="hint">{size}</span>}
        </div>
        {long && <div class="hint">{size}</div>}
        {shown !== null && !fresh ? (
          <div class="hint stale" data-testid="stale">
            step {shown.key.step}
            {late && `, waiting for ${step.value}`}
          </div>
        ) : numbers !== null ? (
          <div class="hint second-line" title={numbers.title}>
            <span class={numbers.bad ? "bad" : undefined}>{numbers.max}</span>
            <span>{row.kind === "folded" ? `${row.layers.length} layers` : numbers.zero}</span>
          </div>
        ) : (
          late && <div class="hint">waiting for step {step.value}</div>
        )}
      </div>
    </>
  );
}

function sizeOf(row: ScoreRow, shown: ShownMaps | null): string {
  if (row.kind === "attention") {
    const heads = shown?.maps.channels.length ?? 0;
    return heads > row.family.columns ? `${row.family.columns} of ${heads} heads` : heads > 0 ? `${heads} heads` : "";
  }
  return row.info.shape?.slice(1).join("×") ?? "";
}

/** The largest value of the samples shown, and the share of zeros that the log has of the training batch. */
function numbersOf(row: ScoreRow, shared: Shared, { maps, key }: ShownMaps, limits: LayerStats | null) {
  let max = Number.NEGATIVE_INFINITY;
  let low = Number.POSITIVE_INFINITY;
  let bad = false;
  for (const id of shared.samples) {
    const at = maps.samples.indexOf(id);
    for (let position = 0; at >= 0 && position < maps.channels.length; position++) {
      const map = mapNumber(maps, at, position);
      bad ||= hasNonfinite(maps, map);
      max = Math.max(max, maps.high[map] as number);
      low = Math.min(low, maps.low[map] as number);
    }
  }
  const locked = scaleLocked.value ? limits?.abs_limit : null;
  const clips = locked != null && (max > locked || -low > locked);
  const known = drawnQuantity.value === "activations" ? statAt(key.run, row.info.name, key.step) : null;
  const zero = known?.zero ?? Number.NaN;
  const pooled = maps.pool[0] * maps.pool[1] > 1 ? ` (a pixel is the mean of ${maps.pool.join(" × ")} values)` : "";
  const beyond = clips ? ", beyond it the end colour" : "";
  const unknown = scaleLocked.value ? "\nscale: of this step, as the run's limits are not known" : "";
  const scaleWords = locked == null ? unknown : `\nscale: ±${formatNumber(locked)}${beyond}`;
  return {
    max: bad ? "NaN or Inf" : Number.isFinite(max) ? `max ${formatNumber(max)}${clips ? ", clips" : ""}` : "",
    zero: zero > 0 ? `${formatPercent(zero).replace(/\.\d/, "").replace(" ", "\u2009")} zero` : "",
    bad,
    title: `max: of what is shown${pooled}\nzero: of all values in the training batch at step ${key.step}${scaleWords}`,
  };
}
