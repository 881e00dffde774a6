// The quilt of all layers over all steps, level with the tree; below it where the selected layer's values lie.
import { css, lut } from "../colour";
import { Splitter } from "../components/splitter";
import type { StatDomain } from "../draw/scale";
import { formatCount } from "../format";
import { chooseQuiltHeight, HEAD_HEIGHT, quiltHeight, quiltLimits } from "../layout";
import { palette } from "../palette";
import { useRowsScroll } from "../rows";
import {
  choosesQuantity,
  dark,
  drawnStat,
  hoverStep,
  type Lanes,
  laneRuns,
  lanes,
  type Quantity,
  quantity,
  type StatScale,
  stat,
  statScale,
  toldStep,
} from "../state";
import { isFraction, STATISTICS } from "../statistics";
import { domain } from "./overview/lanes";
import { formatStat, Quilt } from "./overview/quilt";
import { ValuesOverSteps } from "./overview/values";

const SCALES: readonly StatScale[] = ["log", "linear", "symlog"];

/** The scale's ends in words; of differences, with their sign. */
function ends({ low, high }: StatDomain): [string, string] {
  if (lanes.value === "difference") return [`\u2212${formatStat(high)}`, `+${formatStat(high)}`];
  return [formatStat(low), isFraction(drawnStat.value) ? formatStat(high) : `≥ ${formatStat(high)}`];
}

export function OverviewControls() {
  const { kind } = domain.value;
  const difference = lanes.value === "difference";
  const fraction = isFraction(drawnStat.value) && !difference;
  const table = lut(difference ? "differences" : "statistics", dark.value);
  const gradient = `linear-gradient(to right, ${Array.from({ length: 9 }, (_, index) => css(table, index / 8)).join(", ")})`;
  const [low, high] = ends(domain.value);
  return (
    <>
      {laneRuns.value.length > 1 && (
        <label>
          Show
          <select
            data-testid="lanes"
            value={lanes.value}
            onChange={(event) => {
              lanes.value = event.currentTarget.value as Lanes;
            }}
          >
            <option value="runs">each run</option>
            <option value="difference">difference to A</option>
          </select>
        </label>
      )}
      {choosesQuantity.value && (
        <label>
          Of
          <select
            data-testid="quantity"
            value={quantity.value}
            onChange={(event) => {
              quantity.value = event.currentTarget.value as Quantity;
            }}
          >
            <option value="activations">outputs</option>
            <option value="gradients">gradients</option>
          </select>
        </label>
      )}
      <label>
        Colour
        <select
          data-testid="stat"
          value={stat.value}
          onChange={(event) => {
            stat.value = event.currentTarget.value;
          }}
        >
          {STATISTICS.map(([name, label]) => (
            <option key={name} value={name}>
              {label}
            </option>
          ))}
        </select>
      </label>
      <label
        title={
          kind === statScale.value
            ? ""
            : "Not all values are positive: a symmetric logarithm takes the place of the logarithm"
        }
      >
        scale
        <select
          data-testid="stat-scale"
          disabled={fraction}
          value={fraction ? "linear" : kind === "symlog" ? "symlog" : statScale.value}
          onChange={(event) => {
            statScale.value = event.currentTarget.value as StatScale;
          }}
        >
          {SCALES.map((scale) => (
            <option key={scale} value={scale}>
              {scale}
            </option>
          ))}
        </select>
      </label>
      <span class="legend" data-testid="legend">
        {low}
        <span class="ramp" style={{ background: gradient }} />
        {high}
      </span>
      <span class="legend textures">
        {!difference && (
          <>
            <TextureKey kind="dots" /> all zero
          </>
        )}
        <TextureKey kind="hatch" /> NaN, Inf
      </span>
    </>
  );
}

function TextureKey({ kind }: { kind: "dots" | "hatch" }) {
  const { bad, ink3 } = palette.value;
  const background =
    kind === "hatch"
      ? `repeating-linear-gradient(135deg, ${bad} 0 1px, transparent 1px 4px)`
      : `radial-gradient(${ink3} 0.7px, transparent 1px) 0 0 / 4px 4px`;
  return <span style={{ width: "14px", height: "10px", background }} />;
}

export function Overview({ available }: { available: number }) {
  const height = quiltHeight(available);
  const told = toldStep.value;
  return (
    <>
      <div class="quilt-head hint">
        {told !== null && (
          <span class={hoverStep.value === null ? "" : "hovered"}>
            {lanes.value === "difference" ? "difference" : "value"} at {formatCount(told)}
          </span>
        )}
      </div>
      <div class="quilt-scroll" style={{ height: `${height}px` }} {...useRowsScroll()}>
        <Quilt height={height} />
      </div>
      <Splitter
        label="Height of the quilt"
        testid="quilt-splitter"
        orientation="horizontal"
        size={height}
        {...quiltLimits(available)}
        onChange={(wanted) => chooseQuiltHeight(available, wanted)}
      />
      <ValuesOverSteps height={available - height - HEAD_HEIGHT} />
    </>
  );
}
