"""A small log of made-up values, written without torch, and ways to damage it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import synthetic_log
from synthetic_log import RunWriter
from tensorboard.compat.proto import event_pb2

Array = npt.NDArray[Any]


def values(step: int, layers: Iterable[str] = "ab") -> dict[str, Array]:
    """Return what the layers put out at a step: float32 [8, 16, 4, 4]."""
    generator = np.random.default_rng(step)
    return {layer: generator.standard_normal((8, 16, 4, 4)).astype(np.float32) for layer in layers}


def write(writer: RunWriter, *steps: int) -> None:
    """Write steps with the layers ``a`` and ``b``."""
    for step in steps:
        writer.wall_time_s += 1
        synthetic_log.write_step(writer, step, values(step))
    writer.flush()


def write_run(directory: Path, *steps: int) -> None:
    """Write a run of such steps, or an event file without any."""
    writer = RunWriter(directory)
    write(writer, *steps)
    writer.close()


def where(writer: RunWriter, tag: str, step: int) -> int:
    """Return the byte at which a record starts."""
    data = writer.path.read_bytes()
    position = 0
    while position < len(data):
        length = int.from_bytes(data[position : position + 8], "little")
        event = event_pb2.Event.FromString(data[position + 12 : position + 12 + length])
        if event.step == step and event.summary.value and event.summary.value[0].tag == tag:
            return position
        position += length + 16
    raise LookupError(f"no {tag} of step {step}")


def flip(writer: RunWriter, byte: int) -> None:
    """Change one bit of the file."""
    data = bytearray(writer.path.read_bytes())
    data[byte] ^= 1
    writer.path.write_bytes(data)
