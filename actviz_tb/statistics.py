"""Statistics of one activation tensor: pure functions from a tensor to small tensors on the same device.

Nothing here waits for the device, save that on the CPU, where it costs nothing, a finite sum is taken as the proof
that there is neither NaN nor Inf, and the slower masked path is skipped. Compiled code does the same where it is there: `native`
on the CPU, `gpu` on a GPU.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from actviz_tb import gpu, native
from actviz_tb.summary import SIGN, ActivationSummary

NEAR_ZERO = 1e-3
"""A value is near zero when its absolute value is at most this fraction of the layer's RMS."""
SATURATION_MARGIN = 0.01
"""A value is saturated within this fraction of the output range from a bound."""
HISTOGRAM_EXACT_UP_TO = 1 << 20
"""Histograms of larger tensors are of every n-th element, n odd, so that no channel or position is preferred."""
_HISTOGRAM_SAMPLE = 1 << 17
_CODE_SHIFT = 21

Bounds = tuple[float | None, float | None]


class Scratch:
    """Float32 work buffers on each device, grown as needed, so that a logged step allocates no large memory."""

    def __init__(self) -> None:
        self._buffers: dict[tuple[torch.device, int], Tensor] = {}

    def like(self, tensor: Tensor, number: int = 0) -> Tensor:
        """Return a buffer of the tensor's shape; see `shaped`."""
        return self.shaped(tensor.shape, tensor.device, number)

    def shaped(self, shape: Sequence[int], device: torch.device, number: int = 0) -> Tensor:
        """Return a buffer; its contents last until the next call with that device and number."""
        count = math.prod(shape)
        buffer = self._buffers.get((device, number))
        if buffer is None or buffer.numel() < count:
            buffer = torch.empty(count, dtype=torch.float32, device=device)
            self._buffers[device, number] = buffer
        return buffer[:count].view(shape)


_SATURATING: Mapping[type[nn.Module], Bounds] = {
    nn.Sigmoid: (0.0, 1.0),
    nn.Hardsigmoid: (0.0, 1.0),
    nn.Tanh: (-1.0, 1.0),
    nn.Softsign: (-1.0, 1.0),
    nn.ReLU6: (None, 6.0),
}


def saturation_bounds(module: nn.Module | None) -> Bounds | None:
    """Return the bounds at which the module's output saturates, or None when it does not."""
    if isinstance(module, nn.Hardtanh) and not isinstance(module, nn.ReLU6):
        return (float(module.min_val), float(module.max_val))
    return _SATURATING.get(type(module)) if module is not None else None


def summarise(activation: Tensor, channel_axis: int | None, bounds: Bounds | None, scratch: Scratch) -> ActivationSummary:
    """Return the statistics of a floating point tensor with at least one element.

    Half types are widened before anything is added up: fp16 overflows at 65504.

    Args:
        activation: any shape; detached.
        channel_axis: the axis of the channels, None for a single channel.
        bounds: of `saturation_bounds`.
        scratch: work buffers, shared between the layers of a step.
    """
    x = activation
    if x.ndim == 0:
        x = x.reshape(1)
        channel_axis = None
    if channel_axis == 1 and x.ndim > 2 and not x.is_contiguous():  # in the order of memory, where that is channels_last
        x, channel_axis = x.movedim(1, -1), -1
    if gpu.available(x):
        return _summarise_on_gpu(x, channel_axis, bounds)
    x = x if x.dtype == torch.float32 else x.float()
    if x.device.type == "cpu" and native.available():
        return _summarise_native(x, channel_axis, bounds, scratch)
    channels = x.shape[channel_axis] if channel_axis is not None else 1
    reduced = [axis for axis in range(x.ndim) if channel_axis is None or axis != channel_axis % x.ndim]
    work = scratch.like(x)

    def by_channel(values: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        return values.sum(dim=reduced, dtype=dtype).reshape(channels) if reduced else values.reshape(channels).clone()

    count = x.numel()
    # A sum of ones in float32 is exact up to 2**24; float64 costs three times as much.
    ones = torch.float32 if count < 1 << 24 or x.device.type == "mps" else torch.float64
    total = by_channel(x)
    clean = x.device.type == "cpu" and math.isfinite(total.sum().item())
    if clean:
        values = x
        low, high = _extremes(x, x, reduced, channels)
        finite = torch.full((channels,), count // channels, dtype=torch.int64, device=x.device)
        nonfinite = torch.zeros(3, dtype=torch.int64, device=x.device)
    else:
        mask = torch.isfinite(x)
        values = x.masked_fill(~mask, 0.0)
        low, high = _extremes(x.masked_fill(~mask, torch.inf), x.masked_fill(~mask, -torch.inf), reduced, channels)
        finite = by_channel(mask)
        total = by_channel(values if x.device.type == "mps" else values.double())
        nonfinite = torch.stack([torch.isnan(x).sum(), (x == torch.inf).sum(), (x == -torch.inf).sum()])
    elements = finite.sum()
    mean = (total.sum() / elements).to(torch.float32)
    zero = by_channel(torch.eq(x, 0, out=work), ones).to(torch.int64)

    # Scaled by the largest value, so that neither square nor fourth power leaves the range of float32.
    scale = torch.maximum(low.amin().abs(), high.amax().abs())
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    torch.sub(values, mean, out=work).div_(scale)
    if not clean:
        work.mul_(mask)
    squares = torch.mul(work, work, out=scratch.like(x, 1))
    second = squares.sum()
    third = work.mul_(squares).sum()
    fourth = squares.mul_(squares).sum()
    rms = torch.sqrt(second / elements + (mean / scale) ** 2) * scale
    near_zero = torch.le(torch.abs(values, out=work), NEAR_ZERO * rms, out=work).sum(dtype=ones).to(torch.int64)
    if not clean:
        near_zero = (near_zero - nonfinite.sum()).clamp_(min=0)
    return ActivationSummary(
        count=count,
        channel_count=count // channels,
        sampled_every=histogram_stride(count),
        parts=(
            finite,
            total,
            low,
            high,
            zero,
            torch.stack([scale, second, third, fourth]),
            torch.cat([torch.stack([near_zero, _saturated(x, bounds, work)]), nonfinite]),
            histogram(x),
        ),
    )


def _summarise_native(x: Tensor, channel_axis: int | None, bounds: Bounds | None, scratch: Scratch) -> ActivationSummary:
    if not x.is_contiguous():
        x = scratch.like(x).copy_(x)
    shape, stride = _in_memory(x, channel_axis), histogram_stride(x.numel())
    found = native.summarise(x, shape, stride, NEAR_ZERO, (None, None) if bounds is None else _thresholds(bounds))
    return ActivationSummary(x.numel(), x.numel() // shape[1], stride, tuple(found))


def _summarise_on_gpu(x: Tensor, channel_axis: int | None, bounds: Bounds | None) -> ActivationSummary:
    x = gpu.readable(x).contiguous()
    shape, stride = _in_memory(x, channel_axis), histogram_stride(x.numel())
    found = gpu.summarise(x, shape, stride, NEAR_ZERO, None if bounds is None else _thresholds(bounds))
    return ActivationSummary(x.numel(), x.numel() // shape[1], stride, (found,))


def _in_memory(x: Tensor, channel_axis: int | None) -> tuple[int, int, int]:
    """Return the sizes of what lies outside a channel, of the channels, and of what lies inside one."""
    if channel_axis is None:
        return 1, 1, x.numel()
    sizes, axis = x.shape, channel_axis % x.ndim
    return math.prod(sizes[:axis]), sizes[axis], math.prod(sizes[axis + 1 :])


def histogram_stride(count: int) -> int:
    """Return n such that the histogram of `count` elements is of every n-th: 1, or odd and coprime to powers of two."""
    if count <= HISTOGRAM_EXACT_UP_TO:
        return 1
    return (count // _HISTOGRAM_SAMPLE) | 1


def histogram(x: Tensor) -> Tensor:
    """Return int64 [2048]: how many elements have each upper 11 bits (sign, exponent, two bits of mantissa) as float32.

    Index m counts negative, index 1024 + m positive elements with magnitude code m, a quarter of an octave each.
    """
    flat = x.reshape(-1)[:: histogram_stride(x.numel())].contiguous()
    codes = (flat.view(torch.int32) >> _CODE_SHIFT).add_(SIGN)
    if codes.device.type == "cpu":
        return torch.bincount(codes, minlength=2 * SIGN)
    # bincount waits for the device, to learn the largest code.
    counts = torch.zeros(2 * SIGN, dtype=torch.int64, device=codes.device)
    return counts.scatter_add_(0, codes.long(), torch.ones_like(codes, dtype=torch.int64))


def _extremes(low: Tensor, high: Tensor, reduced: list[int], channels: int) -> tuple[Tensor, Tensor]:
    if not reduced:
        return low.reshape(channels).clone(), high.reshape(channels).clone()
    return low.amin(dim=reduced).reshape(channels), high.amax(dim=reduced).reshape(channels)


def _saturated(x: Tensor, bounds: Bounds | None, work: Tensor) -> Tensor:
    if bounds is None:
        return torch.full((), -1, dtype=torch.int64, device=x.device)
    low, high = _thresholds(bounds)
    count = torch.zeros((), dtype=torch.int64, device=x.device)
    if low is not None:
        count = count + torch.le(x, low, out=work).sum().to(torch.int64)
    if high is not None:
        count = count + torch.ge(x, high, out=work).sum().to(torch.int64)
    return count


def _thresholds(bounds: Bounds) -> Bounds:
    """Return up to where, and from where on, values are saturated."""
    low, high = bounds
    margin = SATURATION_MARGIN * ((high or 0.0) - (low or 0.0))
    return (None if low is None else low + margin, None if high is None else high - margin)
