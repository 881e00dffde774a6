"""Maps: which layout, which channels, and how far a dequantised value may be from the true one."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from actviz_tb import maps, native
from actviz_tb.maps import Limits
from tensorboard_plugin.actviz import wire

pytestmark = pytest.mark.usefixtures("implementation")

LIMITS = Limits(samples=2, channels=4, size=8)


def extract(x: torch.Tensor, module: nn.Module | None = None, limits: Limits = LIMITS) -> maps.Maps:
    layout, axis = maps.layout(x.shape, module)
    assert layout is not None
    found = maps.extract(x, layout, axis, limits)
    assert found is not None
    return found


def values(found: maps.Maps) -> np.ndarray:
    return wire.dequantise(*map(np.asarray, (found.data, found.low, found.high)))


def test_the_quantisation_is_that_of_the_format() -> None:
    assert (maps.LEVELS, maps.NONFINITE) == (wire.MAP_LEVELS, wire.MAP_NONFINITE)


def test_dequantised_values_are_within_half_a_step_of_the_true_ones() -> None:
    x = torch.randn(3, 4, 8, 8) * torch.tensor([1e-20, 1.0, 100.0, 1e20])[:, None, None]
    found = extract(x)
    half_step = np.asarray(found.high - found.low)[..., None, None] / 254 / 2
    assert (np.abs(values(found) - x[:2].numpy()) <= half_step * (1 + 1e-3)).all()
    np.testing.assert_allclose(found.mean, x[:2].mean(dim=(2, 3)), rtol=1e-4, atol=1e-22)


def test_constant_maps_are_exact() -> None:
    x = torch.full((1, 2, 3, 3), -1.75)
    x[:, 1] = 0
    assert (values(extract(x)) == x.numpy()).all()


def test_nonfinite_pixels_are_marked_and_do_not_move_the_limits() -> None:
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    x[0, 0, 0, 1], x[0, 0, 2, 2] = math.nan, math.inf
    found = extract(x)
    assert np.isnan(values(found)).nonzero()[2:][0].tolist() == [0, 2]
    assert (found.low.item(), found.high.item()) == (0, 15)
    everything = extract(torch.full((1, 1, 2, 2), math.nan))
    assert np.isnan(values(everything)).all()


def test_large_maps_are_means_of_blocks_and_say_so() -> None:
    x = torch.randn(1, 1, 18, 16)
    found = extract(x)
    assert found.pool == (3, 2)
    expected = x.numpy().reshape(6, 3, 8, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(values(found)[0, 0], expected, atol=(found.high - found.low).item() / 254)


def test_the_last_block_is_the_mean_of_what_is_left() -> None:
    x = torch.full((1, 1, 9, 9), 0.1)
    assert (values(extract(x)) == np.float32(0.1)).all()


def test_means_of_the_largest_floats_are_finite() -> None:
    x = torch.full((1, 1, 16, 16), 2e38)
    found = extract(x)
    assert found.pool == (2, 2)
    np.testing.assert_allclose(values(found), 2e38, rtol=1e-6)
    np.testing.assert_allclose(found.mean, 2e38, rtol=1e-6)


def test_channels_are_evenly_spaced_and_keep_their_indices() -> None:
    x = torch.arange(10.0)[None, :, None, None].expand(1, 10, 2, 2)
    found = extract(x)
    assert found.channels == (0, 2, 5, 7)
    assert values(found)[0, :, 0, 0].tolist() == [0, 2, 5, 7]


@pytest.mark.parametrize(
    ("shape", "module", "layout", "stored"),
    [
        ((3, 6, 5, 7), None, "channels", (2, 4, 5, 7)),
        ((3, 5, 7, 6), nn.LayerNorm(6), "channels", (2, 4, 5, 7)),
        ((3, 6, 4, 5, 7), None, "channels", (2, 4, 5, 7)),
        ((3, 16, 12), None, "sequence", (2, 1, 16, 12)),
        ((3, 64, 12), nn.Conv1d(1, 1, 1), "sequence", (2, 1, 16, 12)),
        ((3, 12), None, "vector", (3, 1, 1, 12)),
        ((100, 5000), None, "vector", (4, 1, 1, 4096)),
        ((5,), None, "vector", (5, 1, 1, 1)),
    ],
    ids=str,
)
def test_layouts(shape: tuple[int, ...], module: nn.Module | None, layout: str, stored: tuple[int, ...]) -> None:
    limits = LIMITS if shape[0] < 100 else Limits(samples=4, channels=4, size=8)
    found = extract(torch.randn(shape), module, limits)
    assert (found.layout, tuple(found.data.shape)) == (layout, stored)


def test_channels_last_maps_show_the_same_as_channels_first() -> None:
    x = torch.randn(2, 5, 6, 4)
    last, first = extract(x, nn.LayerNorm(4)), extract(x.movedim(-1, 1).contiguous())
    assert np.array_equal(last.data, first.data)


def test_outputs_without_maps() -> None:
    assert maps.layout(torch.Size(()))[0] is None
    assert maps.layout(torch.Size((1,) * 6))[0] is None
    assert maps.extract(torch.empty(0, 3, 4, 4), "channels", 1, LIMITS) is None


SHAPES = [(3, 5, 8, 8), (2, 40, 70, 33), (2, 3, 4, 9, 9), (4, 50, 130), (5, 7), (3, 9000), (2, 6, 1, 1)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", ["plain", "nonfinite", "half", "channels last", "constant"])
def test_compiled_and_torch_operations_draw_the_same(
    monkeypatch: pytest.MonkeyPatch, implementation: str, shape: tuple[int, ...], kind: str
) -> None:
    if implementation == "torch":
        pytest.skip("compares the two")
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    if kind == "nonfinite":
        x.view(-1)[::11] = math.nan
        x.view(-1)[5::17] = math.inf
        x[-1] = -math.inf
    elif kind == "half":
        x = x.half()
    elif kind == "channels last":
        x = x.movedim(1, -1).contiguous().movedim(-1, 1)
    elif kind == "constant":
        x = torch.full(shape, 3.3)
    compiled = extract(x)
    monkeypatch.setattr(native, "available", lambda: False)
    expected = extract(x)
    assert compiled.channels == expected.channels
    assert compiled.data.shape == expected.data.shape
    np.testing.assert_array_equal(compiled.data == maps.NONFINITE, expected.data == maps.NONFINITE)
    step = np.asarray((expected.high - expected.low) / maps.LEVELS)[..., None, None]
    difference = np.nan_to_num(np.abs(values(compiled) - values(expected)))
    rounding = 1e-6 * np.abs(np.nan_to_num(values(expected)))
    assert (difference <= 1.01 * step + rounding).all()  # a value between two levels may fall on either side
    assert (difference > 0.5 * step + rounding).mean() < 0.01
    np.testing.assert_allclose(compiled.low, expected.low, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(compiled.high, expected.high, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(compiled.mean, expected.mean, rtol=1e-4, atol=1e-5)
