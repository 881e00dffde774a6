// Saving what is drawn: a canvas as a picture with words that say what it shows, a play of it as a film, an answer of the server as it is.
import { drawings } from "./components/canvas";
import { playing } from "./state";
import { parentWindow } from "./theme";

const FONT_SIZE = 11;
const FONT = `${FONT_SIZE}px Roboto, system-ui, sans-serif`;
const LINE = 16;
const INSET = 8;
/** Of a picture with its caption, and of the scale in it, in CSS pixels. */
const LEAST_WIDTH = 360;
const SCALE_WIDTH = 160;
/** A picture is enlarged to about so many pixels, by whole factors. */
const PRINT_WIDTH = 1600;
const MOST_ENLARGED = 8;
/** The last frame of a film stays so long. */
export const LAST_FRAME_MS = 500;

/** What is drawn over a canvas, and said below it; places are in CSS pixels. */
export interface Caption {
  lines: readonly string[];
  ink: string;
  page: string;
  /** Place of the cursor, and its colour; null: none. */
  cursor: { x: number; colour: string } | null;
  /** Labels of the step axis; none where the picture is not over steps. */
  axis: readonly { x: number; label: string }[];
  /** Names of the rows, at their middles; none where the picture has no rows, or says itself which they are. */
  rows: readonly { y: number; label: string }[];
  /** Colours from the scale's low end to its high one, and what the ends stand for; null: no one scale. */
  scale: { colours: readonly string[]; low: string; high: string } | null;
}

/** Lets the browser save a file. */
export function saveBlob(blob: Blob, name: string): void {
  // A link of the page around this frame: of the frame's own, Firefox takes the file for something to show in the frame, which
  // TensorBoard's content security policy forbids.
  const link = (parentWindow() ?? window).document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** A file's name of these parts: what no file system takes is replaced. */
export function fileName(parts: readonly string[], extension: string): string {
  const safe = parts.filter((part) => part !== "").map((part) => part.replace(/[^\p{L}\p{N}.=-]+/gu, "-").slice(0, 60));
  return `${["actviz", ...safe].join("_")}.${extension}`;
}

/** Room for a picture of a size with its caption, in CSS pixels; it stands `left` from the edge. */
export function roomFor(
  context: CanvasRenderingContext2D,
  { lines, axis, rows, scale }: Caption,
  wide: number,
  tall: number,
) {
  context.font = FONT;
  const left = Math.ceil(Math.max(0, ...rows.map(({ label }) => context.measureText(label).width + INSET)));
  const below = lines.length + Number(axis.length > 0) + Number(scale !== null);
  return { left, width: Math.max(left + wide, LEAST_WIDTH), height: tall + below * LINE + INSET };
}

/** Draws a caption round a picture that is `tall` and stands `left` from the edge, in CSS pixels. */
export function drawCaption(
  context: CanvasRenderingContext2D,
  { lines, ink, cursor, axis, rows, scale }: Caption,
  { left, width }: { left: number; width: number },
  tall: number,
): void {
  if (cursor !== null) {
    context.fillStyle = cursor.colour;
    context.fillRect(Math.round(left + cursor.x), 0, 1, tall);
  }
  context.fillStyle = ink;
  context.font = FONT;
  context.textAlign = "left";
  context.textBaseline = "middle";
  for (const { y, label } of rows) context.fillText(label, INSET, y);
  context.textBaseline = "top";
  let y = tall + INSET / 2;
  if (axis.length > 0) {
    context.textAlign = "center";
    for (const { x, label } of axis) context.fillText(label, left + x, y);
    context.textAlign = "left";
    y += LINE;
  }
  for (const line of lines) {
    context.fillText(line, INSET, y, width - 2 * INSET);
    y += LINE;
  }
  if (scale !== null) drawScale(context, scale, y, ink);
}

/** Draws a canvas on the page's colour, with its caption, onto another one; `ratio`: pixels of it for each CSS pixel. */
export function compose(
  source: HTMLCanvasElement,
  caption: Caption,
  onto: HTMLCanvasElement,
  ratio = source.width / (source.clientWidth || source.width),
): void {
  const context = onto.getContext("2d");
  if (context === null) throw new Error("This browser gives no canvas to draw on");
  const tall = source.height / ratio;
  const room = roomFor(context, caption, source.width / ratio, tall);
  const [width, height] = [Math.round(room.width * ratio), Math.round(room.height * ratio)];
  if (onto.width !== width || onto.height !== height) [onto.width, onto.height] = [width, height];
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.fillStyle = caption.page;
  context.fillRect(0, 0, width, height);
  context.drawImage(source, Math.round(room.left * ratio), 0);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  drawCaption(context, caption, room, tall);
}

function drawScale(
  context: CanvasRenderingContext2D,
  { colours, low, high }: NonNullable<Caption["scale"]>,
  y: number,
  ink: string,
): void {
  const left = INSET + context.measureText(low).width + 6;
  for (const [index, colour] of colours.entries()) {
    context.fillStyle = colour;
    context.fillRect(left + (index * SCALE_WIDTH) / colours.length, y, SCALE_WIDTH / colours.length + 0.5, FONT_SIZE);
  }
  context.fillStyle = ink;
  context.fillText(low, INSET, y);
  context.fillText(high, left + SCALE_WIDTH + 6, y);
}

/** A canvas as PNG, drawn once more, large enough for print, with its caption. */
export async function savePicture(source: HTMLCanvasElement, caption: Caption, name: string): Promise<void> {
  const picture = document.createElement("canvas");
  const { canvas, ratio } = enlarged(source);
  compose(canvas, caption, picture, ratio);
  const blob = await new Promise<Blob | null>((done) => picture.toBlob(done, "image/png"));
  if (blob === null) throw new Error("This browser could not make a PNG of it");
  saveBlob(blob, name);
}

function enlarged(source: HTMLCanvasElement): { canvas: HTMLCanvasElement; ratio: number } {
  const drawing = drawings.get(source);
  const context = document.createElement("canvas").getContext("2d");
  if (drawing === undefined || context === null)
    return { canvas: source, ratio: source.width / (source.clientWidth || source.width) };
  const { width, height, draw } = drawing;
  const { canvas } = context;
  const ratio = Math.max(2, Math.min(MOST_ENLARGED, Math.round(PRINT_WIDTH / width)));
  [canvas.width, canvas.height] = [width * ratio, height * ratio];
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.imageSmoothingEnabled = false;
  draw(context, canvas);
  return { canvas, ratio };
}

const FILMS = ["video/webm;codecs=vp9", "video/webm;codecs=vp8", "video/webm", "video/mp4"];

/** The kind of film that this browser can make; null: none. */
export function filmType(): string | null {
  if (typeof MediaRecorder === "undefined" || !HTMLCanvasElement.prototype.captureStream) return null;
  return FILMS.find((type) => MediaRecorder.isTypeSupported(type)) ?? null;
}

/** Records a canvas until play stops or `signal` is aborted; `captionNow` is asked for every frame. */
export function film(
  source: HTMLCanvasElement,
  captionNow: () => Caption,
  type: string,
  signal: AbortSignal,
): Promise<Blob> {
  const screen = document.createElement("canvas");
  compose(source, captionNow(), screen);
  const recorder = new MediaRecorder(screen.captureStream(), { mimeType: type });
  const parts: Blob[] = [];
  return new Promise((done, failed) => {
    let frame = 0;
    const paint = () => {
      compose(source, captionNow(), screen);
      if (playing.peek() && !signal.aborted && source.isConnected) frame = requestAnimationFrame(paint);
      else setTimeout(() => recorder.state === "recording" && recorder.stop(), LAST_FRAME_MS);
    };
    recorder.ondataavailable = ({ data }) => parts.push(data);
    recorder.onerror = () => failed(new Error("This browser broke off the recording"));
    recorder.onstop = () => {
      cancelAnimationFrame(frame);
      done(new Blob(parts, { type: type.split(";")[0] ?? type }));
    };
    recorder.start();
    paint();
  });
}

/** Saves what the server answers under a route; its errors are thrown in its own words. */
export async function saveRoute(route: string): Promise<void> {
  const response = await fetch(route);
  if (!response.ok) {
    const answer = (await response.json().catch(() => null)) as { message?: string } | null;
    throw new Error(answer?.message ?? `${route.split("?")[0]} answered ${response.status}`);
  }
  const named = /filename="([^"]+)"/.exec(response.headers.get("Content-Disposition") ?? "");
  saveBlob(await response.blob(), named?.[1] ?? fileName([], route.split("?")[0]?.split(".").pop() ?? "bin"));
}
