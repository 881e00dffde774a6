// Layers by change, and the chosen layer's channels by change.
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { chooseLayer } from "../../actions";
import { changeColour, css, lut } from "../../colour";
import { formatCount, formatNumber, formatShort, shorten, signed } from "../../format";
import { channel, dark, layer, type Measure, mainWidth, rankBy } from "../../state";
import type { Differences } from "../../types";
import type { RankedChannel, RankedLayer } from "./rank";
import { rankLayers, SIGNED } from "./rank";

const ROWS_SHOWN = 100;
const NAME_CHARACTERS = 17;

export const MEASURE_LABELS: readonly (readonly [Measure, string])[] = [
  ["rms", "relative RMS change"],
  ["mean", "change of the mean"],
  ["histogram", "histogram distance"],
  ["maps", "maps, relative difference"],
  ["cka", "1 − CKA"],
];

const EXPLAINED: Readonly<Record<Measure, string>> = {
  rms: "(RMS of B − RMS of A) / RMS of A, of the training forward",
  mean: "(mean of B − mean of A) / RMS of A, of the training forward",
  histogram: "share of the values that lies in other quarter octaves, of the training forward",
  maps: "RMS of B − A / RMS of A, value by value, over the shown samples",
  cka: "1 − linear CKA of the layer in A with itself in B, on the probe",
};

/** The colour of a change: purple or green where it says which way, else grey. */
function barColour(change: number, directed: boolean): string {
  return directed ? changeColour(change, dark.value) : css(lut("counts", dark.value), 0.45);
}

function Bar({ change, share, directed }: { change: number; share: number; directed: boolean }) {
  return (
    <span class="bar" aria-hidden="true">
      <span style={{ width: `${share * 100}%`, background: barColour(change, directed) }} />
    </span>
  );
}

function changeText(change: number, directed: boolean): string {
  if (Number.isNaN(change)) return "–";
  return directed ? signed(change) : formatNumber(change);
}

interface ListProps {
  label: string;
  testid: string;
  columns: string;
  head: readonly string[];
  keys: readonly string[];
  chosen: number;
  choose: (index: number) => void;
  children: ComponentChildren;
}

/** A list that is gone through with the arrow keys while it has the focus. */
function List({ label, testid, columns, head, keys, chosen, choose, children }: ListProps) {
  const ref = useRef<HTMLDivElement>(null);
  useEffect(() => {
    // Not scrollIntoView: that would move the view around the list, too.
    const list = ref.current;
    const row = list?.querySelector<HTMLElement>('[aria-selected="true"]');
    if (!list || !row) return;
    const below = row.offsetTop + row.offsetHeight - list.clientHeight;
    list.scrollTop = Math.max(below, Math.min(row.offsetTop, list.scrollTop));
  }, [keys[chosen]]);
  const move = (event: KeyboardEvent) => {
    const to = { ArrowUp: chosen - 1, ArrowDown: chosen + 1, Home: 0, End: keys.length - 1 }[event.key];
    if (to === undefined || keys.length === 0) return;
    event.preventDefault();
    event.stopPropagation();
    choose(Math.max(0, Math.min(keys.length - 1, to)));
  };
  return (
    <div class={`rank-list ${columns}`}>
      <div class="rank-row rank-head hint" aria-hidden="true">
        {head.map((each) => (
          <span key={each}>{each}</span>
        ))}
      </div>
      <div
        class="rank-rows"
        ref={ref}
        role="listbox"
        tabIndex={0}
        aria-label={label}
        aria-activedescendant={chosen >= 0 ? `${testid}-${chosen}` : undefined}
        data-testid={testid}
        onKeyDown={move}
      >
        {children}
      </div>
    </div>
  );
}

/** The first rows, and the chosen one where it is not among them. */
function visible<T>(rows: readonly T[], chosen: number): number[] {
  const indices = rows.slice(0, ROWS_SHOWN).map((_, index) => index);
  if (chosen >= ROWS_SHOWN) indices.push(chosen);
  return indices;
}

export function LayersByChange({ differences, error }: { differences: Differences | null; error: string | null }) {
  const rows = differences === null ? [] : rankLayers(differences);
  const chosen = rows.findIndex(({ name }) => name === layer.value);
  const directed = SIGNED[rankBy.value];
  const none = rows.length > 0 && rows.every(({ change }) => Number.isNaN(change));
  return (
    <section
      class="rank-panel"
      data-step-a={differences?.step}
      data-step-b={differences?.other_step}
      data-testid="layers-by-change"
    >
      <div class="panel-head flush">
        <h2>Layers by change</h2>
        <select
          data-testid="rank-by"
          aria-label="Rank layers by"
          title={EXPLAINED[rankBy.value]}
          value={rankBy.value}
          onChange={(event) => {
            rankBy.value = event.currentTarget.value as Measure;
          }}
        >
          {MEASURE_LABELS.map(([value, text]) => (
            <option key={value} value={value}>
              {text}
            </option>
          ))}
        </select>
      </div>
      <p class="hint">
        {differences === null
          ? (error ?? "")
          : `A step ${formatCount(differences.step)}, B step ${formatCount(differences.other_step)}`}
        {none &&
          `: no layer has this measure (${rankBy.value === "cka" ? "it needs a probe" : "other inputs or sizes"})`}
      </p>
      <List
        label={`Layers by ${MEASURE_LABELS.find(([value]) => value === rankBy.value)?.[1]}`}
        testid="ranked-layers"
        columns="of-layers"
        head={["layer", "RMS A", "RMS B", "", "change"]}
        keys={rows.map(({ name }) => name)}
        chosen={chosen}
        choose={(index) => chooseLayer((rows[index] as RankedLayer).name)}
      >
        {visible(rows, chosen).map((index) => {
          const row = rows[index] as RankedLayer;
          return (
            <button
              type="button"
              key={row.name}
              id={`ranked-layers-${index}`}
              class="rank-row"
              role="option"
              tabIndex={-1}
              aria-selected={index === chosen}
              data-layer={row.name}
              data-change={row.change}
              title={
                row.nonfinite === "" ? row.name : `${row.name}\nNaN or infinity in ${[...row.nonfinite].join(" and ")}`
              }
              onClick={() => chooseLayer(row.name)}
            >
              <span class="name">{shorten(row.name, mainWidth.value < 960 ? 48 : NAME_CHARACTERS)}</span>
              {[0, 1].map((side) => (
                <span key={side}>
                  {row.nonfinite.includes("AB"[side] as string) && <span class="bad">× </span>}
                  {formatShort(row.rms[side] as number)}
                </span>
              ))}
              <Bar change={row.change} share={row.share} directed={directed} />
              <strong>{changeText(row.change, directed)}</strong>
            </button>
          );
        })}
      </List>
      {differences !== null && <Missing missing={differences.missing} />}
    </section>
  );
}

function Missing({ missing }: { missing: Differences["missing"] }) {
  const parts = missing.flatMap((names, index) =>
    names.length > 0
      ? [
          `${"AB"[index]} lacks ${shorten(names.slice(0, 4).join(", "), 60)}${names.length > 4 ? ` and ${names.length - 4} more` : ""}`,
        ]
      : [],
  );
  return parts.length > 0 ? <p class="hint">{parts.join("; ")}</p> : null;
}

const WITHOUT_PARTNER = "dead, not finite, or B has too few";

interface ChannelsProps {
  rows: readonly RankedChannel[];
  /** Channels of A without a partner; null where they were not matched. */
  unmatched: number | null;
  steps: readonly [number, number] | null;
}

export function ChannelsByChange({ rows, unmatched, steps }: ChannelsProps) {
  const matched = unmatched !== null;
  const chosen = rows.findIndex(({ name }) => name === channel.value);
  const dead = (
    <span class="bad" title="zero for every value">
      ⊘{" "}
    </span>
  );
  return (
    <section class="rank-panel" data-testid="channels-by-change" data-step-a={steps?.[0]} data-step-b={steps?.[1]}>
      <div class="panel-head flush">
        <h2>Channels of {shorten(layer.value ?? "", 24)} by change</h2>
      </div>
      <p class="hint">
        {steps && `A step ${formatCount(steps[0])}, B step ${formatCount(steps[1])}; `}change of the mean
        {matched ? "; B's best partner" : ""}
        {rows.length > ROWS_SHOWN && `; the first ${ROWS_SHOWN} of ${formatCount(rows.length)}`}
        {unmatched !== null &&
          unmatched > 0 &&
          `; ${formatCount(unmatched)} of A without a partner: ${WITHOUT_PARTNER}`}
      </p>
      <List
        label="Channels by change of the mean"
        testid="ranked-channels"
        columns={matched ? "of-channels matched" : "of-channels"}
        head={
          matched ? ["ch", "in B", "r", "mean A", "mean B", "", "change"] : ["ch", "mean A", "mean B", "", "change"]
        }
        keys={rows.map(({ name }) => String(name))}
        chosen={chosen}
        choose={(index) => {
          channel.value = (rows[index] as RankedChannel).name;
        }}
      >
        {visible(rows, chosen).map((index) => {
          const row = rows[index] as RankedChannel;
          return (
            <button
              type="button"
              key={row.name}
              id={`ranked-channels-${index}`}
              class="rank-row"
              role="option"
              tabIndex={-1}
              aria-selected={index === chosen}
              data-channel={row.name}
              data-partner={row.partner}
              data-change={row.change}
              onClick={() => {
                channel.value = row.name;
              }}
            >
              <span>{row.name}</span>
              {matched && <span>{row.partner}</span>}
              {matched && <span>{row.correlation === null ? "–" : formatShort(row.correlation)}</span>}
              {[0, 1].map((side) => (
                <span key={side}>
                  {row.dead[side] && dead}
                  {formatShort(row.mean[side] as number)}
                </span>
              ))}
              <Bar change={row.change} share={row.share} directed={true} />
              <strong>{changeText(row.change, true)}</strong>
            </button>
          );
        })}
      </List>
    </section>
  );
}
