"""Statistics and maps of values in a GPU's memory by kernels of our own (`kernels`, `map_kernels`), where Triton is there.

It is with torch for CUDA on Linux. Each output is read twice, and nothing but the results is allocated. Without Triton, or with
``ACTVIZ_TB_NATIVE=0`` in the environment, `statistics`, `maps` and `ring` use torch's operations, which read an output some forty times
and need several times its memory.
"""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from torch import Tensor

from actviz_tb.errors import ActvizWarning
from actviz_tb.transfer import Array

CODES = 2048
_WHOLE = 16
_TILE = _BLOCK = 1024
_CHANNEL_PROGRAMS, _PROGRAMS = 4, 16
"""On each processor of a GPU: few where each adds to the words of all its channels."""
_PICTURE = 4096
"""Pixels that one program holds."""
_FLOATS = (torch.float32, torch.float16, torch.bfloat16)


def available(x: Tensor) -> bool:
    """Say whether the kernels take a tensor: one in the memory of a GPU on which they work."""
    return x.is_cuda and _works(x.device.index)


@functools.cache
def _works(index: int) -> bool:
    """Try the kernels on a device: Triton may be missing, lack the C compiler that it needs, or not know the device."""
    if os.environ.get("ACTVIZ_TB_NATIVE") == "0":
        return False
    try:
        _check(torch.device("cuda", index))
        return True
    except ImportError:
        return False
    except Exception as error:
        warnings.warn(
            "kernels do not work on this GPU, so statistics are taken by torch's own operations, which are slower and need memory: "
            f"{type(error).__name__}: {str(error).partition(chr(10))[0]}",
            ActvizWarning,
            stacklevel=2,
        )
        return False


def _check(device: torch.device) -> None:
    """Raise an exception unless the kernels find what is known of a few values."""
    x = torch.tensor([[-3, 0, 2], [5, torch.nan, 1]], dtype=torch.float32, device=device)
    finite, total, low, high, zero, _, extra, codes = unpacked(summarise(x, (1, 2, 3), 1, 0.1, (0.0, 4.0)).cpu().numpy(), 3)
    levels, *_ = maps(x.view(1, 2, 1, 3), 2, (1, 1))
    words = torch.zeros(1, GLANCE, dtype=torch.int64, device=device)
    glance(x, words[0])
    (cell,) = glanced(words.cpu().numpy(), [6])
    found = [*finite, *total, *low, *high, *zero, *extra, codes[:1023].sum(), *levels.flatten().tolist(), *cell.values()]
    expected = [3, 2, -1, 6, -3, 1, 2, 5, 1, 0, 1, 3, 1, 0, 0, 1, 0, 152, 254, 254, 255, 0, 6, 1, 0, 0, np.sqrt(39 / 5), -3, 5]
    if not np.allclose(np.array(found, np.float64), expected, rtol=1e-5):
        raise ArithmeticError(f"they find {[float(each) for each in found]} where {expected} is expected")


@functools.cache
def _programs(device: torch.device, each: int) -> int:
    """Return how many programs there are with so many on each of a device's processors."""
    return each * (torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 2)


def _on(x: Tensor) -> AbstractContextManager[object]:
    """Have kernels be launched on a tensor's device."""
    if not x.is_cuda or x.device.index == torch.cuda.current_device():
        return nullcontext()
    return torch.cuda.device(x.device)


def readable(x: Tensor) -> Tensor:
    """Return a floating point tensor in a dtype that the kernels load."""
    return x if x.dtype in _FLOATS else x.float()


def summarise(
    x: Tensor, shape: tuple[int, int, int], stride: int, near_zero: float, thresholds: tuple[float | None, float | None] | None
) -> Tensor:
    """Return what `unpacked` reads, int64 on the device.

    Args:
        x: float32, float16 or bfloat16, contiguous, not empty.
        shape: (outer, channels, inner), in this order in memory.
        stride: the histogram is of every so manyth element.
        near_zero: fraction of the RMS.
        thresholds: values up to the first, and from the second on, are saturated; None: nothing is.
    """
    from actviz_tb import kernels

    (outer, channels, inner), count = shape, x.numel()
    words = torch.zeros(_WHOLE + CODES // 2 + 4 * channels, dtype=torch.int64, device=x.device)
    if channels == 1:
        outer, inner = 1, count
    last = inner == 1 < channels
    columns = min(64, _power(channels)) if last else min(_TILE, _power(inner))
    rows = _TILE // columns
    groups = -(-channels // columns) if last else channels
    tiles = -(-outer // rows) * (1 if last else -(-inner // columns))
    low, high = thresholds or (None, None)
    with _on(x):
        parts = max(1, min(tiles, _programs(x.device, _CHANNEL_PROGRAMS) // groups))
        histograms = -(-count // (stride * _TILE))
        kernels.by_channel[(histograms + groups * parts,)](
            x, words, outer, channels, inner, groups, count, stride, histograms, ROWS=rows, COLUMNS=columns, LAST=last
        )
        kernels.of_whole[(min(-(-count // _BLOCK), _programs(x.device, _PROGRAMS)),)](
            x,
            words,
            count,
            near_zero,
            -np.inf if low is None else low,
            np.inf if high is None else high,
            BLOCK=_BLOCK,
            BOUNDED=thresholds is not None,
        )
    return words


def unpacked(words: Array, channel_count: int) -> list[Array]:
    """Return what `summary.ActivationSummary.unpacked` does, of the words that `summarise` left, on the host.

    Args:
        channel_count: elements a channel.
    """
    whole, codes, channels = words[:_WHOLE], words[_WHOLE : _WHOLE + CODES // 2].view(np.int32), words[_WHOLE + CODES // 2 :].reshape(4, -1)
    keys = channels[3].view(np.uint32).reshape(2, -1)
    scale = whole[2:3].view(np.float32)[0]
    return [
        channel_count - channels[2],
        channels[0].view(np.float64),
        -_of_keys(keys[0]),
        _of_keys(keys[1]),
        channels[1],
        np.array([scale or 1.0, *whole[4:7].view(np.float64)]),
        whole[7:12],
        codes.astype(np.int64),
    ]


def _of_keys(keys: Array) -> Array:
    """Return the float32 values of `kernels.key`, -Inf where there is none."""
    bits = np.where(keys >> 31, keys ^ np.uint32(1 << 31), ~keys)
    return np.where(keys == 0, np.float32(-np.inf), bits.view(np.float32))


def maps(x: Tensor, kept: int, pool: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return data, low, high and mean as in `maps.Maps`, on the device.

    Args:
        x: [S, all channels, H, W], of any dtype that `readable` returns, not empty, with any strides.
        kept: so many channels, those of `maps.evenly`.
        pool: values a pixel, down and across.
    """
    from actviz_tb import map_kernels

    samples, channels, height, width = x.shape
    rows, columns = -(-height // pool[0]), -(-width // pool[1])
    count, size = samples * kept, rows * columns
    levels = torch.empty(3, samples, kept, dtype=torch.float32, device=x.device)
    data = torch.empty(samples, kept, rows, columns, dtype=torch.uint8, device=x.device)
    given = (channels, kept, height, width, *x.stride(), *pool)
    with _on(x):
        if size <= _PICTURE:
            block = next(each for each in (64, 256, 1024, _PICTURE) if size <= each)
            map_kernels.picture[(count,)](x, data, levels, *given, count, LEVELS=254, BLOCK=block, num_warps=8 if block == _PICTURE else 4)
        else:
            words = torch.zeros(map_kernels.MAP.value * count, dtype=torch.int64, device=x.device)
            pixels = torch.empty(count * size, dtype=torch.float32, device=x.device)
            grid = (count, -(-size // _BLOCK))
            map_kernels.pool[grid](x, pixels, words, *given, BLOCK=_BLOCK)
            map_kernels.quantise[grid](pixels, words, data, levels, count, size, LEVELS=254, BLOCK=_BLOCK)
    low, high, mean = levels
    return data, low, high, mean


GLANCE = 5
"""Words of a glance."""


def glance(x: Tensor, words: Tensor) -> None:
    """Enter what a tensor is like into int64 [GLANCE], zeros so far; x as for `summarise`."""
    from actviz_tb import kernels

    count = x.numel()
    with _on(x):
        kernels.glance[(min(-(-count // _BLOCK), _programs(x.device, _PROGRAMS)),)](x, words, count, BLOCK=_BLOCK)


def glanced(words: Array, counts: Sequence[int]) -> list[dict[str, float]]:
    """Return the fields of `ring.CELL` of glances [N, GLANCE] on the host, at tensors of so many elements."""
    found = []
    for row, count in zip(words, counts, strict=True):
        low, high = _of_keys(row[1:2].view(np.uint32))
        nan, posinf, neginf = row[2:].tolist()
        finite = count - nan - posinf - neginf
        rms = float(np.sqrt(row[:1].view(np.float64)[0] / finite)) if finite else 0.0
        extremes = {"low": -low, "high": high} if finite else {"low": np.nan, "high": np.nan}
        found.append({"count": count, "nan": nan, "posinf": posinf, "neginf": neginf, "rms": rms, **extremes})
    return found


def _power(count: int) -> int:
    """Return the smallest power of two that is not less."""
    return 1 << (count - 1).bit_length()
