// Absence has a texture, not a colour: hatch for what is not finite, dots for what is exactly zero.

const cache = new Map<string, CanvasPattern>();
const tiles = new WeakMap<CanvasPattern, HTMLCanvasElement>();

/** The tile that a texture repeats. */
export function tileOf(texture: CanvasPattern): HTMLCanvasElement {
  return tiles.get(texture) as HTMLCanvasElement;
}

function pattern(
  context: CanvasRenderingContext2D,
  key: string,
  size: number,
  draw: (tile: CanvasRenderingContext2D) => void,
) {
  let found = cache.get(key);
  if (found === undefined) {
    const tile = document.createElement("canvas");
    tile.width = tile.height = size;
    const drawing = tile.getContext("2d") as CanvasRenderingContext2D;
    draw(drawing);
    found = context.createPattern(tile, "repeat") as CanvasPattern;
    tiles.set(found, tile);
    cache.set(key, found);
  }
  return found;
}

/** Red hatch, for NaN and infinity. */
export function hatch(context: CanvasRenderingContext2D, colour: string, page: string): CanvasPattern {
  return pattern(context, `hatch ${colour} ${page}`, 6, (tile) => {
    tile.fillStyle = page;
    tile.fillRect(0, 0, 6, 6);
    tile.strokeStyle = colour;
    tile.lineWidth = 1.2;
    tile.beginPath();
    for (const offset of [-6, 0, 6]) {
      tile.moveTo(offset - 1, 7);
      tile.lineTo(offset + 7, -1);
    }
    tile.stroke();
  });
}

/** Dots, for exactly zero. */
export function dots(context: CanvasRenderingContext2D, colour: string, page: string): CanvasPattern {
  return pattern(context, `dots ${colour} ${page}`, 4, (tile) => {
    tile.fillStyle = page;
    tile.fillRect(0, 0, 4, 4);
    tile.fillStyle = colour;
    tile.fillRect(1, 1, 1, 1);
  });
}
