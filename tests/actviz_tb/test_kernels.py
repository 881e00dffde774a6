"""The kernels for GPUs give the CPU's values: on a GPU where there is one, else in Triton's interpreter."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from actviz_tb import gpu, maps, statistics
from actviz_tb.errors import ActvizWarning
from actviz_tb.ring import DeviceRow, Ring
from actviz_tb.summary import LayerStatistics, finalise
from actviz_tb.transfer import Transfer

interpreter = pytest.importorskip("triton.runtime.interpreter")
# As a GPU does, and Triton's own interpreter from 3.9 on: of a number and NaN, the number.
interpreter.InterpreterBuilder.create_minnumf = lambda self, a, b: self.binary_op(a, b, np.fmin)
interpreter.InterpreterBuilder.create_maxnumf = lambda self, a, b: self.binary_op(a, b, np.fmax)
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of numpy, in the interpreter

DTYPES = [torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.float8_e4m3fn]
SHAPES: dict[str, tuple[int, ...]] = {
    "one number": (),
    "vector": (7,),
    "features": (40, 200),
    "wide features": (3, 5000),
    "single features": (2000, 1),
    "sequence": (2, 70, 96),
    "images": (3, 5, 33, 31),
    "small images": (4, 30, 7, 7),
    "one pixel": (4, 130, 1, 1),
    "volume": (2, 3, 5, 10, 10),
}
CHANGES: dict[str, Callable[[Tensor], Tensor]] = {
    "as is": lambda x: x,
    "not finite": lambda x: spoilt(x),
    "zero": torch.zeros_like,
    "nothing finite": lambda x: torch.full_like(x, torch.nan),
    "huge": lambda x: x * 1e30,
    "tiny": lambda x: x * 1e-30,
    "far from zero": lambda x: x + 300,
}


def by_kernels(function: Callable[..., Any], *tensors: Tensor) -> Any:
    """Call a function of tensors so that the kernels take them."""
    if torch.cuda.is_available():
        return function(*(tensor.cuda() for tensor in tensors))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gpu, "available", lambda x: True)
        return function(*tensors)


def values(shape: tuple[int, ...], dtype: torch.dtype, seed: int = 0) -> Tensor:
    """As an activation function leaves them: a third are zeros, one channel is dead, sizes differ by channel."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, generator=generator) + 0.3
    x = torch.where(torch.rand(shape, generator=generator) < 0.33, torch.zeros(()), x)
    if len(shape) > 1 and shape[1] > 2:
        x[:, 2] = 0
        x[:, 1] *= 20
    return x.to(dtype)


def spoilt(x: Tensor) -> Tensor:
    """With a NaN, and infinities where the dtype has any."""
    flat = x.reshape(-1).clone()
    flat[len(flat) // 3] = torch.nan
    if x.dtype != torch.float8_e4m3fn:
        flat[0], flat[len(flat) // 2] = torch.inf, -torch.inf
    return flat.reshape(x.shape)


def summarised(x: Tensor, bounds: statistics.Bounds | None = (0.0, 6.0)) -> LayerStatistics:
    _, channel_axis = maps.layout(x.shape)
    found = statistics.summarise(x, channel_axis, bounds, statistics.Scratch())
    return finalise(found, found.unpacked(Transfer(found.parts).arrays()))


CASES = [
    *((shape, dtype, "as is") for shape in SHAPES for dtype in (torch.float32, torch.bfloat16)),
    *(("images", dtype, change) for change in CHANGES for dtype in DTYPES if (dtype, change) != (torch.float8_e4m3fn, "huge")),
]


@pytest.mark.parametrize(("named", "dtype", "changed"), dict.fromkeys(CASES), ids=str)
def test_statistics_are_those_of_the_cpu(named: str, dtype: torch.dtype, changed: str) -> None:
    x = CHANGES[changed](values(SHAPES[named], torch.float32)).to(dtype)
    expected, found = summarised(x), by_kernels(summarised, x)
    assert found.counts == expected.counts
    assert found.bins.tolist() == expected.bins.tolist()
    assert found.bin_counts.tolist() == expected.bin_counts.tolist()
    for name, value in expected.moments.items():
        np.testing.assert_allclose(found.moments[name], value, rtol=2e-5, atol=1e-6 * abs(expected.moments["rms"]), err_msg=name)
    scale = np.nanmax(np.abs(expected.channel_max), initial=1e-30)
    np.testing.assert_allclose(found.channel_mean, expected.channel_mean, rtol=2e-5, atol=1e-6 * scale)
    np.testing.assert_array_equal(found.channel_max, expected.channel_max)
    np.testing.assert_array_equal(found.channel_zero, expected.channel_zero)


def test_the_histogram_of_a_large_tensor_is_of_a_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "HISTOGRAM_EXACT_UP_TO", 1000)
    monkeypatch.setattr(statistics, "_HISTOGRAM_SAMPLE", 3000)
    x = values((5, 8, 20, 21), torch.float32)
    expected, found = summarised(x), by_kernels(summarised, x)
    assert found.bins.tolist() == expected.bins.tolist()
    assert found.bin_counts.tolist() == expected.bin_counts.tolist()
    assert expected.bin_counts.sum() == -(-x.numel() // 5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_statistics_of_what_does_not_lie_in_order(dtype: torch.dtype) -> None:
    x = values((4, 4, 33, 31), dtype)
    forms: dict[str, Callable[[Tensor], Tensor]] = {
        "channels last": lambda x: x.contiguous(memory_format=torch.channels_last),
        "transposed": lambda x: x.transpose(2, 3),
        "every second": lambda x: x[:, :, ::2, 1:],
        "expanded": lambda x: x[:1].expand(4, -1, -1, -1),
        "offset": lambda x: x.reshape(-1)[1:1201].reshape(2, 3, 20, 10),
    }
    for name, form in forms.items():
        expected, found = summarised(form(x)), by_kernels(lambda x, form=form: summarised(form(x)), x)
        assert found.counts == expected.counts, name
        assert found.bin_counts.tolist() == expected.bin_counts.tolist(), name
        np.testing.assert_allclose(found.channel_mean, expected.channel_mean, rtol=2e-5, atol=1e-6, err_msg=name)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="takes a GPU")
def test_statistics_of_two_to_the_31_elements_and_more() -> None:
    x = torch.zeros(3, 1 << 30, dtype=torch.float8_e4m3fn if torch.cuda.mem_get_info()[0] < 20 << 30 else torch.bfloat16, device="cuda")
    x[2, -1], x[1, 5], x[0, 0] = 2, -1, 1
    found = summarised(x.reshape(3, 4, -1, 1024))
    assert (found.counts["count"], found.counts["zero"]) == (3 << 30, (3 << 30) - 3)
    assert (found.moments["min"], found.moments["max"]) == (-1, 2)
    np.testing.assert_allclose(found.moments["rms"], np.sqrt(6 / (3 << 30)), rtol=1e-5)


MAPS = [
    *((named, dtype, 16) for named, shape in SHAPES.items() if shape for dtype in (torch.float32, torch.bfloat16)),
    ("sequence", torch.float32, 64),  # more pixels than one program holds
]


@pytest.mark.parametrize(("named", "dtype", "size"), MAPS, ids=str)
def test_maps_are_those_of_the_cpu(named: str, dtype: torch.dtype, size: int) -> None:
    shape, limits = SHAPES[named], maps.Limits(4, 4, size)
    layout, channel_axis = maps.layout(torch.Size(shape))
    assert layout is not None
    for x in (values(shape, dtype), spoilt(values(shape, dtype).float()).to(dtype)):
        expected = maps.extract(x, layout, channel_axis, limits)
        found = by_kernels(lambda x: maps.extract(x, layout, channel_axis, limits), x)
        assert expected is not None
        assert found is not None
        data, low, high, mean = Transfer(found.parts()).arrays()
        expected_data, *rest = Transfer(expected.parts()).arrays()
        assert data.shape == expected_data.shape
        assert ((data == maps.NONFINITE) == (expected_data == maps.NONFINITE)).all()
        assert np.abs(data.astype(int) - expected_data).max() <= 1
        for ours, theirs in zip((low, high, mean), rest, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_a_glance_sees_what_the_cpu_sees() -> None:
    on_cpu, on_gpu, row = Ring(3, 10.0), Ring(3, 10.0), by_kernels(DeviceRow)
    first, second = on_cpu.begin(0, 0.0), on_gpu.begin(0, 0.0)
    for name, change in CHANGES.items():
        x = change(values((8, 16, 9, 9), torch.float32))
        column = on_cpu.column(name)
        on_cpu.fill(first, column, x)
        assert on_gpu.column(name) == column
        by_kernels(lambda x, column=column: row.add(column, x), x)
    landing = row.land()
    assert landing is not None
    flags = [flag for _, flag in landing.into(on_gpu, second)]
    assert flags == [1 if "finite" in name else 0 for name in on_cpu.columns]
    for name, column in on_cpu.columns.items():
        expected, found = on_cpu.cell(first, column), on_gpu.cell(second, column)
        for field in expected.dtype.names:
            np.testing.assert_allclose(float(found[field]), float(expected[field]), rtol=1e-5, err_msg=f"{name}: {field}")
    assert row.land() is None
    by_kernels(lambda x: row.add(0, x), torch.ones(5))
    landing = row.land()
    assert landing is not None
    landing.into(on_gpu, third := on_gpu.begin(1, 0.0))
    assert [float(on_gpu.cell(third, 0)[field]) for field in ("count", "rms", "low", "high")] == [5, 1, 1, 1]


def test_kernels_are_tried_first_and_left_alone_where_they_do_not_work(monkeypatch: pytest.MonkeyPatch) -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    gpu._check(device)
    right = gpu.glanced
    monkeypatch.setattr(gpu, "glanced", lambda *given: [{**cell, "low": 7} for cell in right(*given)])
    with pytest.raises(ArithmeticError, match="they find"):
        gpu._check(device)
    monkeypatch.setattr(gpu, "_works", gpu._works.__wrapped__)
    monkeypatch.setattr(gpu, "_check", lambda _: 1 / 0)
    with pytest.warns(ActvizWarning, match="kernels do not work on this GPU.*ZeroDivisionError"):
        assert not gpu._works(0)
    monkeypatch.setattr(gpu, "_check", lambda _: importlib.import_module("no_such_module"))
    assert not gpu._works(0)  # as where there is no Triton: without a word


def test_the_kernels_compile_for_gpus(tmp_path: Path) -> None:
    without = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    command = [sys.executable, str(Path(__file__).parents[1] / "kernel_build.py")]
    built = subprocess.run(command, env=without | {"TRITON_CACHE_DIR": str(tmp_path)}, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    kernels = {"by_channel", "of_whole", "glance", "pool", "picture", "quantise"}
    assert {tuple(line.split()) for line in built.stdout.splitlines()} == {(name, arch) for name in kernels for arch in ("80", "90")}
