"""Maps as one picture, as the stock Images tab shows them: a row a sample, a column a channel."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from tensorboard_plugin.actviz import limits

Array = npt.NDArray[Any]

# Diverging: blue positive, brown negative, zero the colour of the page; as the page draws maps, and actviz_tb.colormap.
_STOPS = "5a3207 9a5f1a d29f5e efdcc0 fafafa cfe2f1 7db2dc 2f74b3 0c2f66"
_NONFINITE_RGB = (194, 32, 28)
_PAGE = 255
_GAP = 1
_CELL_PIXELS = 64


def png(maps: Array, *, folded: bool) -> bytes:
    """Return a PNG of maps [S, C, h, w], float32, on one scale about zero; NaN is red.

    Args:
        folded: whether a map is a vector, to be laid row by row into a near-square grid.

    Raises:
        TooLargeError: the picture would be larger than `limits.PICTURE_PIXELS`.
    """
    if folded:
        maps = _fold(maps)
    samples, channels, height, width = maps.shape
    columns = channels if channels > 1 else math.ceil(math.sqrt(samples))
    rows = math.ceil(samples * channels / columns)
    cell = max(1, _CELL_PIXELS // max(height, width))
    tall, wide = height * cell + _GAP, width * cell + _GAP
    pixels = (rows * tall + _GAP) * (columns * wide + _GAP)
    limits.check("pixels", pixels, limits.PICTURE_PIXELS, "ask for one sample")
    canvas = np.full((rows * tall + _GAP, columns * wide + _GAP, 3), _PAGE, np.uint8)
    finite = maps[np.isfinite(maps)]
    limit = float(np.abs(finite).max(initial=0)) or 1.0
    for index, each in enumerate(maps.reshape(samples * channels, height, width)):
        top, left = index // columns * tall + _GAP, index % columns * wide + _GAP
        canvas[top : top + tall - _GAP, left : left + wide - _GAP] = _colour(each, limit).repeat(cell, axis=0).repeat(cell, axis=1)
    buffer = io.BytesIO()
    Image.fromarray(canvas).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _fold(maps: Array) -> Array:
    vectors = maps.reshape(*maps.shape[:2], -1)
    size = vectors.shape[2]
    columns = math.ceil(math.sqrt(size))
    rows = math.ceil(size / max(1, columns))
    grid = np.zeros((*vectors.shape[:2], rows * columns), np.float32)
    grid[..., :size] = vectors
    return grid.reshape(*vectors.shape[:2], rows, columns)


def _colour(values: Array, limit: float) -> npt.NDArray[np.uint8]:
    scaled = (values + np.float32(limit)) / np.float32(2 * limit)
    missing = ~np.isfinite(values)
    rgb: npt.NDArray[np.uint8] = _TABLE[np.clip(np.rint(np.where(missing, 0, scaled) * 255), 0, 255).astype(np.intp)]
    rgb[missing] = _NONFINITE_RGB
    return rgb


def _table() -> npt.NDArray[np.uint8]:
    stops = np.array([list(bytes.fromhex(stop)) for stop in _STOPS.split()], dtype=float)
    positions = np.linspace(0, 255, len(stops))
    parts = [np.interp(np.arange(256), positions, stops[:, part]) for part in range(3)]
    table: npt.NDArray[np.uint8] = np.rint(np.stack(parts, axis=1)).astype(np.uint8)
    return table


_TABLE = _table()
