"""Triton kernels for maps: averaging down, and turning into bytes. See `maps`."""

from __future__ import annotations

import triton
import triton.language as tl

from actviz_tb.kernels import float64s, key, uint32s

MAP = tl.constexpr(3)
"""Words of a map: total (float64) and number of its finite values, keys of its negated smallest and of its largest pixel."""


@triton.jit
def _of_key(key):
    """Return the value of a `kernels.key`."""
    bits = key.to(tl.int32, bitcast=True)
    return tl.where(bits < 0, bits ^ -2147483648, ~bits).to(tl.float32, bitcast=True)


@triton.jit
def _pooled(x, shown, pixel, channels, kept, height, width, sample_stride, channel_stride, row_stride, column_stride, down, across):
    """Return means of a map's pixels, NaN where not all of a pixel's values are finite, and the total and number of the finite values."""
    rows, columns = tl.cdiv(height, down), tl.cdiv(width, across)
    inside = pixel < rows * columns
    top, left = pixel // columns * down, pixel % columns * across
    start = tl.cast(shown // kept, tl.int64) * sample_stride + tl.cast(shown % kept, tl.int64) * channels // kept * channel_stride
    total = tl.zeros(pixel.shape, tl.float64)
    finite_count = tl.zeros(pixel.shape, tl.int32)
    for y in range(down):
        for column in range(across):
            there = inside & (top + y < height) & (left + column < width)
            offsets = start + tl.cast(top + y, tl.int64) * row_stride + tl.cast(left + column, tl.int64) * column_stride
            value = tl.load(x + offsets, there, other=0.0).to(tl.float32)
            finite = there & (tl.abs(value) < float("inf"))
            total += tl.where(finite, value, 0.0).to(tl.float64)
            finite_count += finite.to(tl.int32)
    size = tl.minimum(down, height - top) * tl.minimum(across, width - left)
    mean = tl.where(inside & (finite_count == size), (total / size).to(tl.float32), float("nan"))
    return mean, tl.sum(total, 0), tl.sum(finite_count, 0)


@triton.jit
def _levels(mean, low, high, LEVELS: tl.constexpr):
    """Return pixels as uint8, LEVELS + 1 for NaN."""
    span = high.to(tl.float64) - low.to(tl.float64)
    level = (mean.to(tl.float64) - low.to(tl.float64)) * (LEVELS / tl.where(span > 0, span, 1.0))
    return tl.where(mean == mean, tl.minimum(tl.floor(level + 0.5), LEVELS), LEVELS + 1).to(tl.uint8)


_SIZES = (
    "channels",
    "kept",
    "height",
    "width",
    "sample_stride",
    "channel_stride",
    "row_stride",
    "column_stride",
    "down",
    "across",
    "count",
)


@triton.jit(do_not_specialize=_SIZES)
def picture(
    x,
    data,
    levels,
    channels,
    kept,
    height,
    width,
    sample_stride,
    channel_stride,
    row_stride,
    column_stride,
    down,
    across,
    count,
    LEVELS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Average maps down and turn them into bytes: `pool` and `quantise` at once, for maps of at most BLOCK pixels. Grid: maps."""
    shown = tl.program_id(0)
    pixel = tl.arange(0, BLOCK)
    mean, total, finite_count = _pooled(
        x, shown, pixel, channels, kept, height, width, sample_stride, channel_stride, row_stride, column_stride, down, across
    )
    known = mean == mean
    low = tl.min(tl.where(known, mean, float("inf")), 0)
    high = tl.max(tl.where(known, mean, float("-inf")), 0)
    some = low <= high
    low, high = tl.where(some, low, 0.0), tl.where(some, high, 0.0)
    size = tl.cdiv(height, down) * tl.cdiv(width, across)
    tl.store(data + tl.cast(shown, tl.int64) * size + pixel, _levels(mean, low, high, LEVELS), pixel < size)
    tl.store(levels + shown, low)
    tl.store(levels + count + shown, high)
    tl.store(levels + 2 * count + shown, (total / finite_count).to(tl.float32))


@triton.jit(do_not_specialize=_SIZES[:-1])
def pool(
    x,
    pixels,
    words,
    channels,
    kept,
    height,
    width,
    sample_stride,
    channel_stride,
    row_stride,
    column_stride,
    down,
    across,
    BLOCK: tl.constexpr,
):
    """Average maps down, and fill their words.

    Args:
        x: [samples, channels, height, width], with any strides.
        pixels: float32 [samples, kept, rows, columns]; NaN where not all of a pixel's values are finite.
        words: int64 [samples, kept, MAP].
        kept: so many channels, evenly spaced, as `maps.evenly`.
        down, across: values a pixel.

    Grid: samples x kept; blocks of pixels.
    """
    shown = tl.program_id(0)
    size = tl.cdiv(height, down) * tl.cdiv(width, across)
    pixel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    mean, total, finite_count = _pooled(
        x, shown, pixel, channels, kept, height, width, sample_stride, channel_stride, row_stride, column_stride, down, across
    )
    tl.store(pixels + tl.cast(shown, tl.int64) * size + pixel, mean, pixel < size)
    low = tl.min(tl.where(mean == mean, mean, float("inf")), 0)
    high = tl.max(tl.where(mean == mean, mean, float("-inf")), 0)
    words += shown * MAP
    tl.atomic_add(float64s(words), total, sem="relaxed")
    tl.atomic_add(words + 1, finite_count.to(tl.int64), sem="relaxed")
    keys = uint32s(words + 2)
    tl.atomic_max(keys, key(-low), low <= high, sem="relaxed")
    tl.atomic_max(keys + 1, key(high), low <= high, sem="relaxed")


@triton.jit(do_not_specialize=["count", "size"])
def quantise(pixels, words, data, levels, count, size, LEVELS: tl.constexpr, BLOCK: tl.constexpr):
    """Turn pixels into bytes.

    Args:
        pixels, words: of `pool`.
        data: uint8 [count, size], LEVELS + 1 where a pixel is not finite.
        levels: float32 [3, count]: low, high, mean.
        count, size: of the maps, and the pixels of each.

    Grid: maps; blocks of pixels.
    """
    shown = tl.program_id(0)
    words += shown * MAP
    keys = uint32s(words + 2)
    largest = tl.load(keys + 1)
    low = tl.where(largest == 0, 0.0, -_of_key(tl.load(keys)))
    high = tl.where(largest == 0, 0.0, _of_key(largest))
    pixel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = pixel < size
    value = tl.load(pixels + tl.cast(shown, tl.int64) * size + pixel, inside, other=0.0)
    tl.store(data + tl.cast(shown, tl.int64) * size + pixel, _levels(value, low, high, LEVELS), inside)
    if tl.program_id(1) == 0:
        mean = tl.load(float64s(words)) / tl.load(words + 1).to(tl.float64)
        tl.store(levels + shown, low)
        tl.store(levels + count + shown, high)
        tl.store(levels + 2 * count + shown, mean.to(tl.float32))
