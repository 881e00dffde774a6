"""One watched training forward, and what was logged of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import logged
import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

import actviz_tb
from actviz_tb.report import Report
from tensorboard_plugin.actviz import wire


@dataclass(frozen=True)
class Watched:
    """A forward that was recorded: what it returned, what was logged, what was told of it."""

    directory: Path
    output: Any
    report: Report

    def layers(self) -> list[str]:
        return list(self.inputs())

    def inputs(self) -> dict[str, list[str]]:
        """Return which layers feed each layer, as the model record says, in execution order."""
        (described,) = (record.header["layers"] for _, _, record in logged.records(self.directory) if record.kind == "model")
        return {layer["name"]: layer["inputs"] for layer in described}

    def attention(self) -> dict[str, wire.Record]:
        prefix = "actviz/attention/"
        return {tag.removeprefix(prefix): record for tag, _, record in logged.records(self.directory) if tag.startswith(prefix)}


def watched(directory: Path, model: nn.Module, *inputs: Any, **options: Any) -> Watched:
    """Run one training forward, recorded; no fault may have been told of."""
    with actviz_tb.watch(model, directory, every=1, **options) as logger:
        output = model(*inputs)
        report = logger.report()
    assert not report.faults
    return Watched(directory, output, report)


def shown(record: wire.Record) -> npt.NDArray[np.float64]:
    """Return a record's maps, dequantised, as float64 [S, C, h, w]."""
    return wire.dequantise(record.arrays["data"], record.arrays["low"], record.arrays["high"]).astype(np.float64)


def assert_shows(record: wire.Record, expected: Tensor | npt.NDArray[Any]) -> None:
    """The maps are `expected` [S, ...], to half a step of their quantisation and float32's rounding."""
    array = expected.detach().double().numpy() if isinstance(expected, Tensor) else np.asarray(expected, np.float64)
    found = shown(record)
    half_step = (record.arrays["high"] - record.arrays["low"]).astype(np.float64)[..., None, None] / wire.MAP_LEVELS / 2
    difference = np.abs(found - array.reshape(found.shape))
    assert (difference <= half_step + 1e-5 * np.abs(array).max()).all(), difference.max()
