"""Maps as one picture: a grid of cells on the colour of the page."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from actviz_tb import colormap as colormaps
from actviz_tb.errors import ArgumentError

Scale = Literal["layer", "map"] | tuple[float, float]
_GAP = 1
_PAGE = 255


def near_square(count: int) -> tuple[int, int]:
    """Return (rows, columns) of the smallest near-square grid with `count` cells.

    >>> near_square(10)
    (3, 4)
    """
    columns = math.ceil(math.sqrt(count))
    return math.ceil(count / columns), columns


def fold(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return a vector's values row by row in a near-square grid; cells beyond its end are 0."""
    rows, columns = near_square(len(values))
    grid = np.zeros(rows * columns, dtype=np.float32)
    grid[: len(values)] = values
    return grid.reshape(rows, columns)


def mosaic(
    maps: npt.NDArray[np.float32],
    *,
    columns: int | None = None,
    colormap: str = "activations",
    scale: Scale = "layer",
    cell: int | None = None,
) -> Image.Image:
    """Draw maps [C, h, w] as a grid, each pixel a whole number of picture pixels.

    Args:
        columns: cells a row; None: near-square.
        colormap: one of `actviz_tb.colormap.NAMES`.
        scale: one for all maps (``"layer"``: from minus to plus the largest absolute value, so that zero is the middle of the
            diverging scale; from the lowest to the highest value on the others), one each (``"map"``), or (low, high).
        cell: the picture's pixels for a pixel of a map; None: enough that a small map can be seen.

    Raises:
        ArgumentError: no such colour map or scale, or less than one column.
    """
    count, height, width = maps.shape
    if columns is not None and columns < 1:
        raise ArgumentError(f"columns={columns}; expected 1 or more")
    columns = min(columns, count) if columns is not None else near_square(count)[1]
    rows = math.ceil(count / columns)
    cell = max(1, 64 // max(height, width)) if cell is None else cell
    tall, wide = height * cell + _GAP, width * cell + _GAP
    canvas = np.full((rows * tall + _GAP, columns * wide + _GAP, 3), _PAGE, dtype=np.uint8)
    shared = _limits(maps, colormap, scale) if scale != "map" else None
    for index, each in enumerate(maps):
        low, high = shared if shared is not None else _limits(each, colormap, "layer")
        rgb = colormaps.colour(each, low, high, colormap).repeat(cell, axis=0).repeat(cell, axis=1)
        top, left = index // columns * tall + _GAP, index % columns * wide + _GAP
        canvas[top : top + tall - _GAP, left : left + wide - _GAP] = rgb
    return Image.fromarray(canvas)


def _limits(maps: npt.NDArray[np.float32], colormap: str, scale: Scale) -> tuple[float, float]:
    if not isinstance(scale, str):
        low, high = scale
        if not low < high:
            raise ArgumentError(f"scale={scale!r}; expected (low, high) with low < high, 'layer' or 'map'")
        return low, high
    if scale != "layer":
        raise ArgumentError(f"scale={scale!r}; expected 'layer', 'map' or (low, high)")
    finite = maps[np.isfinite(maps)]
    if not finite.size:
        return 0.0, 1.0
    if colormap == "activations":
        limit = float(np.abs(finite).max()) or 1.0
        return -limit, limit
    return float(finite.min()), float(finite.max())
