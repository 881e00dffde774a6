// A canvas' drawing as SVG: drawn once more, onto a context that writes down what it is told.
import { drawings } from "./components/canvas";
import { tileOf } from "./draw/texture";
import { type Caption, drawCaption, roomFor } from "./saving";

const STEP = 100; // digits behind the point

function number(value: number): string {
  return String(Math.round(value * STEP) / STEP);
}

function escaped(text: string): string {
  return text.replace(/[&<>"]/g, (letter) => `&#${letter.charCodeAt(0)};`);
}

interface Style {
  fillStyle: string | CanvasPattern;
  strokeStyle: string | CanvasPattern;
  lineWidth: number;
  font: string;
  textAlign: CanvasTextAlign;
  textBaseline: CanvasTextBaseline;
  globalAlpha: number;
  dash: readonly number[];
  x: number;
  y: number;
  clip: string;
}

/** What the page's drawings use of a 2-D context. Pixels are none of it. */
class SvgContext {
  fillStyle: string | CanvasPattern = "#000";
  strokeStyle: string | CanvasPattern = "#000";
  lineWidth = 1;
  font = "10px sans-serif";
  textAlign: CanvasTextAlign = "left";
  textBaseline: CanvasTextBaseline = "alphabetic";
  globalAlpha = 1;
  imageSmoothingEnabled = false;
  readonly parts: string[] = [];
  readonly definitions: string[] = [];
  private dash: readonly number[] = [];
  private path: string[] = [];
  private x = 0;
  private y = 0;
  private clipTo = "";
  private readonly saved: Style[] = [];
  private readonly patterns = new Map<CanvasPattern, string>();

  constructor(private readonly measuring: CanvasRenderingContext2D) {}

  fillRect(x: number, y: number, width: number, height: number): void {
    const place = `x="${number(x + this.x)}" y="${number(y + this.y)}" width="${number(width)}" height="${number(height)}"`;
    this.put(`<rect ${place} ${this.filled()}/>`);
  }

  strokeRect(x: number, y: number, width: number, height: number): void {
    const place = `x="${number(x + this.x)}" y="${number(y + this.y)}" width="${number(width)}" height="${number(height)}"`;
    this.put(`<rect ${place} fill="none" ${this.stroked()}/>`);
  }

  clearRect(): void {}

  fillText(text: string, x: number, y: number): void {
    const anchor = { center: "middle", right: "end", end: "end", left: "start", start: "start" }[this.textAlign];
    const baseline = { middle: "central", top: "hanging", hanging: "hanging" }[this.textBaseline as string] ?? "auto";
    const place = `x="${number(x + this.x)}" y="${number(y + this.y)}" text-anchor="${anchor}" dominant-baseline="${baseline}"`;
    this.put(`<text ${place} style="font: ${escaped(this.font)}" ${this.filled()}>${escaped(text)}</text>`);
  }

  measureText(text: string): TextMetrics {
    this.measuring.font = this.font;
    return this.measuring.measureText(text);
  }

  beginPath(): void {
    this.path = [];
  }

  moveTo(x: number, y: number): void {
    this.path.push(`M${number(x + this.x)} ${number(y + this.y)}`);
  }

  lineTo(x: number, y: number): void {
    this.path.push(`${this.path.length === 0 ? "M" : "L"}${number(x + this.x)} ${number(y + this.y)}`);
  }

  closePath(): void {
    this.path.push("Z");
  }

  rect(x: number, y: number, width: number, height: number): void {
    this.moveTo(x, y);
    this.lineTo(x + width, y);
    this.lineTo(x + width, y + height);
    this.lineTo(x, y + height);
    this.closePath();
  }

  arc(x: number, y: number, radius: number, from: number, to: number, back = false): void {
    const point = (angle: number): [number, number] => [x + radius * Math.cos(angle), y + radius * Math.sin(angle)];
    const sweep = Math.max(-2 * Math.PI, Math.min(2 * Math.PI, to - from));
    this.lineTo(...point(from));
    for (const angle of [from + sweep / 2, from + sweep]) {
      const [endX, endY] = point(angle);
      const size = number(radius);
      this.path.push(`A${size} ${size} 0 0 ${back ? 0 : 1} ${number(endX + this.x)} ${number(endY + this.y)}`);
    }
  }

  bezierCurveTo(...points: [number, number, number, number, number, number]): void {
    this.path.push(`C${points.map((value, index) => number(value + (index % 2 === 0 ? this.x : this.y))).join(" ")}`);
  }

  quadraticCurveTo(...points: [number, number, number, number]): void {
    this.path.push(`Q${points.map((value, index) => number(value + (index % 2 === 0 ? this.x : this.y))).join(" ")}`);
  }

  stroke(): void {
    this.put(`<path d="${this.path.join("")}" fill="none" ${this.stroked()}/>`);
  }

  fill(): void {
    this.put(`<path d="${this.path.join("")}" ${this.filled()}/>`);
  }

  clip(): void {
    this.clipTo = `clip${this.definitions.length}`;
    this.definitions.push(`<clipPath id="${this.clipTo}"><path d="${this.path.join("")}"/></clipPath>`);
  }

  setLineDash(dash: readonly number[]): void {
    this.dash = dash;
  }

  translate(x: number, y: number): void {
    this.x += x;
    this.y += y;
  }

  save(): void {
    const { fillStyle, strokeStyle, lineWidth, font, textAlign, textBaseline, globalAlpha, dash, x, y, clipTo } = this;
    this.saved.push({
      fillStyle,
      strokeStyle,
      lineWidth,
      font,
      textAlign,
      textBaseline,
      globalAlpha,
      dash,
      x,
      y,
      clip: clipTo,
    });
  }

  restore(): void {
    const style = this.saved.pop();
    if (style === undefined) return;
    const { clip, ...rest } = style;
    Object.assign(this, rest);
    this.clipTo = clip;
  }

  private put(element: string): void {
    this.parts.push(this.clipTo === "" ? element : `<g clip-path="url(#${this.clipTo})">${element}</g>`);
  }

  private filled(): string {
    return `fill="${this.paint(this.fillStyle)}"${this.globalAlpha < 1 ? ` opacity="${this.globalAlpha}"` : ""}`;
  }

  private stroked(): string {
    const dash = this.dash.length > 0 ? ` stroke-dasharray="${this.dash.join(" ")}"` : "";
    return `stroke="${this.paint(this.strokeStyle)}" stroke-width="${number(this.lineWidth)}"${dash}`;
  }

  private paint(style: string | CanvasPattern): string {
    if (typeof style === "string") return escaped(style);
    let name = this.patterns.get(style);
    if (name === undefined) {
      const tile = tileOf(style);
      name = `pattern${this.patterns.size}`;
      this.patterns.set(style, name);
      const size = `width="${tile.width}" height="${tile.height}"`;
      this.definitions.push(
        `<pattern id="${name}" patternUnits="userSpaceOnUse" ${size}><image ${size} href="${tile.toDataURL()}"/></pattern>`,
      );
    }
    return `url(#${name})`;
  }
}

/** The SVG of what a canvas shows, with its caption. Throws where it is made of pixels, which an SVG would only wrap. */
export function svgOf(canvas: HTMLCanvasElement, caption: Caption): string {
  const drawing = drawings.get(canvas);
  const measuring = document.createElement("canvas").getContext("2d");
  if (drawing === undefined || measuring === null)
    throw new Error("This panel is not drawn by this page: save it as PNG");
  const { width, height, draw } = drawing;
  const context = new SvgContext(measuring);
  const asked = context as unknown as CanvasRenderingContext2D;
  const room = roomFor(measuring, caption, width, height);
  try {
    context.save();
    context.translate(room.left, 0);
    draw(asked, canvas);
    context.restore();
    drawCaption(asked, caption, room, height);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new Error("This panel is made of pixels: PNG is its picture", { cause: error });
  }
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${room.width}" height="${room.height}" viewBox="0 0 ${room.width} ${room.height}">`,
    `<defs>${context.definitions.join("")}</defs>`,
    `<rect width="100%" height="100%" fill="${escaped(caption.page)}"/>`,
    ...context.parts,
    "</svg>",
  ].join("\n");
}

/** Whether there is an SVG of what a canvas shows. */
export function isDrawn(canvas: HTMLCanvasElement): boolean {
  try {
    svgOf(canvas, { lines: [], ink: "", page: "", cursor: null, axis: [], rows: [], scale: null });
    return true;
  } catch {
    return false;
  }
}
