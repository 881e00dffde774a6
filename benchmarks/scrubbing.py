"""Measure the page in headless Chromium: frames while scrubbing, first meaningful paint on a large log, size of the bundle.

    make bench-page
    python benchmarks/scrubbing.py --steps 100 --paint-log none      # a short try

A frame is the time between two calls of requestAnimationFrame. The browser's own limit of 60 frames a second is lifted, so that a frame
takes as long as its work takes. Every measured frame goes to the next of the steps, which have all been fetched before: once by the key,
once by dragging along the time line. Where fewer pictures than steps were shown, the page did not keep up, and the result says so.

First meaningful paint is when the quilt has its cells, in a fresh browser on a fresh TensorBoard: since the tab's own document began to
load, and since TensorBoard's page did.
"""

from __future__ import annotations

import argparse
import gzip
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from playwright.sync_api import Browser, Frame, Page, sync_playwright
from reading import LOGS, Board, Log, LogWriter, board

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import browser  # noqa: E402  the tests' own helper

STATIC = ROOT / "tensorboard_plugin" / "actviz" / "static"
CHANNELS, SIDE, SAMPLES = 64, 16, 4
MAP_BYTES = SAMPLES * CHANNELS * SIDE * SIDE
WAIT_MS = 120_000
PAINTS = 5
MEDIAN_MS, P99_MS, PAINT_S, BUNDLE_KB = 16.7, 50, 1.5, 150

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-frame-rate-limit", "--disable-gpu-vsync", "--disable-background-networking"]

# Calls `act(n)` in frame n, and tells how long each frame took, how many of them showed a picture of their own, and the long tasks.
SCRUB = """async ([count, how]) => {
  const slider = document.querySelector("[data-testid=timeline]");
  const large = () => document.querySelector("[data-testid=map-large]")?.dataset.step;
  const box = slider.getBoundingClientRect();
  const [left, right] = [box.left + 44, box.right - 82];
  const pointer = (type, n, buttons) => slider.dispatchEvent(new PointerEvent(type, {
    bubbles: true, pointerId: 1, isPrimary: true, button: 0, buttons, clientX: left + (n / count) * (right - left), clientY: box.top + 50,
  }));
  slider.setPointerCapture = () => {};
  const act = how === "key"
    ? () => document.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true }))
    : (n) => pointer("pointermove", n, 1);
  const tasks = [];
  const observer = new PerformanceObserver((list) => tasks.push(...list.getEntries().map((entry) => entry.duration)));
  observer.observe({ type: "longtask" });
  const frames = [];
  const shown = new Set();
  const frame = () => new Promise(requestAnimationFrame);
  if (how === "pointer") pointer("pointerdown", 0, 1);
  await frame();
  let former = await frame();
  for (let n = 1; n <= count; n++) {
    act(n);
    const now = await frame();
    frames.push(now - former);
    former = now;
    shown.add(large());
  }
  await frame();
  shown.add(large());
  if (how === "pointer") pointer("pointerup", count, 0);
  observer.disconnect();
  return { frames, shown: shown.size, tasks };
}"""

# In every document of the page: when the quilt has cells.
WATCH_PAINT = """
const look = () => {
  const cells = document.querySelector("[data-testid=quilt]")?.dataset.cells;
  if (cells !== undefined && cells.split(",").some((each) => each !== "0")) {
    requestAnimationFrame(() => { window.firstPaint = { sinceTab: performance.now(), at: performance.timeOrigin + performance.now() }; });
  } else requestAnimationFrame(look);
};
requestAnimationFrame(look);
"""


@contextmanager
def written(log: Log, channels: int) -> Iterator[Path]:
    """Make a log, and remove it in the end."""
    with TemporaryDirectory() as scratch:
        writer = LogWriter(Path(scratch) / "log" / "run", log.layers, log.map_bytes, channels)
        for step in range(log.steps):
            writer.step(step)
        writer.close()
        yield Path(scratch) / "log"


def the_tab(page: Page) -> Frame:
    """Return the tab's own frame, once it has loaded."""
    element = page.wait_for_selector("iframe", timeout=WAIT_MS)
    frame = element.content_frame() if element else None
    if frame is None:
        raise RuntimeError("TensorBoard shows no tab")
    return frame


def fetch_all(tab: Frame, steps: int) -> None:
    """Go through all steps, waiting for each one's picture, so that all are kept."""
    for step in range(steps):
        tab.wait_for_selector(f"[data-testid=map-large][data-step='{step}']", timeout=WAIT_MS)
        tab.evaluate("() => document.dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowRight', bubbles: true }))")
    tab.evaluate("() => document.dispatchEvent(new KeyboardEvent('keydown', { key: 'Home', bubbles: true }))")
    tab.wait_for_selector("[data-testid=map-large][data-step='0']", timeout=WAIT_MS)


def url(found: Board, state: str) -> str:
    return f"http://localhost:{found.port}/#actviz&{state}"


def scrub(chromium: Browser, steps: int) -> Iterator[str]:
    """Yield a line for each way of scrubbing."""
    with written(Log(1, steps, MAP_BYTES), CHANNELS) as logdir, board(logdir) as found:
        page = chromium.new_page(viewport={"width": 1440, "height": 900})
        page.goto(url(found, "view=layer&layer=layer0&step=0"))
        tab = the_tab(page)
        fetch_all(tab, steps)
        for how in ("key", "pointer"):
            tab.evaluate("() => document.dispatchEvent(new KeyboardEvent('keydown', { key: 'Home', bubbles: true }))")
            time.sleep(1)
            result: dict[str, Any] = tab.evaluate(SCRUB, [steps - 1, how])
            yield of_frames(how, steps, result)
        page.close()


def of_frames(how: str, steps: int, result: dict[str, Any]) -> str:
    """Return a line of the report: `frames` and `tasks` are in milliseconds."""
    frames: Sequence[float] = result["frames"]
    cuts = statistics.quantiles(frames, n=100)
    tasks = result["tasks"]
    longest = f", the longest {max(tasks):.0f} ms" if tasks else ""
    kept_up = "" if result["shown"] >= 0.99 * min(steps, len(frames)) else "  NOT KEPT UP"
    return (
        f"scrubbing by {how:8} median {cuts[49]:6.2f} ms (< {MEDIAN_MS}), p99 {cuts[98]:6.2f} ms (< {P99_MS}); "
        f"{result['shown']} pictures of {steps} steps{kept_up}; {len(tasks)} tasks above 50 ms{longest}"
    )


def paint(chromium: Browser, name: str) -> str:
    """Return a line on the first meaningful paint, the median of several, each in a TensorBoard and a browser context of its own."""
    since_tab, since_page = [], []
    with written(LOGS[name], 16) as logdir:
        for _ in range(PAINTS):
            with board(logdir) as found:
                context = chromium.new_context(viewport={"width": 1440, "height": 900})
                context.add_init_script(WATCH_PAINT)
                page = context.new_page()
                page.goto(url(found, "view=overview"), wait_until="commit")
                tab = the_tab(page)
                tab.wait_for_function("() => window.firstPaint", timeout=WAIT_MS)
                painted = tab.evaluate("() => window.firstPaint")
                since_tab.append(painted["sinceTab"] / 1e3)
                since_page.append((painted["at"] - page.evaluate("() => performance.timeOrigin")) / 1e3)
                context.close()
    return (
        f"first meaningful paint, {name} log: {statistics.median(since_tab):.2f} s (< {PAINT_S}) since the tab began to load, "
        f"{statistics.median(since_page):.2f} s since TensorBoard's page did; worst of {PAINTS}: {max(since_tab):.2f} s"
    )


def bundle() -> str:
    sizes = {path.name: len(gzip.compress(path.read_bytes())) / 1e3 for path in sorted(STATIC.glob("index.*"))}
    parts = ", ".join(f"{name} {size:.1f}" for name, size in sizes.items())
    return f"bundle, gzip: {sum(sizes.values()):.1f} kB (< {BUNDLE_KB}): {parts}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--steps", type=int, default=1000, help="logged steps to scrub through (default: 1000)")
    parser.add_argument("--paint-log", default="1GB", choices=[*LOGS, "none"], help="log for the first paint (default: 1GB)")
    arguments = parser.parse_args()
    print(bundle())
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser.obtain(print), args=ARGUMENTS)
        for line in scrub(chromium, arguments.steps):
            print(line, flush=True)
        if arguments.paint_log != "none":
            print(paint(chromium, arguments.paint_log))
        chromium.close()


if __name__ == "__main__":
    main()
