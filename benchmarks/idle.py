"""Measure what a watched model's call costs while nothing is due: the time from the call to the first line of its forward.

    python benchmarks/idle.py

In a training loop, where a step drives all code from the processor's caches, and on one model: without a hook, with an empty one, and with
this library's, each a step, in random order. A whole step's time varies by far more than this difference.
"""

from __future__ import annotations

import argparse
import random
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import table
from contestants import Idle
from torch import Tensor, nn
from workloads import WORKLOADS, Trainer


def empty(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """What any hook costs."""


class Entry:
    """Notes when the model is called, and when its forward begins."""

    def __init__(self, trainer: Trainer) -> None:
        self.taken_ns = self._called_ns = 0
        self._model, self._forward = trainer.model, trainer.model.forward
        trainer.model.forward = self._entered
        trainer.model = self  # type: ignore[assignment]

    def __call__(self, x: Tensor) -> Tensor:
        self._called_ns = time.perf_counter_ns()
        return self._model(x)  # type: ignore[no-any-return]

    def _entered(self, x: Tensor) -> Tensor:
        self.taken_ns = time.perf_counter_ns() - self._called_ns
        return self._forward(x)  # type: ignore[no-any-return]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2000)
    given = parser.parse_args()
    trainer = Trainer(WORKLOADS["cnn"])
    model = trainer.model
    with TemporaryDirectory() as directory:
        idle = Idle(trainer, Path(directory))
        for _ in range(10):
            trainer.step()
        hooks = model._forward_pre_hooks
        ((number, own),) = hooks.items()
        entry = Entry(trainer)
        variants = {"without a hook": None, "an empty hook": empty, "this library's": own}
        taken: dict[str, list[int]] = {name: [] for name in variants}
        steps_s = []
        for _ in range(given.rounds):
            for name in random.sample(list(variants), len(variants)):
                hooks.clear()
                if (hook := variants[name]) is not None:
                    hooks[number] = hook
                started = time.perf_counter()
                trainer.step()
                steps_s.append(time.perf_counter() - started)
                taken[name].append(entry.taken_ns)
        idle.close()
    print(table.machine())
    print(f"a step: {median(steps_s) * 1e3:.1f} ms")
    for name, each in taken.items():
        print(f"{name}: {median(each) / 1e3:.1f} microseconds")


if __name__ == "__main__":
    main()
