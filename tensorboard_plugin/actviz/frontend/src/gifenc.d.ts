declare module "gifenc" {
  type Palette = number[][];
  /** At most so many colours that stand for those of the RGBA pixels. */
  export function quantize(rgba: Uint8ClampedArray, colours: number): Palette;
  /** The number in the palette of each pixel's nearest colour. */
  export function applyPalette(rgba: Uint8ClampedArray, palette: Palette): Uint8Array;
  export function GIFEncoder(): {
    /** `delay` in ms, rounded to hundredths of a second. */
    writeFrame(index: Uint8Array, width: number, height: number, options: { palette: Palette; delay: number }): void;
    finish(): void;
    bytes(): Uint8Array<ArrayBuffer>;
  };
}
