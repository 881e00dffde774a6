// The pictures of one row, one a chosen sample: what is drawn, and what the pointer does on it.
import { chooseLayer, openLayer } from "../../actions";
import { lut } from "../../colour";
import { Canvas } from "../../components/canvas";
import { type BarText, drawBars, drawChannels, drawSequence, drawUnits } from "../../draw/score";
import { formatNumber } from "../../format";
import { type ScaleLimits, scaleLimits, valueAt } from "../../maps";
import { FONT, palette } from "../../palette";
import { channelCount } from "../../rows";
import { channel, colormap, dark, layer, layerInfo, scaleMode } from "../../state";
import type { LayerStats, Maps } from "../../types";
import type { ShownMaps } from "../layer/data";
import { hoverChannel } from "./data";
import { formatProbability, type Interval, predict } from "./logits";
import { PANEL_GAP, type Picture, type ScoreRow } from "./score";
import { layerOf, type Shared } from "./shared";

interface PictureProps {
  row: ScoreRow;
  shared: Shared;
  shown: ShownMaps;
  channels: readonly number[];
  limits: LayerStats | null;
}

export function RowPictures({ row, shared, shown, channels, limits: known }: PictureProps) {
  const { maps, key } = shown;
  const { ratio, panelWidth } = shared;
  const { picture, family } = row;
  const mode = scaleMode.value;
  const pitch = family.pitch / ratio;
  const places = picture === "vector" ? (maps.units ?? []) : maps.channels;
  const positions = channels.map((each) => places.indexOf(each));
  const height = Math.ceil(picture === "vector" || picture === "bars" ? row.pictureHeight : row.pictureHeight + 2);
  const draw = (context: CanvasRenderingContext2D, canvas: HTMLCanvasElement) => {
    const whole = scaleLimits(mode, colormap.value, maps, 0, known);
    const limits = (map: number): ScaleLimits =>
      mode === "map" ? scaleLimits("map", colormap.value, maps, map, known) : whole;
    const ink = { lut: lut(colormap.value, dark.value), palette: palette.value, limits };
    for (const [panel, id] of shared.samples.entries()) {
      const left = panel * (panelWidth + PANEL_GAP);
      const at = maps.samples.indexOf(id);
      const columns = { left, pitch, tile: family.tile / ratio, ratio };
      if (at < 0) {
        context.font = FONT;
        context.fillStyle = palette.value.ink3;
        context.fillText(`of sample ${id} the log keeps no map here`, left, 12);
        continue;
      }
      context.save();
      context.beginPath();
      context.rect(left, 0, panelWidth + 2, height);
      context.clip();
      if (picture === "sequence") drawSequence(context, maps, at, left, row.cells, ratio, ink);
      else if (picture === "vector") drawUnits(context, maps, at, positions, columns, height, ink);
      else if (picture === "bars")
        drawBars(context, maps, at, barTexts(maps, at, shared.logits === key.layer), columns, height, ink);
      else drawChannels(context, maps, at, positions, columns, ink);
      context.restore();
    }
    Object.assign(canvas.dataset, {
      run: key.run,
      layer: key.layer,
      step: String(key.step),
      samples: shared.samples.join(),
      channels: channels.join(),
      pitch: String(family.pitch),
      tile: String(family.tile),
      cells: row.cells.join(),
      panel: String(panelWidth + PANEL_GAP),
      scaleLow: String(whole.low),
      scaleHigh: String(whole.high),
    });
  };
  return (
    <>
      <Canvas
        width={shared.width}
        height={height}
        draw={draw}
        deps={[shown, maps, known, mode, row, shared, channels.join(), pitch, panelWidth]}
        data-testid="score-maps"
        role="img"
        aria-label={`${key.layer} at step ${key.step}`}
        onPointerMove={(event) => {
          hoverChannel.value = pointed(event, row, shared, maps, channels);
        }}
        onPointerLeave={() => {
          hoverChannel.value = null;
        }}
        onClick={(event) => {
          const found = pointed(event, row, shared, maps, channels);
          const name = layerOf(row);
          if (layer.value === name && (found === null || found.channel === channel.value)) return openLayer(name);
          chooseLayer(name);
          if (found !== null) channel.value = found.channel;
        }}
      />
      <Marks row={row} shared={shared} channels={channels} height={height} maps={maps} />
    </>
  );
}

function barTexts(maps: Maps, at: number, logits: boolean): BarText[] {
  const prediction = predict(maps, at);
  return Array.from({ length: maps.width }, (_, unit) => ({
    name: String(maps.units?.[unit] ?? unit),
    below: logits && prediction ? `p ${formatProbability(prediction.probabilities[unit] as Interval)}` : "",
    strong: prediction?.units.includes(unit) ?? false,
  }));
}

/** What a column of a picture is. */
const COLUMN: Partial<Record<Picture, string>> = {
  channels: "channel",
  vector: "unit",
  bars: "unit",
  sequence: "feature",
};

/** CSS pixels of a column's left edge and width within a panel, and how many channels there are; null where columns are no channels. */
function columnsOf(row: ScoreRow, shared: Shared, maps: Maps) {
  const { ratio } = shared;
  const count = channelCount(row.info);
  if (row.picture === "sequence")
    return row.info.channel_axis === 2
      ? { count, pitch: row.cells[0] / ratio, width: row.cells[0] / ratio, each: maps.pool[1] }
      : null;
  if (row.picture === "words" || row.picture === "attention") return null;
  return { count, pitch: row.family.pitch / ratio, width: row.family.tile / ratio, each: 1 };
}

/** The channel under the pointer. */
function pointed(event: MouseEvent, row: ScoreRow, shared: Shared, maps: Maps, channels: readonly number[]) {
  const columns = columnsOf(row, shared, maps);
  if (columns === null || columns.count === null) return null;
  const x = event.clientX - (event.currentTarget as HTMLElement).getBoundingClientRect().left;
  const column = Math.floor((x % (shared.panelWidth + PANEL_GAP)) / columns.pitch);
  if (row.picture === "sequence")
    return column < maps.width ? { count: columns.count, channel: column * columns.each } : null;
  const found = channels[column];
  return found === undefined ? null : { count: columns.count, channel: found };
}

/** Room for what stands above a mark: with what it marks, in the first panel, and for a value alone. */
const [TEXT_ROOM, VALUE_ROOM] = [84, 46];

/** Whether a mark's text ends where the mark does: where it would else reach beyond its panel. */
function endsAtMark(x: number, panelWidth: number, panel: number): boolean {
  const room = panel === 0 ? TEXT_ROOM : VALUE_ROOM;
  return x + room > panelWidth && x + PANEL_GAP > room;
}

function MarkText({ text, ends }: { text: string; ends: boolean }) {
  return text === "" ? null : <span class={ends ? "ends" : undefined}>{text}</span>;
}

/** What stands above a mark: in the first panel what it marks, once for the rows that share the columns; of a vector its value everywhere. */
function textOf(row: ScoreRow, maps: Maps, id: number, name: number | null, panel: number, leads: boolean): string {
  const vector = row.picture === "vector";
  const what = panel === 0 && (leads || vector) ? `${COLUMN[row.picture] ?? ""} ${name}` : "";
  if (!vector || name === null) return what;
  const [at, place] = [maps.samples.indexOf(id), maps.units === null ? name : maps.units.indexOf(name)];
  if (at < 0 || place < 0) return what;
  const value = formatNumber(valueAt(maps, at, place));
  return what === "" ? value : `${what}: ${value}`;
}

/** Outlines of the chosen channel, and of the one under the pointer, in every row with so many channels. */
function Marks({
  row,
  shared,
  channels,
  height,
  maps,
}: Omit<PictureProps, "shown" | "limits"> & { height: number; maps: Maps }) {
  const columns = columnsOf(row, shared, maps);
  if (columns === null) return null;
  const place = (name: number | null): number => {
    if (name === null) return -1;
    return row.picture === "sequence" ? Math.floor(name / columns.each) : channels.indexOf(name);
  };
  const mine = layer.value === layerOf(row) || channelCount(layerInfo.value ?? undefined) === columns.count;
  const hovered = hoverChannel.value !== null && hoverChannel.value.count === columns.count;
  const marks = [
    { name: "score-chosen", of: mine ? channel.value : null },
    { name: "score-hover", of: hovered ? (hoverChannel.value?.channel ?? null) : null },
  ].map((mark) => ({ ...mark, column: place(mark.of) }));
  // The number stands once, above the first row of those that share the columns.
  const leads = row.info.name === row.family.first;
  return (
    <>
      {marks.flatMap(({ name, of, column }) =>
        column < 0
          ? []
          : shared.samples.map((id, panel) => (
              <div
                key={`${name} ${id}`}
                class={name}
                style={{
                  left: `${panel * (shared.panelWidth + PANEL_GAP) + column * columns.pitch - 1}px`,
                  width: `${columns.width + 4}px`,
                  height: `${height + 2}px`,
                }}
              >
                <MarkText
                  text={textOf(row, maps, id, of, panel, leads)}
                  ends={endsAtMark(column * columns.pitch, shared.panelWidth, panel)}
                />
              </div>
            )),
      )}
    </>
  );
}
