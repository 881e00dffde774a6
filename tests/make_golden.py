"""Write the container that the page's unit tests decode: one format, read by both sides.

python tests/make_golden.py tensorboard_plugin/actviz/frontend/test/golden.actviz
"""

import sys
from pathlib import Path

import numpy as np

from tensorboard_plugin.actviz import wire

FIELDS = {"layer": "naïve ☃", "layout": "channels", "shape": [2, 3, 4, 5]}
ARRAYS = {
    "data": np.arange(120, dtype=np.uint8).reshape(2, 3, 4, 5),
    "low": np.array([[-1.5, 0, 2], [3, 4, 5]], np.float32),
    "bins": np.array([-1019, 0, 1019], np.int16),
    "counts": np.array([1, 2**32 - 1], np.uint32),
    "total": np.array([2**53 + 1], np.int64),
    "steps": np.array([0, 1e15, np.nan]),
    "zeros": np.zeros(1000, np.float32),
    "empty": np.zeros((0, 4), np.float32),
}


def golden() -> bytes:
    return wire.pack("maps", FIELDS, ARRAYS)


if __name__ == "__main__":
    Path(sys.argv[1]).write_bytes(golden())
