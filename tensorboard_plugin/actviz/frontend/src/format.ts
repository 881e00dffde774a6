// Numbers as they are written in the page: three significant digits, U+2212 minus, thin space in thousands.
import type { Quantity } from "./state";

export const MINUS = "\u2212";
const THIN_SPACE = "\u2009";

function grouped(digits: string): string {
  return digits.replace(/\B(?=(\d{3})+(?!\d))/g, THIN_SPACE);
}

/** `1.23`, `−0.0456`, `12 300`, `4.5e+20`, `<0.001` rather than `1.6e-5`, `0` only for exact zero, `NaN`, `∞`. */
export function formatNumber(x: number): string {
  if (Number.isNaN(x)) return "NaN";
  const sign = x < 0 ? MINUS : "";
  const size = Math.abs(x);
  if (size === Number.POSITIVE_INFINITY) return `${sign}\u221e`;
  if (size === 0) return "0";
  if (size < 0.001) return x < 0 ? `>${MINUS}0.001` : "<0.001";
  if (size >= 1e7) return sign + size.toExponential(1);
  if (size >= 999.5) return sign + grouped(Number(size.toPrecision(3)).toFixed(0));
  return sign + size.toPrecision(3);
}

/** As `formatNumber`, but `1.6e-5` rather than `<0.001`: of gradients, which are small, the size is what is asked for. */
export function formatGradient(x: number): string {
  const size = Math.abs(x);
  return size > 0 && size < 0.001 ? (x < 0 ? MINUS : "") + size.toExponential(1) : formatNumber(x);
}

/** A number where there is little room: three decimals below 1, `<0.001`. */
export function formatShort(x: number): string {
  const size = Math.abs(x);
  return size >= 0.001 && size < 1 ? (x < 0 ? MINUS : "") + size.toFixed(3) : formatNumber(x);
}

/** How numbers of a quantity are written where there is little room. */
export function shortOf(of: Quantity): (x: number) => string {
  return of === "gradients" ? formatGradient : formatShort;
}

/** A change: `+1.23`, `−0.0456`; without a plus where it is only a bound, `<0.001`. */
export function signed(x: number): string {
  const text = formatNumber(x);
  return x >= 0.001 ? `+${text}` : text;
}

/** A tick of an axis: `0.1`, `1`, `10`, `1e+8`. */
export function formatTick(x: number): string {
  const size = Math.abs(x);
  const text = size !== 0 && (size < 1e-3 || size >= 1e5) ? size.toExponential(0) : String(Number(size.toPrecision(3)));
  return (x < 0 ? MINUS : "") + text;
}

/** A value under the pointer: five significant digits, never rounded to zero. */
export function formatValue(x: number): string {
  const size = Math.abs(x);
  if (!Number.isFinite(x) || size === 0) return formatNumber(x);
  const text = size >= 1e-4 && size < 1e6 ? size.toPrecision(5) : size.toExponential(4);
  return (x < 0 ? MINUS : "") + text;
}

/** `12.5 %`; `<0.1 %` rather than `0.0 %`, and `>99.9 %` rather than `100.0 %`, where it is not exactly that. */
export function formatPercent(fraction: number): string {
  if (Number.isNaN(fraction)) return "";
  if (fraction === 0) return "0 %";
  if (fraction === 1) return "100 %";
  const percent = fraction * 100;
  if (percent < 0.1) return "<0.1 %";
  if (percent > 99.9) return ">99.9 %";
  return `${percent.toFixed(1)} %`;
}

/** A count or a step: `12 300`. */
export function formatCount(x: number): string {
  return x < 0 ? MINUS + grouped(String(-x)) : grouped(String(x));
}

/** `64 × 16 × 26 × 26`. */
export function formatShape(shape: readonly number[]): string {
  return shape.length === 0 ? "scalar" : shape.join(" \u00d7 ");
}

/** Local time of day; with the date when it is not today. */
export function formatTime(wallTime_s: number, now = new Date()): string {
  const time = new Date(wallTime_s * 1000);
  const clock = time.toTimeString().slice(0, 8);
  if (time.toDateString() === now.toDateString()) return clock;
  const day = `${time.getFullYear()}-${String(time.getMonth() + 1).padStart(2, "0")}-${String(time.getDate()).padStart(2, "0")}`;
  return `${day} ${clock}`;
}

/** Seconds since a start: `0`, `0.5 s`, `30 s`, `2 min`, `1 min 30 s`, `1 h 30 min`, `3 d 12 h`. */
export function formatDuration(seconds: number): string {
  if (seconds === 0) return "0";
  if (seconds < 60) return `${Number(seconds.toPrecision(3))}\u2009s`;
  const units: [number, string][] = [
    [86400, "d"],
    [3600, "h"],
    [60, "min"],
    [1, "s"],
  ];
  const whole = Math.round(seconds);
  const first = units.findIndex(([size]) => whole >= size);
  const [size, name] = units[first] as [number, string];
  const large = `${Math.floor(whole / size)}\u2009${name}`;
  const [nextSize, nextName] = units[first + 1] ?? [1, ""];
  const rest = Math.floor((whole % size) / nextSize);
  return rest === 0 || nextName === "" ? large : `${large} ${rest}\u2009${nextName}`;
}

export function formatBytes(size: number): string {
  if (size < 1000) return `${size} bytes`;
  const units = ["kB", "MB", "GB", "TB"];
  let value = size;
  let unit = -1;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${value.toPrecision(value < 10 ? 2 : 3)} ${units[unit]}`;
}

/** Cuts a long name in the middle, where least is lost. */
export function shorten(name: string, length: number): string {
  if (name.length <= length) return name;
  const head = Math.ceil((length - 1) / 2);
  return `${name.slice(0, head)}\u2026${name.slice(name.length - (length - 1 - head))}`;
}
