"""What `statistics` finds of one output, and what becomes of it on the host: plain numbers, also of the parts of a batch together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from actviz_tb import gpu
from actviz_tb.transfer import Array

SIGN = 1024
"""Index of a histogram from which on its codes are of positive values."""
_NONFINITE_CODE = 1020
_ORDER = np.array([*range(_NONFINITE_CODE - 1, 0, -1), 0, *range(SIGN + 1, SIGN + _NONFINITE_CODE)])
"""Codes in the order of the bins: from the largest negative magnitude to the largest positive one."""
_ZERO = _NONFINITE_CODE - 1


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
            counts by sign and magnitude, int64 [2048], see `statistics.histogram`.
        """
        return gpu.unpacked(contents[0], self.channel_count) if len(contents) == 1 else contents


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
    smallest = int(codes[0] + codes[SIGN])
    zeros = smallest if zeros is None else min(zeros, smallest)
    ordered[_ZERO] = zeros
    ordered[_ZERO + 1] += smallest - zeros
    occupied = np.flatnonzero(ordered)
    return (occupied - _ZERO).astype(np.int16), ordered[occupied].astype(np.uint32)
