"""What one forward put out, summarised on the device: from hooks to host arrays."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor

from actviz_tb import maps as maps_module
from actviz_tb import outputs, statistics, transfer
from actviz_tb.errors import ActvizError
from actviz_tb.hooks import LayerOutput
from actviz_tb.maps import Limits, Maps
from actviz_tb.statistics import ActivationSummary, LayerStatistics, Scratch

INPUTS = "inputs"
"""Name under which the maps of the model's input are kept."""


class Unrecordable(ActvizError):
    """An output whose values cannot be summarised: integers, sparse, empty..."""


@dataclass(frozen=True, slots=True)
class LayerDescription:
    """What the model record says of a layer."""

    name: str
    path: str
    type: str
    call: int
    shape: tuple[int, ...]
    dtype: str
    layout: str | None
    channel_axis: int | None
    parameters: int


@dataclass(frozen=True, slots=True)
class HostMaps:
    """Quantised maps on the host: the fields of `maps.Maps`, as arrays."""

    maps: Maps
    shape: tuple[int, ...]
    data: npt.NDArray[Any]
    low: npt.NDArray[Any]
    high: npt.NDArray[Any]
    mean: npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class HostRecording:
    """A forward's record on the host, in execution order."""

    layers: list[LayerDescription]
    statistics: dict[str, LayerStatistics]
    sampled_every: dict[str, int]
    maps: dict[str, HostMaps]


@dataclass(slots=True)
class Recording:
    """Collects the layer outputs of one forward.

    Args:
        limits: what the maps keep; None: no maps.
        with_statistics: also statistics, histogram and channel profile.
        scratch: work buffers kept between steps.
    """

    limits: Limits | None
    with_statistics: bool
    scratch: Scratch
    layers: list[LayerDescription] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    _summaries: dict[str, ActivationSummary] = field(default_factory=dict)
    _maps: dict[str, tuple[Maps, tuple[int, ...]]] = field(default_factory=dict)

    def add(self, output: LayerOutput) -> None:
        """Summarise one output; nothing of it is kept.

        Raises:
            Unrecordable: its values cannot be summarised.
        """
        started = time.perf_counter()
        tensor = output.tensor.detach()
        reason = outputs.unrecordable(tensor)
        if reason is not None:
            raise Unrecordable(reason)
        layout, channel_axis = maps_module.layout(tensor.shape, output.module)
        if self.with_statistics:
            bounds = statistics.saturation_bounds(output.module)
            self._summaries[output.name] = statistics.summarise(tensor, channel_axis, bounds, self.scratch)
        self.add_maps(output.name, tensor, layout, channel_axis)
        parameters = sum(parameter.numel() for parameter in output.module.parameters())
        shape, dtype = tuple(tensor.shape), str(tensor.dtype).removeprefix("torch.")
        kind = type(output.module).__name__
        self.layers.append(LayerDescription(output.name, output.path, kind, output.call, shape, dtype, layout, channel_axis, parameters))
        self.seconds[output.name] = time.perf_counter() - started

    def add_maps(self, name: str, tensor: Tensor, layout: str | None, channel_axis: int | None) -> None:
        """Keep the maps of a tensor under a name."""
        if self.limits is None or layout is None:
            return
        extracted = maps_module.extract(tensor, layout, channel_axis, self.limits)
        if extracted is not None:
            self._maps[name] = (extracted, tuple(tensor.shape))

    def add_inputs(self, arguments: object) -> None:
        """Keep the maps of the first tensor among a forward's arguments, where it is one that maps can be made of."""
        for _, tensor in outputs.tensors(arguments):
            image = tensor.float() if tensor.dtype == torch.uint8 and tensor.ndim > 2 else tensor
            if outputs.unrecordable(image) is None:
                self.add_maps(INPUTS, image.detach(), *maps_module.layout(image.shape))
            return

    def to_host(self) -> HostRecording:
        """Bring all that was collected to the host, in one copy."""
        arrays = iter(transfer.to_host([tensor for part in self._parts() for tensor in part.tensors()]))
        found = {}
        for name, summary in self._summaries.items():
            found[name] = statistics.finalise(summary, [next(arrays) for _ in summary.tensors()])
        kept = {}
        for name, (extracted, shape) in self._maps.items():
            data, low, high, mean = (next(arrays) for _ in extracted.tensors())
            kept[name] = HostMaps(extracted, shape, data, low, high, mean)
        sampled_every = {name: summary.sampled_every for name, summary in self._summaries.items()}
        return HostRecording(self.layers, found, sampled_every, kept)

    def _parts(self) -> Iterable[ActivationSummary | Maps]:
        yield from self._summaries.values()
        for extracted, _ in self._maps.values():
            yield extracted
