"""Triton kernels that read a tensor once: what `gpu` launches. Values are counted and compared as float32.

Results are 64-bit words that begin as zeros, to which the programs of a kernel add (atomically, so the order of float64 sums is not fixed).
Each loop is first run in its short form, whose sums tell whether all was finite and in range; only where it was not does a program read
its share again with care.
"""

from __future__ import annotations

import triton
import triton.language as tl

STAGES = tl.constexpr(3)
"""Loads of a loop that are under way at once."""
WHOLE = tl.constexpr(16)
"""Words of the whole tensor: total, squares (float64), largest magnitude (as float32 bits), not finite, sums of z**2, z**3, z**4 (float64),
near zero, saturated (-1: not asked for), NaN, +Inf, -Inf (int64)."""
CODES = tl.constexpr(2048)
MAP = tl.constexpr(3)
"""Words of a map: total (float64) and number of its finite values, keys of its negated smallest and of its largest pixel."""
_LARGE = tl.constexpr(2.0**50)
_SMALL = tl.constexpr(2.0**-50)
_SHIFT = tl.constexpr(2.0**80)
"""Squares of what is beyond these limits are taken of shifted values, as in Blue 1978."""


@triton.jit
def _key(value):
    """Return uint32 in the order of float32 values, none of them 0."""
    bits = value.to(tl.int32, bitcast=True)
    return (bits ^ ((bits >> 31) | -2147483648)).to(tl.uint32, bitcast=True)


@triton.jit
def _of_key(key):
    """Return the value of a `_key`."""
    bits = key.to(tl.int32, bitcast=True)
    return tl.where(bits < 0, bits ^ -2147483648, ~bits).to(tl.float32, bitcast=True)


@triton.jit
def _word(words, index, dtype: tl.constexpr):
    return (words + index).to(tl.pointer_type(dtype))


@triton.jit
def _square(value):
    """Return squares of values in three ranges, shifted so that their float32 sums do not leave the range of that type."""
    size = tl.abs(value)
    large, small = size > _LARGE, size < _SMALL
    return (
        tl.where(large, (value * (1 / _SHIFT)) * (value * (1 / _SHIFT)), 0.0),
        tl.where(large | small, 0.0, value * value),
        tl.where(small, (value * _SHIFT) * (value * _SHIFT), 0.0),
    )


@triton.jit
def _squares(large, middle, small):
    """Return the float64 sum of what `_square` returned, added up."""
    whole = tl.sum(tl.sum(middle, 0), 0).to(tl.float64)
    whole += tl.sum(tl.sum(large, 0), 0).to(tl.float64) * _SHIFT * _SHIFT
    return whole + tl.sum(tl.sum(small, 0), 0).to(tl.float64) / _SHIFT / _SHIFT


@triton.jit
def _tile(x, tile, group, outer, channels, inner, ROWS: tl.constexpr, COLUMNS: tl.constexpr, LAST: tl.constexpr):
    """Load float32 [ROWS, COLUMNS], NaN outside the tensor, and whether each is inside.

    LAST: columns are channels of the group-th block, rows all else; otherwise columns are the inner axis, rows the outer, of one channel.
    """
    if LAST:
        rows = tile * ROWS + tl.arange(0, ROWS)[:, None]
        columns = group * COLUMNS + tl.arange(0, COLUMNS)[None, :]
        inside = (rows < outer) & (columns < channels)
        offsets = rows * channels + columns
    else:
        across = tl.cdiv(inner, COLUMNS)
        rows = tile // across * ROWS + tl.arange(0, ROWS)[:, None]
        columns = tile % across * COLUMNS + tl.arange(0, COLUMNS)[None, :]
        inside = (rows < outer) & (columns < inner)
        offsets = (rows * channels + group) * inner + columns
    return tl.load(x + offsets, inside, other=float("nan")).to(tl.float32), inside


@triton.jit
def _histogram(x, words, block, count, stride, BLOCK: tl.constexpr):
    """Count the codes (see `statistics.histogram`) of a block of every stride-th element."""
    offsets = (block.to(tl.int64) * BLOCK + tl.arange(0, BLOCK)) * stride
    inside = offsets < count
    bits = tl.load(x + offsets, inside, other=0.0).to(tl.float32).to(tl.int32, bitcast=True)
    codes = tl.where(inside, (bits >> 21) + CODES // 2, CODES // 2 - 1)  # what is outside goes to a code of NaN, which nobody reads
    found = tl.histogram(codes, CODES)
    counts = (words + WHOLE).to(tl.pointer_type(tl.int32)) + tl.arange(0, CODES)
    tl.atomic_add(counts, found.to(tl.int32), found > 0, sem="relaxed")


@triton.jit(do_not_specialize=["outer", "groups", "count", "stride", "histograms"])
def by_channel(
    x,
    words,
    outer,
    channels,
    inner,
    groups,
    count,
    stride,
    histograms,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    LAST: tl.constexpr,
):
    """Fill the histogram, the words of the channels, and of the whole those up to the number that is not finite.

    Args:
        x: in memory [outer, channels, inner], count elements; LAST: inner is 1.
        words: int64 [WHOLE + CODES / 2 + 4 * channels]: of the channels totals (float64), zeros, not finite, keys of the negated smallest
            and of the largest value (2 x uint32), each [channels].
        groups: blocks of COLUMNS channels (LAST), or channels.
        stride: the histogram is of every so manyth element.
        histograms: so many programs, the first ones, make it, of ROWS * COLUMNS elements each.

    Grid: histograms + groups x parts of the rest.
    """
    program = tl.program_id(0)
    if program < histograms:
        _histogram(x, words, program, count, stride, ROWS * COLUMNS)
    else:
        _channels(x, words, program - histograms, tl.num_programs(0) - histograms, outer, channels, inner, groups, ROWS, COLUMNS, LAST)


@triton.jit
def _channels(
    x,
    words,
    program,
    programs,
    outer,
    channels,
    inner,
    groups,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    LAST: tl.constexpr,
):
    group, part, parts = (program % groups).to(tl.int64), (program // groups).to(tl.int64), (programs // groups).to(tl.int64)
    tiles = tl.cdiv(outer, ROWS).to(tl.int64)
    if not LAST:
        tiles *= tl.cdiv(inner, COLUMNS)
    total = tl.zeros([ROWS, COLUMNS], tl.float32)
    squares = tl.zeros([ROWS, COLUMNS], tl.float32)
    low = tl.full([ROWS, COLUMNS], float("inf"), tl.float32)
    high = tl.full([ROWS, COLUMNS], float("-inf"), tl.float32)
    zero = tl.zeros([ROWS, COLUMNS], tl.int32)
    odd = tl.zeros([ROWS, COLUMNS], tl.int32)
    for tile in tl.range(part, tiles, parts, num_stages=STAGES):
        value, inside = _tile(x, tile, group, outer, channels, inner, ROWS, COLUMNS, LAST)
        known = tl.where(inside, value, 0.0)
        total += known
        squares += known * known
        low = tl.minimum(low, value)
        high = tl.maximum(high, value)
        zero += (value == 0).to(tl.int32)
    proof = tl.sum(tl.sum(total, 0), 0) + tl.sum(tl.sum(squares, 0), 0)
    size = tl.maximum(tl.max(tl.max(high, 0), 0), -tl.min(tl.min(low, 0), 0))
    whole_squares = tl.sum(tl.sum(squares, 0), 0).to(tl.float64)
    if (proof != proof) | (tl.abs(proof) == float("inf")) | ((size > 0) & (size < _SMALL)):
        total = tl.zeros([ROWS, COLUMNS], tl.float32)
        low = tl.full([ROWS, COLUMNS], float("inf"), tl.float32)
        high = tl.full([ROWS, COLUMNS], float("-inf"), tl.float32)
        large = tl.zeros([ROWS, COLUMNS], tl.float32)
        middle = tl.zeros([ROWS, COLUMNS], tl.float32)
        small = tl.zeros([ROWS, COLUMNS], tl.float32)
        for tile in range(part, tiles, parts):
            value, inside = _tile(x, tile, group, outer, channels, inner, ROWS, COLUMNS, LAST)
            finite = tl.abs(value) < float("inf")
            known = tl.where(finite, value, 0.0)
            total += known
            low = tl.minimum(low, tl.where(finite, value, float("inf")))
            high = tl.maximum(high, tl.where(finite, value, float("-inf")))
            odd += (inside & ~finite).to(tl.int32)
            squared = _square(known)
            large += squared[0]
            middle += squared[1]
            small += squared[2]
        whole_squares = _squares(large, middle, small)
        size = tl.maximum(tl.max(tl.max(high, 0), 0), -tl.min(tl.min(low, 0), 0))
    channel = words + WHOLE + CODES // 2
    if LAST:
        columns = group * COLUMNS + tl.arange(0, COLUMNS)
        there = columns < channels
        totals = tl.sum(total.to(tl.float64), 0)
        zeros = tl.sum(zero, 0).to(tl.int64)
        odds = tl.sum(odd, 0).to(tl.int64)
        lows, highs = tl.min(low, 0), tl.max(high, 0)
        whole_total, whole_odd = tl.sum(totals, 0), tl.sum(odds, 0)
        tl.atomic_add(_word(channel, columns, tl.float64), totals, there, sem="relaxed")
        tl.atomic_add(channel + channels + columns, zeros, there & (zeros > 0), sem="relaxed")
        tl.atomic_add(channel + 2 * channels + columns, odds, there & (odds > 0), sem="relaxed")
        keys = (channel + 3 * channels).to(tl.pointer_type(tl.uint32)) + columns
        tl.atomic_max(keys, _key(-lows), there & (lows <= highs), sem="relaxed")
        tl.atomic_max(keys + channels, _key(highs), there & (lows <= highs), sem="relaxed")
    else:
        whole_total = tl.sum(tl.sum(total.to(tl.float64), 0), 0)
        zeros = tl.sum(tl.sum(zero, 0), 0).to(tl.int64)
        whole_odd = tl.sum(tl.sum(odd, 0), 0).to(tl.int64)
        lows, highs = tl.min(tl.min(low, 0), 0), tl.max(tl.max(high, 0), 0)
        tl.atomic_add(_word(channel, group, tl.float64), whole_total, sem="relaxed")
        tl.atomic_add(channel + channels + group, zeros, zeros > 0, sem="relaxed")
        tl.atomic_add(channel + 2 * channels + group, whole_odd, whole_odd > 0, sem="relaxed")
        keys = (channel + 3 * channels).to(tl.pointer_type(tl.uint32)) + group
        tl.atomic_max(keys, _key(-lows), lows <= highs, sem="relaxed")
        tl.atomic_max(keys + channels, _key(highs), lows <= highs, sem="relaxed")
    tl.atomic_add(_word(words, 0, tl.float64), whole_total, sem="relaxed")
    tl.atomic_add(_word(words, 1, tl.float64), whole_squares, sem="relaxed")
    tl.atomic_max(_word(words, 2, tl.int32), size.to(tl.int32, bitcast=True), size > 0, sem="relaxed")
    tl.atomic_add(words + 3, whole_odd, whole_odd > 0, sem="relaxed")


@triton.jit(do_not_specialize=["near_zero", "low", "high"])
def of_whole(x, words, count, near_zero, low, high, BLOCK: tl.constexpr, BOUNDED: tl.constexpr):
    """Fill the words of the whole that `by_channel`, which has run, left.

    Args:
        x: [count], in any order.
        near_zero: fraction of the RMS.
        low, high: values up to the first, and from the second on, are saturated, where BOUNDED.
    """
    odd = tl.load(words + 3)
    elements = (count - odd).to(tl.float64)
    mean = (tl.load(_word(words, 0, tl.float64)) / elements).to(tl.float32)
    limit = near_zero * tl.sqrt(tl.load(_word(words, 1, tl.float64)) / elements).to(tl.float32)
    scale = tl.load(_word(words, 2, tl.float32))
    scale = tl.where(scale > 0, scale, 1.0)
    inverse = 1 / scale
    # Beyond these limits the inverse, or the difference from the mean, might leave the range of float32.
    careful = (odd > 0) | (scale > 1e37) | (scale < 1e-37)
    second = tl.zeros([BLOCK], tl.float32)
    third = tl.zeros([BLOCK], tl.float32)
    fourth = tl.zeros([BLOCK], tl.float32)
    near = tl.zeros([BLOCK], tl.int32)
    saturated = tl.zeros([BLOCK], tl.int32)
    nan, positive, negative = tl.cast(0, tl.int64), tl.cast(0, tl.int64), tl.cast(0, tl.int64)
    first, blocks, programs = tl.program_id(0).to(tl.int64), tl.cdiv(count, BLOCK).to(tl.int64), tl.num_programs(0).to(tl.int64)
    for block in tl.range(first, blocks, programs, num_stages=STAGES):
        offsets = block * BLOCK + tl.arange(0, BLOCK)
        inside = offsets < count
        value = tl.load(x + offsets, inside, other=float("nan")).to(tl.float32)
        z = (value - mean) * inverse
        if careful:
            finite = tl.abs(value) < float("inf")
            z = tl.where(finite, value / scale - mean / scale, 0.0)
            nan += tl.sum((inside & (value != value)).to(tl.int32), 0)
            positive += tl.sum((value == float("inf")).to(tl.int32), 0)
            negative += tl.sum((value == float("-inf")).to(tl.int32), 0)
        z = tl.where(inside, z, 0.0)
        square = z * z
        second += square
        third += square * z
        fourth += square * square
        near += (tl.abs(value) <= limit).to(tl.int32)
        if BOUNDED:
            saturated += ((value <= low) | (value >= high)).to(tl.int32)
    tl.atomic_add(_word(words, 4, tl.float64), tl.sum(second.to(tl.float64), 0), sem="relaxed")
    tl.atomic_add(_word(words, 5, tl.float64), tl.sum(third.to(tl.float64), 0), sem="relaxed")
    tl.atomic_add(_word(words, 6, tl.float64), tl.sum(fourth.to(tl.float64), 0), sem="relaxed")
    tl.atomic_add(words + 7, tl.sum(near, 0).to(tl.int64), sem="relaxed")
    if BOUNDED:
        tl.atomic_add(words + 8, tl.sum(saturated, 0).to(tl.int64), sem="relaxed")
    elif first == 0:
        tl.store(words + 8, -1)
    if careful:
        tl.atomic_add(words + 9, nan, sem="relaxed")
        tl.atomic_add(words + 10, positive, sem="relaxed")
        tl.atomic_add(words + 11, negative, sem="relaxed")


@triton.jit
def glance(x, words, count, BLOCK: tl.constexpr):
    """Take a glance at x [count].

    Its words: squares (float64), keys of the negated smallest and of the largest value (2 x uint32), NaN, +Inf, -Inf.
    """
    first, blocks, programs = tl.program_id(0).to(tl.int64), tl.cdiv(count, BLOCK).to(tl.int64), tl.num_programs(0).to(tl.int64)
    squares = tl.zeros([BLOCK], tl.float32)
    low = tl.full([BLOCK], float("inf"), tl.float32)
    high = tl.full([BLOCK], float("-inf"), tl.float32)
    for block in tl.range(first, blocks, programs, num_stages=STAGES):
        offsets = block * BLOCK + tl.arange(0, BLOCK)
        inside = offsets < count
        value = tl.load(x + offsets, inside, other=float("nan")).to(tl.float32)
        known = tl.where(inside, value, 0.0)
        squares += known * known
        low = tl.minimum(low, value)
        high = tl.maximum(high, value)
    size = tl.maximum(tl.max(high, 0), -tl.min(low, 0))
    whole = tl.sum(squares, 0).to(tl.float64)
    if (whole != whole) | (whole == float("inf")) | ((size > 0) & (size < _SMALL)):
        low = tl.full([BLOCK], float("inf"), tl.float32)
        high = tl.full([BLOCK], float("-inf"), tl.float32)
        large = tl.zeros([1, BLOCK], tl.float32)
        middle = tl.zeros([1, BLOCK], tl.float32)
        small = tl.zeros([1, BLOCK], tl.float32)
        nan, positive, negative = tl.cast(0, tl.int64), tl.cast(0, tl.int64), tl.cast(0, tl.int64)
        for block in range(first, blocks, programs):
            offsets = block * BLOCK + tl.arange(0, BLOCK)
            inside = offsets < count
            value = tl.load(x + offsets, inside, other=float("nan")).to(tl.float32)
            finite = tl.abs(value) < float("inf")
            low = tl.minimum(low, tl.where(finite, value, float("inf")))
            high = tl.maximum(high, tl.where(finite, value, float("-inf")))
            squared = _square(tl.where(finite, value, 0.0)[None, :])
            large += squared[0]
            middle += squared[1]
            small += squared[2]
            nan += tl.sum((inside & (value != value)).to(tl.int32), 0)
            positive += tl.sum((value == float("inf")).to(tl.int32), 0)
            negative += tl.sum((value == float("-inf")).to(tl.int32), 0)
        whole = _squares(large, middle, small)
        tl.atomic_add(words + 2, nan, sem="relaxed")
        tl.atomic_add(words + 3, positive, sem="relaxed")
        tl.atomic_add(words + 4, negative, sem="relaxed")
    lowest, highest = tl.min(low, 0), tl.max(high, 0)
    tl.atomic_add(_word(words, 0, tl.float64), whole, sem="relaxed")
    keys = _word(words, 1, tl.uint32)
    tl.atomic_max(keys, _key(-lowest), lowest <= highest, sem="relaxed")
    tl.atomic_max(keys + 1, _key(highest), lowest <= highest, sem="relaxed")


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
    tl.atomic_add(_word(words, 0, tl.float64), total, sem="relaxed")
    tl.atomic_add(words + 1, finite_count.to(tl.int64), sem="relaxed")
    keys = _word(words, 2, tl.uint32)
    tl.atomic_max(keys, _key(-low), low <= high, sem="relaxed")
    tl.atomic_max(keys + 1, _key(high), low <= high, sem="relaxed")


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
    keys = _word(words, 2, tl.uint32)
    largest = tl.load(keys + 1)
    low = tl.where(largest == 0, 0.0, -_of_key(tl.load(keys)))
    high = tl.where(largest == 0, 0.0, _of_key(largest))
    pixel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = pixel < size
    value = tl.load(pixels + tl.cast(shown, tl.int64) * size + pixel, inside, other=0.0)
    tl.store(data + tl.cast(shown, tl.int64) * size + pixel, _levels(value, low, high, LEVELS), inside)
    if tl.program_id(1) == 0:
        mean = tl.load(_word(words, 0, tl.float64)) / tl.load(words + 1).to(tl.float64)
        tl.store(levels + shown, low)
        tl.store(levels + count + shown, high)
        tl.store(levels + 2 * count + shown, mean.to(tl.float32))
