// Channels x time: means, and where channels die, revive or are born.
import { useLayoutEffect, useMemo, useState } from "preact/hooks";
import { chooseStep } from "../../actions";
import { nearestIndex } from "../../axis";
import { lut } from "../../colour";
import { channelLimits, drawChannels, drawLife } from "../../draw/strips";
import { formatPercent, shortOf } from "../../format";
import { changeOf } from "../../maps";
import { FONT, palette } from "../../palette";
import { axis, channel, channelSort, dark, type Quantity, sample, shownChannels, step } from "../../state";
import { titled } from "../../statistics";
import { indexOfStep } from "../../stats";
import type { Channels } from "../../types";
import { referenceStepOf, type ShownMaps } from "./data";
import { Strip } from "./history";
import { deadThroughout, type LifeEvent, lifeEvents, lifeSummary, lifeWords, mostChanged } from "./life";

const MOST_EVENTS = 200;
const MOST_CHANGED = 3;

interface ChannelMeansProps {
  channels: Channels;
  of: Quantity;
  /** The maps in view and those of the reference step, where they are of channels. */
  shown: ShownMaps | null;
  reference: ShownMaps | null;
  height: number;
}

export function ChannelMeans({ channels, of, shown, reference, height }: ChannelMeansProps) {
  const limits = useMemo(() => channelLimits(channels), [channels]);
  const alive = of === "activations"; // a gradient is no life
  const format = shortOf(of);
  const events = useMemo(() => (alive ? lifeEvents(channels) : []), [channels]);
  const throughout = useMemo(() => (alive ? deadThroughout(channels) : []), [channels]);
  const [listed, setListed] = useState(false);
  const [under, setUnder] = useState<{ row: number; index: number } | null>(null);
  const count = channels.channels.length;
  const byChannel = shown?.maps.layout === "channels";
  useLayoutEffect(() => {
    // Where the maps are not of channels, the keys for channels go through these rows.
    if (!byChannel) shownChannels.value = Array.from(channels.channels);
  }, [byChannel, channels]);
  if (count === 0) return null;
  const row = Math.max(0, channels.channels.indexOf(channel.value ?? 0));
  const index = indexOfStep(channels.steps, step.value);
  let dead = 0;
  if (index >= 0) for (let at = 0; at < count; at++) if ((channels.zero[index * count + at] as number) >= 1) dead++;
  const summary = lifeSummary(events, throughout.length);
  const hover = (event: PointerEvent) => {
    const bounds = (event.currentTarget as HTMLElement).getBoundingClientRect();
    const at = axis.value.step(event.clientX - bounds.left);
    const near = nearestIndex(channels.steps, at);
    const found = Math.floor(((event.clientY - bounds.top) / height) * count);
    if (near < 0 || found < 0 || found >= count) setUnder(null);
    else if (under?.row !== found || under.index !== near) setUnder({ row: found, index: near });
  };
  return (
    <>
      <Strip
        title={titled("Channel means", of)}
        hint="of the training batch; one row a channel, empty where every value is zero"
        testid="channel-means"
        height={height}
        deps={[channels, row, events]}
        onPointerMove={hover}
        onPointerLeave={() => setUnder(null)}
        extra={
          <>
            {summary && (
              <button
                type="button"
                class="link"
                data-testid="life-summary"
                aria-expanded={listed}
                title="list them; a mark in the strip: red dies, black is born or revives"
                onClick={() => setListed(!listed)}
              >
                {summary}
              </button>
            )}
            {alive && <MostChanged channels={channels} shown={shown} reference={reference} index={index} />}
            <span class="spacer" />
            <span class="pointed-value" data-testid="value-channel">
              {under && under.index < channels.steps.length && under.row < count && (
                <>
                  <span class="hint">
                    channel {channels.channels[under.row]}, step {channels.steps[under.index]}:{" "}
                    {lifeWords(channels, events, under.row, under.index)}
                  </span>
                  <strong>{format(channels.mean[under.index * count + under.row] as number)}</strong>
                </>
              )}
            </span>
          </>
        }
        draw={(context, canvas) => {
          drawChannels(context, channels, axis.value, height, limits, lut("activations", dark.value));
          drawLife(context, channels, events, axis.value, height, palette.value);
          context.font = FONT;
          context.fillStyle = palette.value.ink2;
          context.textAlign = "right";
          context.textBaseline = "middle";
          context.fillText(String(channels.channels[0] ?? ""), axis.value.left - 8, 6);
          context.fillText(String(channels.channels[count - 1] ?? ""), axis.value.left - 8, height - 6);
          context.fillStyle = palette.value.accent;
          context.fillRect(axis.value.left - 6, ((row + 0.5) / count) * height - 1, 5, 2);
          Object.assign(canvas.dataset, { colormap: "activations", scaleLow: limits.low, scaleHigh: limits.high });
          canvas.dataset.events = String(events.length);
        }}
        numbers={
          index < 0
            ? []
            : [
                [`#${channels.channels[row]}`, format(channels.mean[index * count + row] as number)],
                ["dead", shareText(dead, count)],
              ]
        }
      />
      {listed && <LifeList events={events} throughout={throughout} />}
    </>
  );
}

/** `48/128`; a share where there is no room for both numbers. */
function shareText(count: number, all: number): string {
  const text = `${count}/${all}`;
  return text.length <= 7 ? text : formatPercent(count / all);
}

function LifeList({ events, throughout }: { events: readonly LifeEvent[]; throughout: readonly number[] }) {
  return (
    <ul class="life-list" data-testid="life-list" aria-label="Births, deaths and revivals of channels">
      {events.slice(0, MOST_EVENTS).map((event) => (
        <li key={`${event.channel} ${event.step}`}>
          <button
            type="button"
            onClick={() => {
              channel.value = event.channel;
              chooseStep(event.step);
            }}
          >
            <span class={event.kind}>{event.kind === "died" ? "⊘" : event.kind === "revived" ? "↻" : "+"}</span> channel{" "}
            {event.channel} {event.kind} at {event.step}
          </button>
        </li>
      ))}
      {events.length > MOST_EVENTS && <li class="hint">and {events.length - MOST_EVENTS} more</li>}
      {throughout.slice(0, MOST_EVENTS).map((name) => (
        <li key={name}>
          <button
            type="button"
            onClick={() => {
              channel.value = name;
            }}
          >
            <span class="died">⊘</span> channel {name} dead from the start
          </button>
        </li>
      ))}
      {throughout.length > MOST_EVENTS && (
        <li class="hint">and {throughout.length - MOST_EVENTS} more, dead from the start</li>
      )}
    </ul>
  );
}

/** The channels that changed most since the reference step: of the shown sample's maps, else of the training batches' means. */
function MostChanged({
  channels,
  shown,
  reference,
  index,
}: Omit<ChannelMeansProps, "height" | "of"> & { index: number }) {
  const before = referenceStepOf(channels.run);
  const beforeIndex = indexOfStep(channels.steps, before);
  if (before === null || index < 0 || beforeIndex < 0 || before === step.value) return null;
  const ofMaps = shown !== null && reference !== null && shown.maps.layout === "channels";
  const names = ofMaps
    ? changedMaps(shown, reference)
    : mostChanged(channels, index, beforeIndex, MOST_CHANGED).map((row) => channels.channels[row] as number);
  if (names.length === 0) return null;
  return (
    <span
      class="hint"
      data-testid="most-changed"
      title={
        ofMaps
          ? "by the RMS of the difference of the shown sample's maps"
          : "by the difference of the training batches' means"
      }
    >
      most changed since step {before}:{" "}
      {names.map((name) => (
        <button
          type="button"
          class="link"
          key={name}
          onClick={() => {
            channel.value = name;
          }}
        >
          #{name}
        </button>
      ))}
      {ofMaps && channelSort.value !== "change" && (
        <button
          type="button"
          class="link"
          data-testid="sort-by-change"
          onClick={() => {
            channelSort.value = "change";
          }}
        >
          sort by it
        </button>
      )}
    </span>
  );
}

function changedMaps({ maps }: ShownMaps, reference: ShownMaps): number[] {
  const at = Math.min(sample.value, maps.samples.length - 1);
  return maps.channels
    .map((name, position) => ({ name, change: changeOf(maps, reference.maps, at, position) }))
    .filter(({ change }) => change > 0)
    .sort((one, other) => other.change - one.change || one.name - other.name)
    .slice(0, MOST_CHANGED)
    .map(({ name }) => name);
}
