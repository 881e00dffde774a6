// Saving what is drawn: a canvas as a picture with words that say what it shows, a play of it as a film, an answer of the server as it is.
import { playing } from "./state";
import { parentWindow } from "./theme";

const FONT_SIZE = 11;
const LINE = 16;
const INSET = 8;
/** The last frame of a film stays so long. */
export const LAST_FRAME_MS = 500;

/** What is drawn over a canvas, and said below it. */
export interface Caption {
  lines: readonly string[];
  ink: string;
  page: string;
  /** Place of the cursor in CSS pixels, and its colour; null: none. */
  cursor: { x: number; colour: string } | null;
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

/** Draws a canvas on the page's colour, with its cursor and its caption, onto another one. */
export function compose(
  source: HTMLCanvasElement,
  { lines, ink, page, cursor }: Caption,
  onto: HTMLCanvasElement,
): void {
  const ratio = source.width / (source.clientWidth || source.width);
  const height = source.height + Math.round((lines.length * LINE + INSET) * ratio);
  if (onto.width !== source.width || onto.height !== height) [onto.width, onto.height] = [source.width, height];
  const context = onto.getContext("2d");
  if (context === null) throw new Error("This browser gives no canvas to draw on");
  context.fillStyle = page;
  context.fillRect(0, 0, onto.width, onto.height);
  context.drawImage(source, 0, 0);
  if (cursor !== null) {
    context.fillStyle = cursor.colour;
    context.fillRect(Math.round(cursor.x * ratio), 0, Math.max(1, Math.round(ratio)), source.height);
  }
  context.fillStyle = ink;
  context.font = `${FONT_SIZE * ratio}px Roboto, system-ui, sans-serif`;
  context.textBaseline = "top";
  for (const [index, line] of lines.entries())
    context.fillText(
      line,
      INSET * ratio,
      source.height + (INSET / 2 + index * LINE) * ratio,
      onto.width - 2 * INSET * ratio,
    );
}

/** A canvas as PNG, with its caption. */
export async function savePicture(source: HTMLCanvasElement, caption: Caption, name: string): Promise<void> {
  const picture = document.createElement("canvas");
  compose(source, caption, picture);
  const blob = await new Promise<Blob | null>((done) => picture.toBlob(done, "image/png"));
  if (blob === null) throw new Error("This browser could not make a PNG of it");
  saveBlob(blob, name);
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
