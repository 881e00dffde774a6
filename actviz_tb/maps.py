"""From an activation tensor to small 2-D maps, quantised to uint8, on the tensor's own device (arrays where `native` makes them).

========================  ==============  ====================================================
output                    layout          maps
========================  ==============  ====================================================
(N, C, H, W)              ``channels``    C maps of H x W (of (N, H, W, C): the same)
(N, C, D, H, W)           ``channels``    C maps of H x W at the middle depth; and at others, see `other_depths`
(N, T, D) or (N, C, L)    ``sequence``    one map T x D, or C x L
(N, D)                    ``vector``      D values, folded near-square for display
========================  ==============  ====================================================
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from actviz_tb import gpu, native
from actviz_tb.transfer import Array

LEVELS = 254
NONFINITE = 255
MAX_DEPTHS = 8
"""Of a volume the maps of so many slices are kept, evenly spaced, besides those of the middle one."""
MAX_UNITS = 4096
"""A vector keeps at most so many of its values, evenly spaced."""
_VECTOR_VALUES = 16384

_CHANNELS_LAST = (nn.Linear, nn.LayerNorm, nn.Embedding)
_CHANNELS_FIRST_1D = (
    nn.Conv1d,
    nn.ConvTranspose1d,
    nn.BatchNorm1d,
    nn.InstanceNorm1d,
    nn.GroupNorm,
    nn.MaxPool1d,
    nn.AvgPool1d,
    nn.AdaptiveAvgPool1d,
    nn.AdaptiveMaxPool1d,
)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much the maps keep.

    Attributes:
        samples: inputs.
        channels: channels a layer, chosen evenly once, so that a channel keeps its identity.
        size: pixels a side of a channel's map; a sequence's map has at most twice as many.
    """

    samples: int
    channels: int
    size: int


@dataclass(frozen=True, slots=True)
class Maps:
    """Quantised maps of one output: value = low + data * (high - low) / LEVELS; data == NONFINITE is NaN or infinite.

    Attributes:
        layout: ``channels``, ``sequence`` or ``vector``.
        data: uint8 [S, C, h, w].
        low, high: float32 [S, C], of a map's pixels that are finite; 0 where none is.
        mean: float32 [S, C], of the finite values of the whole map; NaN where there is none.
        channels: indices of the C kept channels; ``(0,)`` for a sequence or a vector.
        units: indices of the kept values of a vector, else None.
        pool: (ph, pw): a pixel is the mean of so many values.
    """

    layout: str
    data: Tensor | Array
    low: Tensor | Array
    high: Tensor | Array
    mean: Tensor | Array
    channels: tuple[int, ...]
    units: tuple[int, ...] | None
    pool: tuple[int, int]

    def parts(self) -> tuple[Tensor | Array, ...]:
        return (self.data, self.low, self.high, self.mean)


def layout(shape: torch.Size, module: nn.Module | None = None) -> tuple[str | None, int | None]:
    """Return (layout, channel axis) of an output of that shape; a layout of None means that it has no maps."""
    last = len(shape) - 1
    match len(shape):
        case 0:
            return None, None
        case 1:
            return "vector", None
        case 2:
            return "vector", 1
        case 3:
            return "sequence", 1 if isinstance(module, _CHANNELS_FIRST_1D) else last
        case 4 | 5:
            return "channels", last if isinstance(module, _CHANNELS_LAST) else 1
        case _:
            return None, last


def other_depths(shape: torch.Size, layout: str | None, channel_axis: int | None) -> tuple[int, ...]:
    """Return the slices of a volume whose maps are kept besides those of the middle one; none of what is no volume."""
    if layout != "channels" or len(shape) != 5:
        return ()
    depth = shape[2 if channel_axis == 1 else 1]
    return tuple(each for each in evenly(depth, MAX_DEPTHS) if each != depth // 2)


def evenly(count: int, keep: int) -> tuple[int, ...]:
    """Return at most `keep` indices below `count`, evenly spaced, the first one included."""
    if count <= keep:
        return tuple(range(count))
    return tuple(index * count // keep for index in range(keep))


def thinned(x: Tensor, axis: int, keep: int) -> Tensor:
    """Return what lies at the indices `evenly` along an axis.

    The indices are made on the device; ones from a list would have to be copied there, for which torch waits.
    """
    count = x.shape[axis]
    if count <= keep:
        return x
    return x.index_select(axis, torch.arange(keep, device=x.device) * count // keep)


def extract(activation: Tensor, layout: str, channel_axis: int | None, limits: Limits, depth: int | None = None) -> Maps | None:
    """Return the maps of the first samples of a floating point output, or None where it has no element to show.

    Args:
        activation: first axis: samples; detached.
        layout, channel_axis: of `layout`.
        depth: of a volume's slice; None: the middle one.
    """
    if activation.numel() == 0:
        return None
    if layout == "vector":
        return _vector(activation, limits)
    x = activation[: limits.samples]
    if layout == "sequence":
        return _quantise(x[:, None], layout, (0,), 2 * limits.size)
    if channel_axis == x.ndim - 1:
        x = x.movedim(-1, 1)
    if x.ndim == 5:
        x = x[:, :, x.shape[2] // 2 if depth is None else depth]
    return _quantise(x, layout, evenly(x.shape[1], limits.channels), limits.size)


def _vector(activation: Tensor, limits: Limits) -> Maps:
    x = activation.reshape(len(activation), -1)
    units = evenly(x.shape[1], MAX_UNITS)
    samples = max(limits.samples, min(64, _VECTOR_VALUES // len(units)))
    x = thinned(x[:samples], 1, MAX_UNITS)
    return _quantise(x[:, None, None, :], "vector", (0,), None, units)


def _quantise(x: Tensor, layout: str, channels: tuple[int, ...], size: int | None, units: tuple[int, ...] | None = None) -> Maps:
    height, width = x.shape[2:]
    pool = (1, 1) if size is None else (-(-height // size), -(-width // size))
    if gpu.available(x):
        return Maps(layout, *gpu.maps(gpu.readable(x), len(channels), pool), channels, units, pool)
    if x.device.type == "cpu" and native.available():
        return Maps(layout, *native.maps(x.float(), len(channels), pool), channels, units, pool)
    x = thinned(x, 1, len(channels)).float()
    # On the CPU a finite sum costs nothing to ask for, and proves that no value has to be masked.
    clean = x.device.type == "cpu" and math.isfinite(x.sum().item())
    if x.device.type == "cpu" and not clean:
        x = x.double()  # only a sum of large values may be infinite
    mean = x.mean(dim=(2, 3)) if clean else _finite_mean(x)
    if pool != (1, 1):
        # The last row and column are means of what is left there.
        x = torch.nn.functional.avg_pool2d(x, pool, ceil_mode=True)
    if clean:
        low, high = x.amin(dim=(2, 3)), x.amax(dim=(2, 3))
        data = _levels(x, low, high).to(torch.uint8)
    else:
        mask = torch.isfinite(x)
        low = torch.where(mask, x, torch.inf).amin(dim=(2, 3))
        high = torch.where(mask, x, -torch.inf).amax(dim=(2, 3))
        empty = low > high
        low, high, mean = low.masked_fill(empty, 0).float(), high.masked_fill(empty, 0).float(), mean.float()
        data = torch.where(mask, _levels(x.masked_fill(~mask, 0), low, high), NONFINITE).to(torch.uint8)
    return Maps(layout, data, low, high, mean, channels, units, pool)


def _finite_mean(x: Tensor) -> Tensor:
    mask = torch.isfinite(x)
    return x.masked_fill(~mask, 0).sum(dim=(2, 3)) / mask.sum(dim=(2, 3))


def _levels(x: Tensor, low: Tensor, high: Tensor) -> Tensor:
    span = high - low
    factor = torch.where(span > 0, LEVELS / span, 0)
    return (x - low[..., None, None]).mul_(factor[..., None, None]).round_().clamp_(0, LEVELS)
