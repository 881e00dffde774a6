// Samples in a plane: the label itself is the point, where it is short, or a dot.

import { FONT, type Palette } from "../palette";

// Ten colours each that keep their distance also for protan, deutan and tritan eyes, and 4.5:1 to the page; found by search, see
// test/scatter.test.ts. The label, not its colour, says which it is: from the eleventh on colours come again.
const LABELS = [
  "#1122aa",
  "#dd2200",
  "#447744",
  "#8855aa",
  "#cc0077",
  "#881111",
  "#5566dd",
  "#662233",
  "#660077",
  "#7711ff",
];
const LABELS_DARK = [
  "#88bbff",
  "#dd8811",
  "#aaee77",
  "#cc66bb",
  "#00eeee",
  "#eedd33",
  "#449988",
  "#aa77ff",
  "#aabb88",
  "#aa8844",
];
/** Labels with more of them would hide one another. */
const SHOWN_CHARACTERS = 4;

export interface Cloud {
  /** [n, 2], about the origin. */
  points: Float32Array;
  /** One a point; null: all dots. */
  labels: readonly string[] | null;
  colours: readonly string[];
}

export interface Plane {
  left: number;
  top: number;
  side: number;
  /** The value at its edge. */
  reach: number;
}

/** Each sample's colour by its label: those of the same label have the same one. */
export function labelColours(labels: readonly string[] | null, count: number, dark: boolean, plain: string): string[] {
  if (labels === null) return new Array<string>(count).fill(plain);
  const palette = dark ? LABELS_DARK : LABELS;
  const order = [...new Set(labels)].sort((one, other) => one.localeCompare(other, "en", { numeric: true }));
  return labels.slice(0, count).map((label) => palette[order.indexOf(label) % palette.length] as string);
}

/** Pixel of a point; what lies beyond the plane is drawn at its edge. */
export function placeOf(points: Float32Array, index: number, { left, top, side, reach }: Plane): [number, number] {
  const inside = (value: number) => Math.max(-1, Math.min(1, value / reach));
  const half = side / 2;
  return [
    left + half + inside(points[index * 2] as number) * half,
    top + half - inside(points[index * 2 + 1] as number) * half,
  ];
}

/** Draws the points; with `radius`, as dots without labels. */
export function drawCloud(context: CanvasRenderingContext2D, cloud: Cloud, plane: Plane, radius: number | null): void {
  context.font = FONT;
  context.textAlign = "center";
  context.textBaseline = "middle";
  for (let index = 0; index < cloud.points.length / 2; index++) {
    const [x, y] = placeOf(cloud.points, index, plane);
    context.fillStyle = cloud.colours[index] as string;
    const label = radius === null ? cloud.labels?.[index] : undefined;
    if (label !== undefined && label.length <= SHOWN_CHARACTERS) {
      context.fillText(label, x, y + 0.5);
      continue;
    }
    context.beginPath();
    context.arc(x, y, radius ?? 3, 0, 2 * Math.PI);
    context.fill();
  }
}

/** The plane's outline, with its axes. */
export function drawPlane(context: CanvasRenderingContext2D, { left, top, side }: Plane, palette: Palette): void {
  context.strokeStyle = palette.line;
  context.lineWidth = 1;
  const middle = Math.round(side / 2) + 0.5;
  context.strokeRect(left + 0.5, top + 0.5, side - 1, side - 1);
  context.beginPath();
  context.moveTo(left + middle, top);
  context.lineTo(left + middle, top + side);
  context.moveTo(left, top + middle);
  context.lineTo(left + side, top + middle);
  context.stroke();
}

/** A ring round a point. */
export function drawRing(context: CanvasRenderingContext2D, cloud: Cloud, index: number, plane: Plane, colour: string) {
  const [x, y] = placeOf(cloud.points, index, plane);
  context.strokeStyle = colour;
  context.lineWidth = 1.5;
  context.beginPath();
  context.arc(x, y, 8, 0, 2 * Math.PI);
  context.stroke();
}
