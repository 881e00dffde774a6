"""A CNN on digits, a ResNet on photographs and a transformer on text, each beside a twin in which a fault is planted: to look at."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import planted
from networks import TASKS

FAULTS = {"digits": ("digits CNN", "nan"), "resnet": ("ResNet on patches", "dead"), "text": ("transformer on text", "jump")}
SAMPLES, CHANNELS = 4, 16


def log(directory: Path, kind: str, last: int | None = None) -> None:
    """Train and log ``directory/healthy`` and ``directory/faulty``.

    Args:
        kind: one of `FAULTS`.
        last: step to end with, the fault being planted 40 steps before; None: as in `planted`.
    """
    task, name = FAULTS[kind]
    fault = planted.FAULTS[name]
    if last is not None:
        fault = replace(fault, at=last - 40, last=last)
    for run in ("healthy", "faulty"):
        options = {"samples": SAMPLES, "max_channels": CHANNELS, "gradients": True}
        planted.log_run(directory / run, TASKS[task], fault, 3, planted=run == "faulty", **options)
