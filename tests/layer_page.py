"""The Layer view's page: opening it, and reading what it tells."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import FrameLocator, Locator, Page
from tensorboard_process import TensorBoard
from test_tab import open_tab


def layer_view(page: Page, board: TensorBoard, run: str, layer: str, step: int, **state: Any) -> FrameLocator:
    return open_tab(page, board, run=run, view="layer", layer=layer, step=step, **state)


def data(of: Locator, name: str) -> str:
    return str(of.get_attribute(f"data-{name}"))


def number(text: str) -> float:
    return float(re.sub("[≥≤ \u2009]", "", text).replace("\u2212", "-"))


def value_at(canvas: Locator, readout: Locator, x: float, y: float) -> float:
    """Return the value that is told of a point of a canvas."""
    canvas.hover(position={"x": x, "y": y})
    return number(readout.locator("strong").inner_text())
