"""What one forward put out, summarised on the device: from hooks to host arrays."""

from __future__ import annotations

import math
import time
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from actviz_tb import attention, outputs, statistics
from actviz_tb import maps as maps_module
from actviz_tb.attention import Attention
from actviz_tb.errors import ActvizError
from actviz_tb.gram import centred_gram
from actviz_tb.hooks import LayerOutput
from actviz_tb.maps import Limits, Maps
from actviz_tb.statistics import Scratch
from actviz_tb.summary import ActivationSummary, LayerStatistics, finalise
from actviz_tb.transfer import Array, Transfer
from tensorboard_plugin.actviz import wire

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
    inputs: tuple[str, ...]

    def signature(self) -> tuple[object, ...]:
        """Return all that tells one layer from another, sizes of batches and lengths of sequences aside."""
        channels = None if self.channel_axis is None else self.shape[self.channel_axis]
        return (
            self.name,
            self.path,
            self.type,
            self.call,
            len(self.shape),
            channels,
            self.dtype,
            self.layout,
            self.channel_axis,
            self.inputs,
        )


@dataclass(frozen=True, slots=True)
class HostMaps:
    """Quantised maps on the host: the fields of `maps.Maps`, as arrays."""

    maps: Maps
    shape: tuple[int, ...]
    data: Array
    low: Array
    high: Array
    mean: Array


@dataclass(frozen=True, slots=True)
class HostAttention:
    """Attention on the host: the fields of `attention.Attention`, as arrays."""

    maps: HostMaps
    entropy: Array
    largest_logit: Array
    queries: tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class HostStatistics:
    """Statistics of many outputs on the host, in execution order."""

    layers: dict[str, LayerStatistics]
    sampled_every: dict[str, int]
    ranks: Ranks | None = None


@dataclass(frozen=True, slots=True)
class Ranks:
    """What single processes saw, where the statistics are of all of them: float32 [R, L], NaN for a layer that a rank did not run."""

    rms: Array
    absmax: Array
    nonfinite: Array


@dataclass(frozen=True, slots=True)
class HostRecording:
    """A forward's record on the host."""

    statistics: HostStatistics
    maps: dict[str, HostMaps]
    grams: dict[str, Array]
    sizes: dict[str, ProbeSize]
    attention: dict[str, HostAttention]


@dataclass(frozen=True, slots=True)
class ProbeSize:
    """How large a layer's output for the probe was: root mean square [], and values a sample."""

    rms: Array
    features: int


class PendingStatistics:
    """Statistics of outputs that are on their way to the host."""

    def __init__(self, summaries: Mapping[str, ActivationSummary]) -> None:
        self.summaries = summaries
        self._transfer = Transfer([part for summary in summaries.values() for part in summary.parts])

    def raw(self) -> dict[str, Sequence[Array]]:
        """Return what each summary holds."""
        arrays = iter(self._transfer.arrays())
        return {name: summary.unpacked([next(arrays) for _ in summary.parts]) for name, summary in self.summaries.items()}

    def to_host(self) -> HostStatistics:
        raw = self.raw()
        found = {name: finalise(summary, raw[name]) for name, summary in self.summaries.items()}
        return HostStatistics(found, {name: summary.sampled_every for name, summary in self.summaries.items()})


@dataclass(slots=True)
class Recording:
    """Collects the layer outputs of one forward.

    Args:
        limits: what the maps keep; None: no maps.
        with_statistics: also statistics, histogram and channel profile.
        gram_samples: the probe's number of samples, to keep Gram matrices; None: none are kept.
        scratch: work buffers kept between steps.
    """

    limits: Limits | None
    with_statistics: bool
    scratch: Scratch
    gram_samples: int | None = None
    layers: list[LayerDescription] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    summaries: dict[str, ActivationSummary] = field(default_factory=dict)
    _maps: dict[str, tuple[Maps, tuple[int, ...]]] = field(default_factory=dict)
    _grams: dict[str, Tensor] = field(default_factory=dict)
    _sizes: dict[str, tuple[Tensor, int]] = field(default_factory=dict)
    _attention: dict[str, Attention] = field(default_factory=dict)
    _returned: list[weakref.ref[Tensor]] = field(default_factory=list)

    @outputs.outside_transforms
    def add(self, output: LayerOutput) -> None:
        """Summarise one output; nothing of it is kept.

        Raises:
            Unrecordable: its values cannot be summarised.
        """
        started = time.perf_counter()
        tensor = outputs.readable(output.tensor).detach()
        reason = outputs.unrecordable(tensor)
        if reason is not None:
            raise Unrecordable(reason)
        layout, channel_axis = maps_module.layout(tensor.shape, output.module)
        name, twin = output.name, output.same_as
        if self.with_statistics:
            if twin is not None and twin in self.summaries:
                self.summaries[name] = self.summaries[twin]
            else:
                bounds = statistics.saturation_bounds(output.module)
                self.summaries[name] = statistics.summarise(tensor, channel_axis, bounds, self.scratch)
        for depth in (None, *maps_module.other_depths(tensor.shape, layout, channel_axis)):
            same = None if twin is None else self._maps.get(wire.slice_name(twin, depth))
            if same is not None:
                self._maps[wire.slice_name(name, depth)] = same
            else:
                self.add_maps(wire.slice_name(name, depth), tensor, layout, channel_axis, depth)
        if self.gram_samples is not None:
            with _exactly(tensor):
                gram = centred_gram(tensor, self.gram_samples)
                rms = _rms(tensor)
            self._sizes[name] = rms, tensor.numel() // self.gram_samples
            if gram is not None:
                self._grams[name] = gram
        shape, dtype = tuple(tensor.shape), str(output.tensor.dtype).removeprefix("torch.")
        self.layers.append(LayerDescription(name, output.path, output.kind, output.call, shape, dtype, layout, channel_axis, output.inputs))
        self._add_seconds(name, started)

    def add_maps(self, name: str, tensor: Tensor, layout: str | None, channel_axis: int | None, depth: int | None = None) -> None:
        """Keep the maps of a tensor under a name."""
        if self.limits is None or layout is None:
            return
        extracted = maps_module.extract(tensor, layout, channel_axis, self.limits, depth)
        if extracted is not None:
            self._maps[name] = (extracted, tuple(tensor.shape))

    def add_attention(self, layer: str, kind: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Keep the weights of an attention call for the shown samples.

        Args:
            layer: name under which they are kept; the first that has it keeps it.
            kind, function: the function's plain name and itself.

        Returns:
            Whether the call is one that attends.
        """
        if self.limits is None or layer in self._attention:
            return False
        started = time.perf_counter()
        tensors = [tensor for _, tensor in outputs.tensors((args, kwargs))]
        if not tensors or not all(tensor is outputs.readable(tensor) and outputs.is_plain(tensor) for tensor in tensors):
            return False
        if any(tensor.is_floating_point() and outputs.unrecordable(tensor) is not None for tensor in tensors):
            return False
        with _exactly(tensors[0]):
            found = attention.of_call(kind, function, args, kwargs, self.limits, self.scratch)
        if found is None:
            return False
        self._attention[layer] = found
        self._add_seconds(layer, started)
        return True

    @outputs.outside_transforms
    def add_returned_attention(self, inputs: object, parts: Iterable[tuple[str, Tensor]]) -> None:
        """Keep those parts of a module's output that are attention weights; not again those that a block passes on.

        Args:
            inputs: the module's arguments.
            parts: (name, tensor).
        """
        if self.limits is None:
            return
        started = time.perf_counter()
        lengths = {size for _, tensor in outputs.tensors(inputs) for size in tensor.shape[:-1]}
        for name, tensor in parts:
            if any(each() is tensor for each in self._returned):
                continue
            with _exactly(tensor):
                found = attention.of_returned(outputs.readable(tensor).detach(), lengths, self.limits)
            if found is not None:
                self._returned.append(weakref.ref(tensor))
                self._attention[name] = found
                self._add_seconds(name, started)

    def _add_seconds(self, name: str, started: float) -> None:
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started

    @outputs.outside_transforms
    def add_inputs(self, arguments: object) -> None:
        """Keep the maps of the first tensor among a forward's arguments, where it is one that maps can be made of."""
        for _, tensor in outputs.tensors(arguments):
            values = outputs.readable(tensor).detach()
            image = values.float() if values.dtype == torch.uint8 and values.ndim > 2 else values
            if outputs.unrecordable(image) is None:
                self.add_maps(INPUTS, image, *maps_module.layout(image.shape))
            return

    @outputs.outside_transforms
    def start_transfer(self) -> PendingRecording:
        """Begin to bring all that was collected to the host."""
        return PendingRecording(PendingStatistics(self.summaries), self._maps, self._grams, self._sizes, self._attention)


def _rms(tensor: Tensor) -> Tensor:
    """Return the root mean square, float32 []; narrow types are widened first, float8 of which torch knows no norm."""
    wide = tensor if tensor.dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16) else tensor.float()
    dtype = torch.float64 if wide.dtype == torch.float64 else torch.float32
    norm: Tensor = torch.linalg.vector_norm(wide, dtype=dtype)
    return (norm / math.sqrt(wide.numel())).float()


class PendingRecording:
    """A recording on its way to the host."""

    def __init__(
        self,
        pending: PendingStatistics,
        maps: Mapping[str, tuple[Maps, tuple[int, ...]]],
        grams: Mapping[str, Tensor],
        sizes: Mapping[str, tuple[Tensor, int]],
        attended: Mapping[str, Attention],
    ) -> None:
        self.statistics = pending
        self._maps = maps
        self._grams = grams
        self._sizes = sizes
        self._attention = attended
        parts: Iterable[Sequence[Tensor | Array]] = (
            *(extracted.parts() for extracted, _ in maps.values()),
            *((gram,) for gram in grams.values()),
            *((rms,) for rms, _ in sizes.values()),
            *(each.parts() for each in attended.values()),
        )
        self._transfer = Transfer([tensor for part in parts for tensor in part])

    def to_host(self, merged: HostStatistics | None = None) -> HostRecording:
        """Wait for the copy.

        Args:
            merged: statistics to take the place of this process's own.
        """
        arrays = iter(self._transfer.arrays())

        def host_maps(extracted: Maps, shape: tuple[int, ...]) -> HostMaps:
            return HostMaps(extracted, shape, next(arrays), next(arrays), next(arrays), next(arrays))

        maps = {name: host_maps(*kept) for name, kept in self._maps.items()}
        grams = {name: next(arrays) for name in self._grams}
        sizes = {name: ProbeSize(next(arrays), features) for name, (_, features) in self._sizes.items()}
        attended = {}
        for name, each in self._attention.items():
            found = HostAttention(host_maps(each.maps, each.shape), next(arrays), next(arrays), each.queries)
            if each.proof is None or next(arrays):
                attended[name] = found
        return HostRecording(self.statistics.to_host() if merged is None else merged, maps, grams, sizes, attended)


def _exactly(tensor: Tensor) -> ExitStack:
    """Compute in the dtypes given, whatever autocast the training is in."""
    stack = ExitStack()
    stack.enter_context(torch.no_grad())
    if torch.amp.autocast_mode.is_autocast_available(tensor.device.type):
        stack.enter_context(torch.autocast(tensor.device.type, enabled=False))
    return stack
