// A canvas in CSS pixels, sharp at any device pixel ratio.
import { effect } from "@preact/signals";
import type { CanvasHTMLAttributes } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";

type Props = Omit<CanvasHTMLAttributes<HTMLCanvasElement>, "width" | "height"> & {
  width: number;
  height: number;
  /** Draws everything, in CSS pixels, on a cleared canvas; may set data attributes that say what it drew. */
  draw: (context: CanvasRenderingContext2D, canvas: HTMLCanvasElement) => void;
  /** What the drawing depends on besides signals; left out: drawn after each render. */
  deps?: readonly unknown[];
};

/** How each canvas is drawn, for those who want it drawn once more (svg.ts). */
export const drawings = new WeakMap<HTMLCanvasElement, Pick<Props, "width" | "height" | "draw">>();

export function Canvas({ width, height, draw, deps, style, ...rest }: Props) {
  const ref = useRef<HTMLCanvasElement>(null);
  // Drawn when a dependency or a signal that the drawing reads has changed, so that most canvases stand still while steps go by.
  const paint = () =>
    effect(() => {
      const canvas = ref.current;
      const context = canvas?.getContext("2d");
      if (!canvas || !context || width <= 0 || height <= 0) return;
      const ratio = globalThis.devicePixelRatio || 1;
      const [deviceWidth, deviceHeight] = [Math.round(width * ratio), Math.round(height * ratio)];
      if (canvas.width !== deviceWidth || canvas.height !== deviceHeight) {
        canvas.width = deviceWidth;
        canvas.height = deviceHeight;
      }
      context.setTransform(ratio, 0, 0, ratio, 0, 0);
      context.clearRect(0, 0, width, height);
      context.imageSmoothingEnabled = false;
      draw(context, canvas);
      drawings.set(canvas, { width, height, draw });
    });
  useLayoutEffect(paint, deps && [width, height, ...deps]);
  const size = { width: `${width}px`, height: `${height}px` };
  return <canvas ref={ref} {...rest} style={typeof style === "object" ? { ...style, ...size } : size} />;
}
