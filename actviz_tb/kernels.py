"""Triton kernels for statistics, which read a tensor once: what `gpu` launches. Values are counted and compared as float32.

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
_LARGE = tl.constexpr(2.0**50)
_SMALL = tl.constexpr(2.0**-50)
_SHIFT = tl.constexpr(2.0**80)
"""Squares of what is beyond these limits are taken of shifted values, as in Blue 1978."""


@triton.jit
def key(value):
    """Return uint32 in the order of float32 values, none of them 0."""
    bits = value.to(tl.int32, bitcast=True)
    return (bits ^ ((bits >> 31) | -2147483648)).to(tl.uint32, bitcast=True)


@triton.jit
def float64s(words):
    """Return a pointer to words as one to float64."""
    return words.to(tl.pointer_type(tl.float64))


@triton.jit
def float32s(words):
    """Return a pointer to words as one to float32."""
    return words.to(tl.pointer_type(tl.float32))


@triton.jit
def int32s(words):
    """Return a pointer to words as one to int32."""
    return words.to(tl.pointer_type(tl.int32))


@triton.jit
def uint32s(words):
    """Return a pointer to words as one to uint32."""
    return words.to(tl.pointer_type(tl.uint32))


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
    counts = int32s(words + WHOLE) + tl.arange(0, CODES)
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
            squared_large, squared, squared_small = _square(known)
            large += squared_large
            middle += squared
            small += squared_small
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
        tl.atomic_add(float64s(channel + columns), totals, there, sem="relaxed")
        tl.atomic_add(channel + channels + columns, zeros, there & (zeros > 0), sem="relaxed")
        tl.atomic_add(channel + 2 * channels + columns, odds, there & (odds > 0), sem="relaxed")
        keys = uint32s(channel + 3 * channels) + columns
        tl.atomic_max(keys, key(-lows), there & (lows <= highs), sem="relaxed")
        tl.atomic_max(keys + channels, key(highs), there & (lows <= highs), sem="relaxed")
    else:
        whole_total = tl.sum(tl.sum(total.to(tl.float64), 0), 0)
        zeros = tl.sum(tl.sum(zero, 0), 0).to(tl.int64)
        whole_odd = tl.sum(tl.sum(odd, 0), 0).to(tl.int64)
        lows, highs = tl.min(tl.min(low, 0), 0), tl.max(tl.max(high, 0), 0)
        tl.atomic_add(float64s(channel + group), whole_total, sem="relaxed")
        tl.atomic_add(channel + channels + group, zeros, zeros > 0, sem="relaxed")
        tl.atomic_add(channel + 2 * channels + group, whole_odd, whole_odd > 0, sem="relaxed")
        keys = uint32s(channel + 3 * channels) + group
        tl.atomic_max(keys, key(-lows), lows <= highs, sem="relaxed")
        tl.atomic_max(keys + channels, key(highs), lows <= highs, sem="relaxed")
    tl.atomic_add(float64s(words), whole_total, sem="relaxed")
    tl.atomic_add(float64s(words + 1), whole_squares, sem="relaxed")
    tl.atomic_max(int32s(words + 2), size.to(tl.int32, bitcast=True), size > 0, sem="relaxed")
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
    mean = (tl.load(float64s(words)) / elements).to(tl.float32)
    limit = near_zero * tl.sqrt(tl.load(float64s(words + 1)) / elements).to(tl.float32)
    scale = tl.load(float32s(words + 2))
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
    first, blocks, programs = tl.program_id(0).to(tl.int64), tl.cast(tl.cdiv(count, BLOCK), tl.int64), tl.num_programs(0).to(tl.int64)
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
    tl.atomic_add(float64s(words + 4), tl.sum(second.to(tl.float64), 0), sem="relaxed")
    tl.atomic_add(float64s(words + 5), tl.sum(third.to(tl.float64), 0), sem="relaxed")
    tl.atomic_add(float64s(words + 6), tl.sum(fourth.to(tl.float64), 0), sem="relaxed")
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
    first, blocks, programs = tl.program_id(0).to(tl.int64), tl.cast(tl.cdiv(count, BLOCK), tl.int64), tl.num_programs(0).to(tl.int64)
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
            squared_large, squared, squared_small = _square(tl.where(finite, value, 0.0)[None, :])
            large += squared_large
            middle += squared
            small += squared_small
            nan += tl.sum((inside & (value != value)).to(tl.int32), 0)
            positive += tl.sum((value == float("inf")).to(tl.int32), 0)
            negative += tl.sum((value == float("-inf")).to(tl.int32), 0)
        whole = _squares(large, middle, small)
        tl.atomic_add(words + 2, nan, sem="relaxed")
        tl.atomic_add(words + 3, positive, sem="relaxed")
        tl.atomic_add(words + 4, negative, sem="relaxed")
    lowest, highest = tl.min(low, 0), tl.max(high, 0)
    tl.atomic_add(float64s(words), whole, sem="relaxed")
    keys = uint32s(words + 1)
    tl.atomic_max(keys, key(-lowest), lowest <= highest, sem="relaxed")
    tl.atomic_max(keys + 1, key(highest), lowest <= highest, sem="relaxed")
