"""The Compare view's panels, read back pixel by pixel."""

import json
from typing import Any

import numpy as np
from playwright.sync_api import Locator

# The stops of the scales, low to high, as the design gives them.
STOPS = {
    "activations": "5a3207 9a5f1a d29f5e efdcc0 fafafa cfe2f1 7db2dc 2f74b3 0c2f66",
    "differences": "40004b 762a83 a876b5 dcc9e2 fafafa cbe7c8 74b77c 22803f 00441b",
}
READ_TILES = """(canvas) => {
  const shown = { ...canvas.dataset };
  const { across, cell, wide, tall, gutter, top: above, rows, columns } = JSON.parse(shown.places);
  const names = JSON.parse(shown.names);
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const tiles = names.map((_, tile) => {
    const [left, top] = [gutter + (tile % across) * wide, above + Math.floor(tile / across) * tall];
    const pixels = [];
    for (let row = 0; row < rows; row++)
      for (let column = 0; column < columns; column++) {
        const at = ((top + row * cell) * canvas.width + left + column * cell) * 4;
        pixels.push([data[at], data[at + 1], data[at + 2]]);
      }
    return pixels;
  });
  return { shown, names, tiles };
}"""


def evaluated(element: Locator, script: str) -> Any:
    """Return what a script answers about an element, as one text: many times faster than value by value."""
    return json.loads(element.evaluate(f"(element) => JSON.stringify(({script})(element))"))


def table(name: str) -> np.ndarray:
    """The 256 colours of a scale [256, 3], between its stops by numpy."""
    stops = np.array([[int(stop[index : index + 2], 16) for index in (0, 2, 4)] for stop in STOPS[name].split()], float)
    places = np.linspace(0, len(stops) - 1, 256)
    return np.stack([np.interp(places, np.arange(len(stops)), stops[:, part]) for part in range(3)], axis=1)


def entries(pixels: Any, name: str) -> np.ndarray:
    """The entry of the scale whose colour each pixel has; -1 where it is another colour."""
    colours, which = np.unique(np.asarray(pixels, float), axis=0, return_inverse=True)
    distance = np.abs(colours[:, None] - table(name)[None]).max(axis=2)
    return np.asarray(np.where(distance.min(axis=1) <= 0.51, distance.argmin(axis=1), -1)[which.reshape(-1)])


def check(canvas: Locator, name: str, truth: np.ndarray, error: np.ndarray) -> int:
    """Compare a panel with true values [C, h, w], up to an error a channel; returns how many tiles had a picture.

    Colours of the scale are not all different, so that an entry may be one beside the true one.
    """
    read = evaluated(canvas, READ_TILES)
    low, high = float(read["shown"]["scaleLow"]), float(read["shown"]["scaleHigh"])
    compared = 0
    for tile, channel in enumerate(read["names"]):
        found = entries(read["tiles"][tile], name)
        values = truth[channel].reshape(-1)
        if (found < 0).any():
            assert not values.any(), f"channel {channel} has a texture"
            continue
        expected = np.clip(255 * (values - low) / (high - low), 0, 255)
        assert np.abs(found - expected).max() <= 1.51 + 255 * error[channel] / (high - low), channel
        compared += 1
    return compared
