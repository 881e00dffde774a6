// One layer at one step, and all that it did before and after.
import { useEffect, useMemo } from "preact/hooks";
import { formatCount } from "../format";
import { widestChannel } from "../maps";
import {
  channel,
  channelSort,
  detailOf,
  layerInfo,
  layerPart,
  mainWidth,
  quantity,
  sample,
  scaleLocked,
} from "../state";
import { indexOfStep } from "../stats";
import { AttentionView } from "./layer/attention";
import { ChannelMeans } from "./layer/channels";
import { useHistory, useInputs, useMaps, usePlace, useReference, useScaleStatistics } from "./layer/data";
import { DetailChoice } from "./layer/detail";
import { FilmStrip } from "./layer/film";
import { Grid } from "./layer/grid";
import { HistogramPanel } from "./layer/histogram";
import { Statistics, ValuesStrip } from "./layer/history";
import { Large } from "./layer/large";
import { deadSinceAt } from "./layer/life";
import "./layer.css";

export { LayerControls } from "./layer/controls";

/** Width of the histogram's panel at least, and from where on all three panels stand in a row. */
const HISTOGRAM = 280;
const IN_A_ROW = 1000;

/** Height of the maps, and of the strips below them, such that all fit the page; in a low one it scrolls. */
function heights(available: number): { top: number; values: number; channels: number; statistics: number } {
  const spare = Math.max(0, available - 668);
  return {
    top: 288 + spare * 0.4,
    values: 62 + spare * 0.25,
    channels: 56 + spare * 0.2,
    statistics: 54 + spare * 0.15,
  };
}

export function LayerView({ available }: { available: number }) {
  const place = usePlace();
  return place !== null && layerPart.value === "attention" ? (
    <AttentionView place={place} available={available} />
  ) : (
    <OutputView available={available} />
  );
}

function OutputView({ available }: { available: number }) {
  const { top, values, channels, statistics: lines } = heights(available);
  const { shown: fetched, waitingFor, error } = useMaps();
  const { history, error: historyError } = useHistory("activations");
  const gradients = useHistory("gradients", quantity.value === "gradients");
  const told = quantity.value === "gradients" ? gradients : { history, error: historyError };
  const statistics = useScaleStatistics(history?.statistics ?? null);
  // A locked scale is known only with the history: no picture on another scale before that.
  const locked = scaleLocked.value;
  const shown = statistics === null && historyError === null && locked ? null : fetched;
  const inputs = useInputs(shown);
  const byChannel = shown?.maps.layout === "channels";
  const reference = useReference(byChannel ? shown.key : null);
  // Maps of other inputs differ by those, not by what the network learned.
  const comparable = reference !== null && shown?.maps.source === "probe" ? reference : null;
  useEffect(() => {
    if (shown?.maps.layout === "channels" && (channel.value === null || !shown.maps.channels.includes(channel.value)))
      channel.value = widestChannel(shown.maps, sample.value);
  }, [shown?.maps]);
  const deadSince = useMemo(
    () =>
      history && shown
        ? deadSinceAt(history.channels, indexOfStep(history.channels.steps, shown.key.step))
        : new Map<number, number>(),
    [history?.channels, shown?.key.step],
  );
  const wide = mainWidth.value;
  const room = Math.min(top - 64, wide * 0.3);
  const gridWidth =
    wide > IN_A_ROW ? wide - room - 32 - Math.max(HISTOGRAM, Math.min(360, wide * 0.27)) - 64 : wide - 48;
  const words =
    error ??
    (layerInfo.value?.layout === null
      ? `An output of this shape (${layerInfo.value.shape?.join(" × ")}) has no maps.`
      : null);
  return (
    <div data-testid="layer-view">
      <div class="layer-top" style={{ minHeight: `${top + 16}px` }}>
        {shown ? (
          <>
            <div class="grid-holder" style={{ flex: `1 1 ${gridWidth}px` }}>
              <Grid
                shown={shown}
                statistics={statistics}
                deadSince={deadSince}
                inputs={inputs}
                reference={channelSort.value === "change" ? comparable : null}
                width={gridWidth}
                height={top}
              />
            </div>
            <Large shown={shown} statistics={statistics} inputs={inputs} room={room} />
          </>
        ) : (
          <p class="layer-words" data-testid="no-maps">
            {words ?? ""}
          </p>
        )}
        {waitingFor !== null && <span class="waiting">waiting for step {formatCount(waitingFor)}</span>}
        {told.history && (
          <HistogramPanel
            history={told.history}
            shown={shown}
            reference={detailOf.value === "channel" ? reference : null}
            height={top - 42}
          />
        )}
      </div>
      {told.error !== null && (
        <p class="layer-words">
          {told.error} {told === gradients && <DetailChoice label="Values of" named={null} />}
        </p>
      )}
      {shown && <FilmStrip shown={shown} statistics={statistics} inputs={inputs} />}
      {told.history && (
        <>
          <ValuesStrip history={told.history} height={values} />
          <ChannelMeans
            channels={told.history.channels}
            of={told.history.of}
            shown={shown}
            reference={comparable}
            height={channels}
          />
          <Statistics history={told.history} height={lines} />
        </>
      )}
    </div>
  );
}
