// Names that are too long for their place, cut in the middle, where least is lost.
import { shorten } from "./format";

let measuring: CanvasRenderingContext2D | null = null;
const widths = new Map<string, number>();
const MOST_KEPT = 5000;

function widthOf(text: string, size: number): number {
  const key = `${size} ${text}`;
  let width = widths.get(key);
  if (width === undefined) {
    measuring ??= document.createElement("canvas").getContext("2d");
    if (measuring === null) return text.length * size * 0.6;
    measuring.font = `${size}px ${getComputedStyle(document.body).fontFamily}`;
    width = measuring.measureText(text).width;
    if (widths.size > MOST_KEPT) widths.clear();
    widths.set(key, width);
  }
  return width;
}

/** The text, or as much of both its ends as fits so many pixels in the page's font of that size. */
export function fitted(
  text: string,
  room: number,
  size: number,
  width: (text: string, size: number) => number = widthOf,
): string {
  if (width(text, size) <= room) return text;
  let low = 3;
  let high = text.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (width(shorten(text, middle), size) <= room) low = middle;
    else high = middle - 1;
  }
  return shorten(text, low);
}
