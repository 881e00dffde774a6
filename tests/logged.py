"""What a run logged, as TensorBoard's own reader finds it; what watching left on a model, and that it keeps none alive."""

from __future__ import annotations

import gc
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from torch import nn

from actviz_tb import ActivationLogger
from tensorboard_plugin.actviz import wire


def records(directory: Path) -> list[tuple[str, int, wire.Record]]:
    """Return (tag, step, record) of every record of ours."""
    found = []
    for path in sorted(directory.glob("events.out.tfevents.*")):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                if value.metadata.plugin_data.plugin_name == wire.PLUGIN_NAME:
                    found.append((value.tag, event.step, wire.unpack(value.tensor.string_val[0])))
    return found


def of_tag(directory: Path, tag: str) -> dict[int, wire.Record]:
    """Return the records of one tag by step."""
    return {step: record for found, step, record in records(directory) if found == tag}


def counts_and_moments(directory: Path, layer: str, step: int = 0, kind: str = "step") -> tuple[dict[str, int], dict[str, float]]:
    """Return a layer's statistics at a step, by the names in `wire`; kind ``gradients``: its gradient's."""
    record = of_tag(directory, f"actviz/{kind}")[step]
    row = record.header["layers"].index(layer)
    counts = dict(zip(wire.COUNTS, record.arrays["counts"][row].tolist(), strict=True))
    return counts, dict(zip(wire.MOMENTS, record.arrays["moments"][row].tolist(), strict=True))


def layers_of(directory: Path, step: int = 0) -> list[str]:
    """Return the layers that were recorded at a step, in order."""
    return list(of_tag(directory, "actviz/step")[step].header["layers"])


def hooks_of(model: nn.Module) -> int:
    """Count the hooks on a model's modules."""
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) + len(module._backward_hooks) for module in model.modules())


def assert_goes(*things: weakref.ref[Any]) -> None:
    """Nothing keeps them. While a writer's thread collects garbage, ``gc.collect`` does nothing here, and returns at once."""
    deadline_s = time.monotonic() + 30
    while any(thing() is not None for thing in things):
        assert time.monotonic() < deadline_s
        gc.collect()


def ending(logger: ActivationLogger) -> Callable[[], None]:
    """Return what waits until a logger that nothing keeps has gone, and has written what was left."""
    gone, writer = weakref.ref(logger), logger._writer._thread

    def wait() -> None:
        assert_goes(gone)
        writer.join(30)  # it may have been the one that found the garbage
        assert not writer.is_alive()

    return wait
