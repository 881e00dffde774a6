// Below a layer's lanes, when asked for: where its values lie over the steps, for each run.
import { useMemo } from "preact/hooks";
import { fetchHistograms } from "../../api";
import { lut, runColour } from "../../colour";
import { Canvas } from "../../components/canvas";
import { useFetched } from "../../components/frame";
import { drawValues, drawValueTicks, fullShare, valueScale } from "../../draw/values";
import { palette } from "../../palette";
import { expanded, type LayerRow, rows, rowsScroll, STRIP_HEIGHT } from "../../rows";
import { axis, dark, laneRuns, mainWidth, quantity, timelines, zoom } from "../../state";

/** So many histograms are asked for at once: a strip is not much wider in pixels. */
const COLUMNS = 1024;

/** The strips of the rows that are in view. */
export function Strips({ height }: { height: number }) {
  const top = rowsScroll.value;
  const shown = rows.value.filter(
    (row): row is LayerRow =>
      row.kind === "layer" && expanded.value.has(row.info.name) && row.top < top + height && row.top + row.height > top,
  );
  return (
    <>
      {shown.map((row) => (
        <div key={row.info.name} class="quilt-strips" style={{ top: `${row.top + row.lanes + 2}px` }}>
          <LayerStrips name={row.info.name} />
        </div>
      ))}
    </>
  );
}

function LayerStrips({ name }: { name: string }) {
  const shown = laneRuns.value;
  const [range, of] = [zoom.value, quantity.value];
  const revisions = shown.map(({ run }) => [run, timelines.value[run]?.revision]);
  const { data } = useFetched(JSON.stringify([name, of, revisions, range]), (signal) =>
    Promise.all(
      shown.map(async ({ run }) => ({
        run,
        of,
        histograms: await fetchHistograms(run, name, signal, {
          of,
          from: range?.[0],
          to: range?.[1],
          columns: COLUMNS,
        }).catch(() => null),
      })),
    ),
  );
  const found = useMemo(() => (data ?? []).flatMap(({ histograms }) => (histograms ? [histograms] : [])), [data]);
  const scale = useMemo(() => valueScale(found, STRIP_HEIGHT), [found]);
  const full = useMemo(() => fullShare(found), [found]);
  return (
    <>
      {(data ?? []).map(({ run, of, histograms }) => (
        <Canvas
          key={run}
          width={mainWidth.value}
          height={STRIP_HEIGHT}
          style={{ display: "block", marginBottom: "4px" }}
          deps={[histograms, scale, full]}
          data-testid="layer-strip"
          data-layer={name}
          role="img"
          aria-label={`Where the values of ${name} lie over steps, run ${run}`}
          data-csv={`histograms.csv?${new URLSearchParams({ run, layer: name, of })}`}
          draw={(context) => {
            context.fillStyle = runColour(run, dark.value);
            context.fillRect(axis.value.left - 8, 0, 4, STRIP_HEIGHT);
            if (histograms === null) return;
            drawValues(context, histograms, axis.value, scale, 0, lut("counts", dark.value), full);
            context.save();
            context.translate(-6, 0);
            drawValueTicks(context, axis.value, scale, palette.value.ink2);
            context.restore();
          }}
        />
      ))}
    </>
  );
}
