"""Statistics and maps of values in the CPU's memory by compiled code (`native.c`), where it was built when the package was installed.

Without it, or with ``ACTVIZ_TB_NATIVE=0`` in the environment, `statistics` and `maps` use torch's operations, which is slower.
"""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Callable
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from actviz_tb.transfer import Array

CODES = 2048
_EXTRA = 5
_MOMENTS = 4


@functools.cache
def _library() -> ctypes.CDLL | None:
    if os.environ.get("ACTVIZ_TB_NATIVE") == "0":
        return None
    for suffix in EXTENSION_SUFFIXES:
        path = Path(__file__).with_name("_native" + suffix)
        if path.exists():
            try:
                library = ctypes.CDLL(str(path))
            except OSError:
                continue
            size, real, address = ctypes.c_int64, ctypes.c_float, ctypes.c_void_p
            bound = (ctypes.c_int, real)
            library.actviz_summarise.argtypes = (address, *(size,) * 4, real, *bound, *bound, ctypes.c_int, address)
            library.actviz_maps.argtypes = (address, *(size,) * 11, ctypes.c_int, address)
            library.actviz_glance.argtypes = (address, size, address, size)
            # By way of torch's own library, as it may come with an OpenMP library of its own.
            team = getattr(ctypes.CDLL(torch._C.__file__), "GOMP_parallel", None)
            if team is not None:
                library.actviz_use_team(ctypes.cast(team, address))
            return library
    return None


def available() -> bool:
    """Say whether the compiled code is there."""
    return _library() is not None


class RingHeader(ctypes.Structure):
    """What `glance` is told of a `ring.Ring`: where its cells are, [rows, columns], and which row is at hand."""

    _fields_ = (
        ("cells", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in ("rows", "columns", "row", "window", "threads")),
        ("factor", ctypes.c_double),
    )


address_of = ctypes.addressof


def glance() -> Callable[[int, int, int, int], int] | None:
    """Return ``(values, count, ring, column) -> flags``, which fills a cell (see `ring`), or None where there is no compiled code.

    `values` and `ring` are addresses: of float32 one after the other, and of a `RingHeader`.
    """
    library = _library() if available() else None
    return None if library is None else library.actviz_glance


def summarise(
    x: Tensor, shape: tuple[int, int, int], stride: int, near_zero: float, thresholds: tuple[float | None, float | None]
) -> list[Array]:
    """Return what `summary.ActivationSummary.unpacked` returns, in its order.

    Args:
        x: float32, contiguous, on the CPU.
        shape: (outer, channels, inner), in this order in memory.
        stride: the histogram is of every so manyth element.
        near_zero: fraction of the RMS.
        thresholds: values up to the first, and from the second on, are saturated.

    Raises:
        MemoryError: there is none for the accumulators.
    """
    library = _library()
    assert library is not None
    channels = shape[1]
    whole = np.empty(4 * channels + _MOMENTS + _EXTRA + CODES, np.int64)
    low, high = thresholds
    failed = library.actviz_summarise(
        x.data_ptr(),
        *shape,
        stride,
        near_zero,
        low is not None,
        low or 0.0,
        high is not None,
        high or 0.0,
        torch.get_num_threads(),
        whole.ctypes.data,
    )
    if failed:
        raise MemoryError(f"no memory for the statistics of {channels} channels")
    moments = 3 * channels
    extra = moments + _MOMENTS
    codes = extra + _EXTRA
    extremes = whole[codes + CODES :].view(np.float32)
    return [
        whole[:channels],
        whole[channels : 2 * channels].view(np.float64),
        extremes[:channels],
        extremes[channels:],
        whole[2 * channels : moments],
        whole[moments:extra].view(np.float64),
        whole[extra:codes],
        whole[codes : codes + CODES],
    ]


def maps(x: Tensor, kept: int, pool: tuple[int, int]) -> tuple[Array, Array, Array, Array]:
    """Return data, low, high and mean as in `maps.Maps`.

    Args:
        x: float32 [S, all channels, H, W] on the CPU, not empty, with any strides.
        kept: so many channels, those of `maps.evenly`.
        pool: values a pixel, down and across.

    Raises:
        MemoryError: there is none for a map.
    """
    library = _library()
    assert library is not None
    samples, channels, height, width = x.shape
    count, rows, columns = samples * kept, -(-height // pool[0]), -(-width // pool[1])
    whole = np.empty(count * (12 + rows * columns), np.uint8)
    failed = library.actviz_maps(
        x.data_ptr(), samples, channels, kept, height, width, *x.stride(), *pool, torch.get_num_threads(), whole.ctypes.data
    )
    if failed:
        raise MemoryError(f"no memory for maps of {height} x {width}")
    low, high, mean = whole[: 12 * count].view(np.float32).reshape(3, samples, kept)
    return whole[12 * count :].reshape(samples, kept, rows, columns), low, high, mean
