"""Colour scales for pictures made in Python; the same stops as the page's."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt

from actviz_tb.errors import ArgumentError

_STOPS = {
    # Diverging: blue positive, brown negative, zero the colour of the page.
    "activations": "5a3207 9a5f1a d29f5e efdcc0 fafafa cfe2f1 7db2dc 2f74b3 0c2f66",
    "viridis": "440154 472d7b 3b528b 2c728e 21918c 28ae80 5ec962 addc30 fde725",
    "cividis": "00224e 123570 3b496c 575d6d 707173 8a8678 a59c74 c3b369 fee838",
    "inferno": "000004 210c4a 57106e 8a226a bc3754 e45a31 f98e09 f9cb35 fcffa4",
    "grey": "000000 ffffff",
}
NAMES = tuple(_STOPS)
NONFINITE_RGB = (194, 32, 28)


def colour(values: npt.NDArray[np.float32], low: float, high: float, name: str = "activations") -> npt.NDArray[np.uint8]:
    """Return RGB, uint8 [..., 3], of values on a scale from `low` to `high`; NaN is red.

    Raises:
        ArgumentError: no colour map of that name.
    """
    table = _table(name)
    span = high - low
    scaled = (values - low) / span if span > 0 else np.full_like(values, 0.5)
    missing = ~np.isfinite(scaled)
    rgb: npt.NDArray[np.uint8] = table[np.clip(np.rint(np.where(missing, 0, scaled) * 255), 0, 255).astype(np.intp)]
    rgb[missing] = NONFINITE_RGB
    return rgb


@functools.cache
def _table(name: str) -> npt.NDArray[np.uint8]:
    if name not in _STOPS:
        raise ArgumentError(f"no colour map {name!r}; one of {', '.join(NAMES)}")
    stops: npt.NDArray[Any] = np.array([list(bytes.fromhex(stop)) for stop in _STOPS[name].split()], dtype=float)
    positions = np.linspace(0, 255, len(stops))
    table = [np.interp(np.arange(256), positions, stops[:, part]) for part in range(3)]
    rounded: npt.NDArray[np.uint8] = np.rint(np.stack(table, axis=1)).astype(np.uint8)
    return rounded
