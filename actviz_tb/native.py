"""Statistics and maps of values in the CPU's memory by compiled code (`native.c`), where it was built when the package was installed.

Without it, or with ``ACTVIZ_TB_NATIVE=0`` in the environment, `statistics` and `maps` use torch's operations, which is slower.
"""

from __future__ import annotations

import ctypes
import functools
import os
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import torch
from torch import Tensor

CODES = 2048
_ELEMENTS_A_THREAD = 1 << 19
_MAX_THREADS = 16


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
            shape_and_stride, bound = (size, size, size, size), (ctypes.c_int, real)
            library.actviz_summarise.argtypes = (address, *shape_and_stride, real, *bound, *bound, ctypes.c_int, *(address,) * 8)
            library.actviz_maps.argtypes = (address, size, address, *(size,) * 9, ctypes.c_int, *(address,) * 4)
            return library
    return None


def available() -> bool:
    """Say whether the compiled code is there."""
    return _library() is not None


def summarise(
    x: Tensor, shape: tuple[int, int, int], stride: int, near_zero: float, thresholds: tuple[float | None, float | None]
) -> list[Tensor]:
    """Return what `statistics.ActivationSummary` holds, in its order.

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
    outer, channels, inner = shape
    # One allocation: eight bytes an entry first.
    sizes = (8 * channels, 8 * channels, 4 * channels, 4 * channels, 8 * channels, 8 * 4, 8 * 5, 8 * CODES)
    dtypes = (torch.int64, torch.float64, torch.float32, torch.float32, torch.int64, torch.float64, torch.int64, torch.int64)
    found = torch.empty(sum(sizes), dtype=torch.uint8, device="cpu").split_with_sizes(sizes)
    bounds = [argument for each in thresholds for argument in (each is not None, each or 0.0)]
    failed = library.actviz_summarise(
        x.data_ptr(), outer, channels, inner, stride, near_zero, *bounds, _threads(x.numel()), *(each.data_ptr() for each in found)
    )
    if failed:
        raise MemoryError(f"no memory for the statistics of {channels} channels")
    return [each.view(dtype) for each, dtype in zip(found, dtypes, strict=True)]


def maps(x: Tensor, channels: tuple[int, ...], pool: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return data, low, high and mean as in `maps.Maps`.

    Args:
        x: float32 [S, all channels, H, W] on the CPU, not empty, with any strides.
        channels: indices of the kept ones.
        pool: values a pixel, down and across.

    Raises:
        MemoryError: there is none for a map.
    """
    library = _library()
    assert library is not None
    samples, kept, (height, width) = len(x), len(channels), x.shape[2:]
    data = torch.empty(samples, kept, -(-height // pool[0]), -(-width // pool[1]), dtype=torch.uint8, device="cpu")
    low, high, mean = torch.empty(3, samples, kept, device="cpu").unbind(0)
    failed = library.actviz_maps(
        x.data_ptr(),
        samples,
        (ctypes.c_int64 * kept)(*channels),
        kept,
        height,
        width,
        *x.stride(),
        *pool,
        _threads(samples * kept * height * width),
        *(each.data_ptr() for each in (data, low, high, mean)),
    )
    if failed:
        raise MemoryError(f"no memory for maps of {height} x {width}")
    return data, low, high, mean


def _threads(elements: int) -> int:
    return min(torch.get_num_threads(), _MAX_THREADS, max(1, elements // _ELEMENTS_A_THREAD))
