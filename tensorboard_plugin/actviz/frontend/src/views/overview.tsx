// The quilt of all layers over all steps, level with the tree; below it where the selected layer's values lie.
import { css, lut } from "../colour";
import { palette } from "../palette";
import { rowsHeight, rowsScroll } from "../rows";
import { dark, type StatScale, stat, statScale, step } from "../state";
import { isFraction, STATISTICS } from "../statistics";
import { domain, formatStat, Quilt } from "./overview/quilt";
import { ValuesOverSteps } from "./overview/values";

export function OverviewControls() {
  const { low, high } = domain.value;
  const table = lut("statistics", dark.value);
  const gradient = `linear-gradient(to right, ${Array.from({ length: 9 }, (_, index) => css(table, index / 8)).join(", ")})`;
  return (
    <>
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
      <label>
        scale
        <select
          data-testid="stat-scale"
          disabled={isFraction(stat.value)}
          value={isFraction(stat.value) ? "linear" : statScale.value}
          onChange={(event) => {
            statScale.value = event.currentTarget.value as StatScale;
          }}
        >
          <option value="log">log</option>
          <option value="linear">linear</option>
        </select>
      </label>
      <span class="legend">
        {formatStat(low)}
        <span style={{ width: "96px", height: "10px", background: gradient }} />
        {isFraction(stat.value) ? formatStat(high) : `≥ ${formatStat(high)}`}
      </span>
      <span class="legend">
        <TextureKey kind="dots" /> all zero
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

/** Height at which tree and quilt stand level; null where the view has no quilt. */
export function quiltHeight(available: number): number {
  return Math.min(rowsHeight.value + 4, Math.max(120, Math.floor((available - 24) * 0.56)));
}

export function Overview({ available }: { available: number }) {
  const height = quiltHeight(available);
  return (
    <>
      <div class="quilt-head hint">{step.value === null ? "" : `value at ${step.value}`}</div>
      <div
        class="quilt-scroll"
        style={{ height: `${height}px` }}
        ref={(node) => {
          if (node && Math.abs(node.scrollTop - rowsScroll.value) > 1) node.scrollTop = rowsScroll.value;
        }}
        onScroll={(event) => {
          rowsScroll.value = event.currentTarget.scrollTop;
        }}
      >
        <Quilt />
      </div>
      <ValuesOverSteps height={available - height - 24} />
    </>
  );
}
