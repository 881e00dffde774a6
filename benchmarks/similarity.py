"""Measure CKA matrices: 60 layers at a step, and 500 steps of a layer, of Gram matrices of 64 samples (as `watch` keeps) and of 256.

    make bench-similarity

Over HTTP from a TensorBoard process: each request is one that was not made before. In the page, in headless Chromium: from the key that
opens the view to the drawn matrix, each in a fresh browser.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import table
from playwright.sync_api import sync_playwright
from reading import API, Board, board
from scrubbing import ARGUMENTS, WAIT_MS, the_tab, url

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import browser  # noqa: E402  the tests' own helpers
import synthetic_extras  # noqa: E402
import synthetic_log  # noqa: E402

from tensorboard_plugin.actviz import wire  # noqa: E402

REPEATS = 7
SHAPES = {"60 layers at a step": (60, REPEATS), "500 steps of a layer": (1, 500)}
TARGETS_S = {"60 layers at a step": 1, "500 steps of a layer": 2}


@contextmanager
def logged(layers: int, steps: int, samples: int) -> Iterator[Path]:
    """Make a log of Gram matrices of random outputs that change from step to step."""
    generator = np.random.default_rng(0)
    names = [f"layer{index}" for index in range(layers)]
    outputs = {name: generator.normal(size=(samples, 32)) for name in names}
    with TemporaryDirectory() as scratch:
        writer = synthetic_log.RunWriter(Path(scratch) / "run")
        synthetic_log.write_start(writer)
        described = [
            {"name": name, "path": name, "type": "Linear", "call": 0, "shape": [samples, 32], "layout": "vector"} for name in names
        ]
        writer.run_record("model", 0, {"model": "Net", "layers": described, "modules": []})
        counts = np.full((layers, len(wire.COUNTS)), 1000, np.int64)
        moments = np.ones((layers, len(wire.MOMENTS)), np.float32)
        for step in range(steps):
            for name in names:
                outputs[name] = outputs[name] + 0.1 * generator.normal(size=(samples, 32))
                synthetic_extras.write_gram(writer, step, name, outputs[name])
            writer.run_record("step", step, {"layers": names}, {"counts": counts, "moments": moments})
        writer.close()
        yield Path(scratch)


def over_http(found: Board, shape: str) -> tuple[list[float], int]:
    """Return seconds a request, and the rows of the last matrix."""
    seconds, body = [], b""
    connection = found.connect()
    for repeat in range(REPEATS):
        query = {"step": repeat} if shape.startswith("60") else {"layer": "layer0", "from": repeat - REPEATS}
        started = time.perf_counter()
        body = found.get(connection, API + "similarity", run="run", estimator="unbiased", **query)
        seconds.append(time.perf_counter() - started)
    return seconds, len(wire.unpack(body).arrays["cka"])


def in_page(found: Board, shape: str, executable: str) -> list[float]:
    """Return seconds from the key to the drawn matrix."""
    seconds = []
    with sync_playwright() as playwright:
        for repeat in range(REPEATS):
            opened = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
            page = opened.new_page(viewport={"width": 1440, "height": 900})
            page.goto(url(found, f"view=overview&layer=layer0&step={repeat}"))
            tab = the_tab(page)
            tab.wait_for_selector("[data-testid=layer-row]", timeout=WAIT_MS)
            page.wait_for_timeout(2000)
            matrix = "matrix-within" if shape.startswith("60") else "matrix-steps"
            started = time.perf_counter()
            page.keyboard.press("5")
            tab.wait_for_selector(f"[data-testid={matrix}] canvas[data-rows]", timeout=WAIT_MS)
            seconds.append(time.perf_counter() - started)
            opened.close()
    return seconds


def main() -> None:
    executable = browser.obtain(print)
    rows = []
    for shape, (layers, steps) in SHAPES.items():
        for samples in (64, 256):
            with logged(layers, steps, samples) as logdir, board(logdir) as found:
                asked, size = over_http(found, shape)
            with logged(layers, steps, samples) as logdir, board(logdir) as found:
                shown = in_page(found, shape, executable)
            cells = [f"{statistics.median(each):.2f} ({max(each):.2f})" for each in (asked, shown)]
            rows.append([shape, str(samples), f"{size} x {size}", *cells, str(TARGETS_S[shape])])
    head = ["matrix", "samples", "rows", "HTTP, s: median (largest)", "page, s: median (largest)", "target, s"]
    print(table.machine(), "", *(f"| {' | '.join(cells)} |" for cells in [head, ["---"] * len(head), *rows]), sep="\n")


if __name__ == "__main__":
    main()
