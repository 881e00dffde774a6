"""Fixtures of the browser tests."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import browser
import hypothesis
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Playwright, expect, sync_playwright
from tensorboard_process import TensorBoard, tensorboard

# Torch's threads, here and in processes that tests start, sleep while they wait for one another: where others want the processors too,
# to spin makes a training take ten times as long. Read when torch is loaded, which is later.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

ROOT = Path(__file__).parent.parent
EPOCHS = 3
"""Of the demo's training."""

# Chromium's own requests to the network are none of the tests' business.
ARGUMENTS = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


# The same examples each time, however long one takes: chance, or a busy machine, is to fail no test. `make fuzz` looks for other ones.
hypothesis.settings.load_profile("ci")

# Only what never comes takes so long; on a busy machine TensorBoard and browser take many times as long as alone.
expect.set_options(timeout=30_000)


def pytest_collection_finish() -> None:
    """Have the garbage collector pass over the modules, which last: it took half the time of tests that call it, or compile."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def chromium_path() -> str:
    return browser.obtain(print)


@pytest.fixture(scope="session")
def playwright(chromium_path: str) -> Iterator[Playwright]:
    """The one there can be at a time; to look for a browser may have needed another before."""
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="session")
def chromium(chromium_path: str, playwright: Playwright) -> Iterator[Browser]:
    """A headless Chromium."""
    sandbox = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    opened = playwright.chromium.launch(executable_path=chromium_path, args=ARGUMENTS + sandbox)
    yield opened
    opened.close()


def is_error(message: ConsoleMessage) -> bool:
    """Whether a script complains. Neither a TensorBoard that the test has ended is an error of the page's, nor are TensorBoard's own
    fonts, which it asks for without the path prefix."""
    return message.type == "error" and "net::ERR_" not in message.text and "/font-roboto/" not in message.location["url"]


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A page of 1440 x 900; the test fails when a script on it does."""
    with watched_page(chromium) as opened:
        yield opened


@contextmanager
def watched_page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    opened = context.new_page()
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.on("console", lambda message: errors.append(message.text) if is_error(message) else None)
    yield opened
    context.close()
    assert not errors


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The log of examples/digits_cnn.py, with its checkpoints."""
    logdir = tmp_path_factory.mktemp("demo")
    script = ROOT / "examples" / "digits_cnn.py"
    subprocess.run([sys.executable, str(script), "--logdir", str(logdir), "--epochs", str(EPOCHS)], check=True, timeout=240)
    return logdir


@pytest.fixture(scope="session")
def board(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TensorBoard]:
    with tensorboard(tmp_path_factory.mktemp("board") / "out", "--logdir", str(demo)) as running:
        yield running
