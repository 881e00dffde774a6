"""Statistics of one activation tensor: pure functions from a tensor to small tensors on the same device.

Nothing here waits for the device, save that on the CPU, where it costs nothing, a finite sum is taken as the proof
that there is neither NaN nor Inf, and the slower masked path is skipped. Compiled code does the same where it is there: `native`
on the CPU, `gpu` on a GPU.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from actviz_tb import gpu, native
from actviz_tb.transfer import Array

NEAR_ZERO = 1e-3
"""A value is near zero when its absolute value is at most this fraction of the layer's RMS."""
SATURATION_MARGIN = 0.01
"""A value is saturated within this fraction of the output range from a bound."""
HISTOGRAM_EXACT_UP_TO = 1 << 20
"""Histograms of larger tensors are of every n-th element, n odd, so that no channel or position is preferred."""
_HISTOGRAM_SAMPLE = 1 << 17
_SIGN = 1024
_CODE_SHIFT = 21
_NONFINITE_CODE = 1020
_ORDER = np.array([*range(_NONFINITE_CODE - 1, 0, -1), 0, *range(_SIGN + 1, _SIGN + _NONFINITE_CODE)])
"""Codes in the order of the bins: from the largest negative magnitude to the largest positive one."""
_ZERO = _NONFINITE_CODE - 1

Bounds = tuple[float | None, float | None]


@dataclass(frozen=True, slots=True)
class ActivationSummary:
    """Statistics of one output.

    C is the number of channels (1 without a channel axis).

    Attributes:
        count: number of elements.
        channel_count: elements a channel, non-finite ones included.
        sampled_every: the histogram is of every n-th element.
        parts: the statistics themselves, on the output's device (arrays where `native` makes them); empty where they are elsewhere.
            `unpacked` says what they are.
    """

    count: int
    channel_count: int
    sampled_every: int
    parts: tuple[Tensor | Array, ...]

    def unpacked(self, contents: Sequence[Array]) -> Sequence[Array]:
        """Return the statistics, given the contents of `parts` on the host; float32 or float64, and int64.

        finite
            finite elements a channel, int64 [C].
        total
            sum of the finite elements a channel [C].
        low, high
            smallest and largest finite element a channel [C]; +Inf and -Inf where there is none.
        zero
            exact zeros a channel, int64 [C].
        moments
            scale, and the sums of z**2, z**3, z**4 with z = (x - mean) / scale over the finite elements [4].
        extra
            near_zero, saturated (-1: not applicable), nan, posinf, neginf, int64 [5].
        histogram
            counts by sign and magnitude, int64 [2048], see `histogram`.
        """
        return gpu.unpacked(contents[0], self.channel_count) if len(contents) == 1 else contents


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
    codes = (flat.view(torch.int32) >> _CODE_SHIFT).add_(_SIGN)
    if codes.device.type == "cpu":
        return torch.bincount(codes, minlength=2 * _SIGN)
    # bincount waits for the device, to learn the largest code.
    counts = torch.zeros(2 * _SIGN, dtype=torch.int64, device=codes.device)
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


@dataclass(frozen=True, slots=True)
class LayerStatistics:
    """Statistics of one output as plain numbers; NaN where there is no finite element.

    Attributes:
        counts: count, zero, near_zero, saturated (-1: not applicable), nan, posinf, neginf, channels, dead_channels.
        moments: mean, std, min, max, rms, kurtosis (of a normal distribution: 3) over the finite elements.
        bins, bin_counts: the histogram's occupied bins, ascending, int16 and uint32: 0 for exact zeros, +m and -m for
            positive and negative magnitude code m.
        channel_mean, channel_max, channel_zero: mean, largest absolute value, fraction of exact zeros, float32 [C].
    """

    counts: dict[str, int]
    moments: dict[str, float]
    bins: npt.NDArray[np.int16]
    bin_counts: npt.NDArray[np.uint32]
    channel_mean: npt.NDArray[np.float32]
    channel_max: npt.NDArray[np.float32]
    channel_zero: npt.NDArray[np.float32]


def finalise(summary: ActivationSummary, arrays: Sequence[npt.NDArray[Any]]) -> LayerStatistics:
    """Turn a summary into numbers, in float64 on the host.

    Args:
        summary: for its counts; its tensors are not touched.
        arrays: of ``summary.unpacked``.
    """
    finite, total, low, high, zero, _, extra, codes = arrays
    near_zero, saturated, nan, posinf, neginf = (int(value) for value in extra)
    zeros = int(zero.sum())
    elements = finite.astype(np.float64)
    if not finite.all():
        elements[elements == 0] = np.nan
    channel_max = np.maximum(-low, high)
    channel_max[np.isnan(elements)] = np.nan
    counts = {
        "count": summary.count,
        "zero": zeros,
        "near_zero": near_zero,
        "saturated": saturated,
        "nan": nan,
        "posinf": posinf,
        "neginf": neginf,
        "channels": len(finite),
        "dead_channels": int((zero == summary.channel_count).sum()),
    }
    bins, bin_counts = _bins(codes, zeros if summary.sampled_every == 1 else None)
    return LayerStatistics(
        counts=counts,
        moments=moments(arrays),
        bins=bins,
        bin_counts=bin_counts,
        channel_mean=(total / elements).astype(np.float32),
        channel_max=channel_max.astype(np.float32, copy=False),
        channel_zero=(zero / summary.channel_count).astype(np.float32),
    )


def moments(arrays: Sequence[npt.NDArray[Any]]) -> dict[str, float]:
    """Return `LayerStatistics.moments` alone, of what `finalise` takes."""
    finite, total, low, high, _, (scale, second, _, fourth), _, _ = arrays
    elements = int(finite.sum())
    if not elements:
        return dict.fromkeys(("mean", "std", "min", "max", "rms", "kurtosis"), math.nan)
    mean = float(total.sum(dtype=np.float64) / elements)
    variance = float(second) / elements
    std = math.sqrt(variance) * float(scale)
    return {
        "mean": mean,
        "std": std,
        "min": float(low.min()),
        "max": float(high.max()),
        "rms": math.hypot(std, mean),
        "kurtosis": float(fourth) / elements / variance**2 if variance > 0 else math.nan,
    }


def combine(parts: Sequence[tuple[ActivationSummary, Sequence[npt.NDArray[Any]]]]) -> tuple[ActivationSummary, list[npt.NDArray[Any]]]:
    """Bring together summaries of parts of one batch, as `finalise` takes them.

    All is as if the parts had been summarised at once (moments by Pebay 2008, equations 3.1, in float64), save that an element is near zero
    in relation to the RMS of its own part.

    Args:
        parts: summaries, with what they unpacked. Parts with different numbers of channels make one of a single channel.
    """
    channels = {len(arrays[0]) for _, arrays in parts}
    columns = list(zip(*(arrays if len(channels) == 1 else _one_channel(arrays) for _, arrays in parts), strict=True))
    finite, total, low, high, zero, _, extra, codes = columns
    strides = [summary.sampled_every for summary, _ in parts]
    every = max(strides)
    whole = replace(
        parts[0][0],
        count=sum(summary.count for summary, _ in parts),
        channel_count=sum(summary.count for summary, _ in parts) // len(finite[0]),
        sampled_every=every,
    )
    nonzero = [arrays for _, arrays in parts if arrays[0].sum()]
    moments = _combined_moments(nonzero) if nonzero else np.array([1.0, 0.0, 0.0, 0.0])
    return whole, [
        np.sum(finite, 0),
        np.sum(total, 0, dtype=np.float64),
        np.min(low, 0),
        np.max(high, 0),
        np.sum(zero, 0),
        moments,
        np.where(np.min(extra, 0) < 0, -1, np.sum(extra, 0)),
        _resampled(sum(part * stride for part, stride in zip(codes, strides, strict=True)), every),
    ]


def _resampled(codes: npt.NDArray[np.int64], every: int) -> npt.NDArray[np.int64]:
    """Return a histogram as that of every n-th element. What is left over in a bin goes to the next, so that none is lost by rounding."""
    return np.diff((np.cumsum(codes) + every // 2) // every, prepend=0)


def _one_channel(arrays: Sequence[npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
    finite, total, low, high, zero, *others = arrays
    return [
        finite.sum(keepdims=True),
        total.sum(keepdims=True),
        low.min(keepdims=True),
        high.max(keepdims=True),
        zero.sum(keepdims=True),
        *others,
    ]


def _combined_moments(parts: Sequence[Sequence[npt.NDArray[Any]]]) -> npt.NDArray[np.float64]:
    n, mean, second, third, fourth = 0.0, 0.0, 0.0, 0.0, 0.0
    for finite, total, _, _, _, moments, _, _ in parts:
        scale, *sums = (float(value) for value in moments)
        count = float(finite.sum())
        part_2, part_3, part_4 = (value * scale**power for power, value in enumerate(sums, 2))
        delta = float(total.sum(dtype=np.float64)) / count - mean
        before, n = n, n + count
        step = delta / n
        fourth += part_4 + delta * step**3 * before * count * (before**2 - before * count + count**2)
        fourth += 6 * step**2 * (before**2 * part_2 + count**2 * second) + 4 * step * (before * part_3 - count * third)
        third += part_3 + delta * step**2 * before * count * (before - count) + 3 * step * (before * part_2 - count * second)
        second += part_2 + delta * step * before * count
        mean += step * count
    return np.array([1.0, second, third, fourth])


def _bins(codes: npt.NDArray[np.int64], zeros: int | None) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.uint32]]:
    ordered = codes[_ORDER]
    # Magnitude code 0 is zero and the subnormals below 2**-128, which go to the bin above it.
    smallest = int(codes[0] + codes[_SIGN])
    zeros = smallest if zeros is None else min(zeros, smallest)
    ordered[_ZERO] = zeros
    ordered[_ZERO + 1] += smallest - zeros
    occupied = np.flatnonzero(ordered)
    return (occupied - _ZERO).astype(np.int16), ordered[occupied].astype(np.uint32)
