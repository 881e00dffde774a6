// 'Copy link' and 'Save': every canvas in view with a test id and a label can be saved as a picture, some as drawing, data or film.
import { effect, signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useMemo } from "preact/hooks";
import { chooseStep, playFromStart } from "../actions";
import { indexRange } from "../axis";
import { captionOf, labelOf, nameOf } from "../caption";
import { copyText } from "../clipboard";
import { gif, stepsTaken } from "../gif";
import { film, filmType, saveBlob, savePicture, saveRoute } from "../saving";
import { layer, layers, playing, saveShown, shownRuns, step, stepsInView, stepsPerSecond, zoom } from "../state";
import { isDrawn, svgOf } from "../svg";
import { currentLink } from "../url";

/** What came of the last thing asked for. */
const outcome = signal("");
const recording = signal<AbortController | null>(null);

async function attempt(what: () => Promise<string | undefined>): Promise<void> {
  outcome.value = "";
  try {
    outcome.value = (await what()) ?? "";
  } catch (error) {
    outcome.value = error instanceof Error ? error.message : String(error);
  }
}

const copied = signal<boolean | null>(null);

export function CopyLink() {
  useEffect(() => {
    if (copied.value === null) return undefined;
    const timer = setTimeout(() => {
      copied.value = null;
    }, 2000);
    return () => clearTimeout(timer);
  }, [copied.value]);
  const words = copied.value === null ? "Copy link" : copied.value ? "Copied" : "Not copied";
  return (
    <button
      type="button"
      data-testid="copy-link"
      title="Copy a link that opens this picture"
      onClick={() => void copyText(currentLink()).then((done) => (copied.value = done))}
    >
      <span aria-live="polite">{words}</span>
    </button>
  );
}

export function SaveButton() {
  return (
    <button
      type="button"
      data-testid="save"
      aria-expanded={saveShown.value}
      title="Save the panels in view, and their data"
      onClick={() => {
        saveShown.value = !saveShown.value;
      }}
    >
      Save
    </button>
  );
}

/** The canvases in view that say what they are. */
function panels(): HTMLCanvasElement[] {
  return [...document.querySelectorAll<HTMLCanvasElement>("canvas[data-testid]")].filter(
    (canvas) => canvas.clientWidth > 0 && canvas.getAttribute("aria-label") !== null,
  );
}

/** Does what can be stopped; meanwhile nothing else is saved. */
async function record<T>(what: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  recording.value = controller;
  try {
    return await what(controller.signal);
  } finally {
    playing.value = false;
    recording.value = null;
  }
}

async function saveFilm(canvas: HTMLCanvasElement, type: string): Promise<undefined> {
  const end = zoom.peek()?.[1] ?? Number.POSITIVE_INFINITY;
  playFromStart();
  // An effect, as a slow page draws fewer frames than there are steps, and would play beyond the range.
  const stop = effect(() => {
    if ((step.value ?? 0) >= end) playing.value = false;
  });
  try {
    const blob = await record((signal) => film(canvas, () => captionOf(canvas), type, signal));
    saveBlob(blob, nameOf(canvas, type.startsWith("video/mp4") ? "mp4" : "webm"));
  } finally {
    stop();
  }
}

/** Saves a GIF of the steps in view, and says what is not in it. */
async function saveGif(canvas: HTMLCanvasElement): Promise<string> {
  playing.value = false;
  const all = Array.from(stepsInView.peek());
  const inRange = zoom.peek() === null ? all : all.slice(...indexRange(all, ...(zoom.peek() as [number, number])));
  const steps = stepsTaken(inRange, canvas.width * canvas.height);
  let wanted: number | null = null;
  const go = (next: number) => {
    if (wanted !== null && step.peek() !== wanted) return false; // the reader went elsewhere
    chooseStep(next);
    wanted = step.peek();
    return true;
  };
  const { blob, frames, late } = await record((signal) =>
    gif(canvas, () => captionOf(canvas), { steps, go, perSecond: stepsPerSecond.peek() }, signal),
  );
  saveBlob(blob, nameOf(canvas, "gif"));
  const notes = [];
  if (frames < inRange.length) notes.push(`The GIF has ${frames} of the ${inRange.length} steps in view.`);
  if (late > 0)
    notes.push(`In ${late} of its frames the picture is an earlier step's, as they say: theirs did not come in time.`);
  return notes.join(" ");
}

function Action({
  label,
  title,
  children,
  disabled = false,
  onClick,
}: {
  label: string;
  title: string;
  children: ComponentChildren;
  disabled?: boolean;
  onClick: () => void;
}) {
  return (
    <button
      type="button"
      aria-label={label}
      title={title}
      onClick={onClick}
      disabled={disabled || recording.value !== null}
    >
      {children}
    </button>
  );
}

function PanelRow({ canvas }: { canvas: HTMLCanvasElement }) {
  const label = labelOf(canvas);
  const type = filmType();
  const { csv } = canvas.dataset;
  const drawn = useMemo(() => isDrawn(canvas), [canvas]);
  return (
    <li data-panel={canvas.dataset.testid}>
      <span class="name" title={label}>
        {label}
      </span>
      <Action
        label={`${label}: PNG`}
        title="The picture as it is shown"
        onClick={() =>
          void attempt(async () => void (await savePicture(canvas, captionOf(canvas), nameOf(canvas, "png"))))
        }
      >
        PNG
      </Action>
      <Action
        label={`${label}: SVG`}
        title={drawn ? "As a drawing, for print" : "Made of pixels: PNG is its picture"}
        disabled={!drawn}
        onClick={() =>
          void attempt(async () => {
            saveBlob(new Blob([svgOf(canvas, captionOf(canvas))], { type: "image/svg+xml" }), nameOf(canvas, "svg"));
            return undefined;
          })
        }
      >
        SVG
      </Action>
      {csv ? (
        <Action
          label={`${label}: CSV`}
          title="Its data"
          onClick={() => void attempt(async () => void (await saveRoute(csv)))}
        >
          CSV
        </Action>
      ) : (
        <span />
      )}
      {type ? (
        <Action
          label={`${label}: film`}
          title="A play through the steps in view, at the chosen speed"
          onClick={() => void attempt(() => saveFilm(canvas, type))}
        >
          film
        </Action>
      ) : (
        <span />
      )}
      <Action
        label={`${label}: GIF`}
        title="The same play as a GIF, in 256 colours a frame"
        onClick={() => void attempt(() => saveGif(canvas))}
      >
        GIF
      </Action>
    </li>
  );
}

/** Routes that save the selected layer's data of the range in view. */
function dataOf(run: string): [label: string, route: string][] {
  const info = layers.value.find(({ name }) => name === layer.value);
  const range: Record<string, string> = zoom.value ? { from: String(zoom.value[0]), to: String(zoom.value[1]) } : {};
  const route = (name: string, parameters: Record<string, string>) => `${name}?${new URLSearchParams(parameters)}`;
  const found: [string, string][] = [["statistics of all layers, CSV", route("statistics.csv", { run, ...range })]];
  if (info === undefined) return found;
  const one = { run, layer: info.name };
  for (const [what, name] of [
    ["statistics", "statistics.csv"],
    ["histograms", "histograms.csv"],
    ["channel profiles", "channels.csv"],
  ] as const)
    found.push([`${what} of ${info.name}, CSV`, route(name, { ...one, ...range })]);
  if (info.layout != null && step.value !== null) {
    found.push([
      `maps of ${info.name} at step ${step.value}, NPY`,
      route("maps.npy", { ...one, step: String(step.value) }),
    ]);
    found.push([
      `maps of ${info.name} at step ${step.value}, PNG`,
      route("maps.png", { ...one, step: String(step.value) }),
    ]);
  }
  return found;
}

/** The sheet beside the picture. */
export function Save() {
  if (!saveShown.value) return null;
  const found = panels();
  return (
    <section class="sheet save" aria-label="Save" data-testid="save-sheet">
      <h2>Panels in view</h2>
      <ul class="panels">
        {found.map((canvas) => (
          <PanelRow key={`${canvas.dataset.testid} ${labelOf(canvas)}`} canvas={canvas} />
        ))}
      </ul>
      {recording.value !== null && (
        <p>
          Recording while it plays.{" "}
          <button type="button" onClick={() => recording.value?.abort()}>
            Stop and save
          </button>
        </p>
      )}
      {outcome.value !== "" && (
        <p role="alert" class="save-outcome">
          {outcome.value}
        </p>
      )}
      {shownRuns.value.map(({ letter, run }) => (
        <div key={run}>
          <h2>
            Data of run {letter}, {run}
          </h2>
          <ul>
            {dataOf(run).map(([label, route]) => (
              <li key={route}>
                <button type="button" onClick={() => void attempt(async () => void (await saveRoute(route)))}>
                  {label}
                </button>
              </li>
            ))}
          </ul>
        </div>
      ))}
    </section>
  );
}
