"""What the rules look at: the statistics of a run's layers over its logged steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
STATISTICS = ("mean", "std", "min", "max", "rms", "zero", "saturated", "nonfinite", "dead_channels", "count", "channels", "posinf", "nan")
"""Those of `series.COLUMNS` that the rules need."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer, as the model record tells of it; what it does not tell is empty.

    Attributes:
        name, path, type, dtype: as there.
        inputs: names of the layers whose outputs it was made from.
        parameters: their number. trained: whether any of them requires gradients.
    """

    name: str
    path: str = ""
    type: str = ""
    dtype: str = ""
    inputs: tuple[str, ...] = ()
    parameters: int = 0
    trained: bool = True

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> Layer:
        """Return the layer of an entry of a model record, whatever it lacks."""
        inputs = entry.get("inputs")
        return cls(
            name=str(entry["name"]),
            path=str(entry.get("path", entry["name"])),
            type=str(entry.get("type", "")),
            dtype=str(entry.get("dtype", "")),
            inputs=tuple(map(str, inputs)) if isinstance(inputs, (list, tuple)) else (),
            parameters=entry["parameters"] if isinstance(entry.get("parameters"), int) else 0,
            trained=bool(entry.get("trained", True)),
        )


@dataclass(frozen=True)
class History:
    """L layers, in execution order, over S logged steps, ascending.

    Attributes:
        layers: [L]. steps: int64 [S].
        statistics: of the training batch, by the names in `STATISTICS`, float64 [L, S]; NaN where not logged or not applicable.
        probe: by the names in `wire.PROBE`, float64 [L, S]; NaN without a probe.
        rank_rms, rank_nonfinite: float64 [R, L, S]; R is 0 where the statistics are of one process.
        evaluating: for each step, the paths of the modules in evaluation mode.
    """

    layers: Sequence[Layer]
    steps: npt.NDArray[np.int64]
    statistics: Mapping[str, Array]
    probe: Mapping[str, Array] = field(default_factory=dict)
    rank_rms: Array = field(default_factory=lambda: np.empty((0, 0, 0)))
    rank_nonfinite: Array = field(default_factory=lambda: np.empty((0, 0, 0)))
    evaluating: Sequence[Sequence[str]] = ()

    def __getitem__(self, statistic: str) -> Array:
        return self.statistics[statistic]

    def of_probe(self, name: str) -> Array:
        """Return a statistic of the probe [L, S]."""
        found = self.probe.get(name)
        return np.full((len(self.layers), len(self.steps)), np.nan) if found is None else found

    @cached_property
    def logged(self) -> npt.NDArray[np.bool_]:
        """Where a layer was logged [L, S]."""
        found: npt.NDArray[np.bool_] = ~np.isnan(self["count"])
        return found

    @cached_property
    def largest(self) -> Array:
        """Largest absolute value [L, S]."""
        return np.fmax(np.abs(self["min"]), np.abs(self["max"]))

    @cached_property
    def index(self) -> dict[str, int]:
        """Place of each layer by its name."""
        return {layer.name: place for place, layer in enumerate(self.layers)}

    @cached_property
    def inputs(self) -> list[list[int]]:
        """Places of the layers that each layer was made from; where the record does not tell: of the one before it."""
        told = any(layer.inputs for layer in self.layers)
        return [
            [self.index[name] for name in layer.inputs if self.index.get(name, place) < place] if told else ([place - 1] if place else [])
            for place, layer in enumerate(self.layers)
        ]

    @cached_property
    def upstream(self) -> list[int]:
        """For each layer a bit set of the places of all that its output was made from."""
        found: list[int] = []
        for inputs in self.inputs:
            bits = 0
            for place in inputs:
                bits |= found[place] | 1 << place
            found.append(bits)
        return found

    @cached_property
    def consumed(self) -> list[bool]:
        """Whether another layer is made from a layer's output: not so of the network's own."""
        used = {place for inputs in self.inputs for place in inputs}
        return [place in used for place in range(len(self.layers))]
