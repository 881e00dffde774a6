"""Statistics and histograms against numpy in float64."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from actviz_tb import native, statistics
from actviz_tb.statistics import Scratch
from actviz_tb.summary import ActivationSummary, LayerStatistics, combine, finalise
from tensorboard_plugin.actviz import wire

pytestmark = pytest.mark.usefixtures("implementation")


def compute(x: torch.Tensor, channel_axis: int | None = 1, module: nn.Module | None = None) -> LayerStatistics:
    summary = statistics.summarise(x, channel_axis, statistics.saturation_bounds(module), Scratch())
    return finalise(summary, [*map(np.asarray, summary.parts)])


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def with_nonfinite() -> torch.Tensor:
    x = normal(4, 8, 6, 6)
    x[0, 0, 0, 0], x[1, 1, 0, 0], x[1, 2, 0, 0], x[3, 7] = math.nan, math.inf, -math.inf, math.nan
    return x


CASES = {
    "normal, a million elements": normal(4, 256, 32, 32),
    "mean far from zero": normal(4, 64, 32, 32) + 100,
    "rectified": normal(8, 16, 13, 13).relu(),
    "with NaN and Inf": with_nonfinite(),
    "fp16 beyond 300": (normal(64, 1000) * 300).half(),
    "bf16": normal(16, 33).bfloat16(),
    "float64": normal(16, 33).double(),
    "huge": normal(3, 7, 5) * 1e30,
    "tiny": normal(3, 7, 5) * 1e-30,
    "constant": torch.full((5, 3), 2.5),
    "all zero": torch.zeros(5, 3),
    "more channels than a block": normal(3, 5000),
    "short rows": normal(64, 512, 2, 2),
    "volumes": normal(2, 3, 5, 7, 11),
    "one element": torch.tensor([[3.0]]),
    "not contiguous": normal(6, 10, 8).transpose(0, 2),
    "channels last": normal(4, 16, 9, 9).to(memory_format=torch.channels_last),
}


def test_compiled_statistics_hold_over_the_whole_range_of_float32(implementation: str) -> None:
    if implementation == "torch":
        pytest.skip("torch's operations are in float32 themselves")
    for x in (normal(7, 33).sign() * 3.3e38, normal(3, 7, 500) * 1e-40):
        found, values = compute(x), x.double().numpy()
        scaled = values / np.abs(values).max()
        assert found.moments["rms"] == pytest.approx(np.sqrt((scaled**2).mean()) * np.abs(values).max(), rel=1e-6)
        assert found.moments["std"] == pytest.approx(scaled.std() * np.abs(values).max(), rel=1e-6)
        assert found.moments["kurtosis"] == pytest.approx(((scaled - scaled.mean()) ** 4).mean() / scaled.var() ** 2, rel=1e-5)


@pytest.mark.parametrize("x", CASES.values(), ids=CASES.keys())
def test_statistics_agree_with_numpy_in_float64(x: torch.Tensor) -> None:
    found = compute(x)
    values = x.float().numpy().astype(np.float64)
    finite = values[np.isfinite(values)]
    spread = finite.std()
    rms = np.sqrt((finite**2).mean())
    expected = {"mean": finite.mean(), "std": spread, "min": finite.min(), "max": finite.max(), "rms": rms}
    for name, value in expected.items():
        assert found.moments[name] == pytest.approx(value, rel=1e-6, abs=1e-6 * rms), name
    if spread > 0:
        assert found.moments["kurtosis"] == pytest.approx(((finite - finite.mean()) ** 4).mean() / spread**4, rel=1e-5)
    else:
        assert math.isnan(found.moments["kurtosis"])
    assert found.counts == {
        "count": values.size,
        "zero": int((values == 0).sum()),
        "near_zero": int((np.abs(finite) <= statistics.NEAR_ZERO * rms).sum()),
        "saturated": wire.NOT_APPLICABLE,
        "nan": int(np.isnan(values).sum()),
        "posinf": int(np.isposinf(values).sum()),
        "neginf": int(np.isneginf(values).sum()),
        "channels": values.shape[1],
        "dead_channels": int((values == 0).all(axis=tuple(a for a in range(values.ndim) if a != 1)).sum()),
    }


@pytest.mark.parametrize("x", CASES.values(), ids=CASES.keys())
def test_every_finite_value_is_in_its_bin_and_no_other(x: torch.Tensor) -> None:
    found = compute(x)
    values = x.float().numpy().reshape(-1)
    finite = values[np.isfinite(values)].astype(np.float64)
    left, right = wire.bin_bounds(found.bins)
    assert (np.diff(found.bins) > 0).all()
    assert found.bin_counts.sum() == finite.size
    for index, number in enumerate(found.bins):
        if number > 0:
            inside = (finite >= left[index]) & (finite < right[index])
        elif number < 0:
            inside = (finite > left[index]) & (finite <= right[index])
        else:
            inside = finite == 0
        assert found.bin_counts[index] == inside.sum(), (number, left[index], right[index])


def test_values_below_the_smallest_bin_are_not_counted_as_zero() -> None:
    found = compute(torch.tensor([[0.0, 1e-42, -1e-44, 1.0]]), channel_axis=None)
    assert dict(zip(found.bins.tolist(), found.bin_counts.tolist(), strict=True)) == {0: 1, 1: 2, 508: 1}


@pytest.mark.parametrize("axis", [1, 2])
def test_channel_profiles_agree_with_numpy(axis: int) -> None:
    x = normal(5, 6, 7).relu()
    x[:, 2] = 0
    found = compute(x, axis)
    rows = np.moveaxis(x.numpy().astype(np.float64), axis, 0).reshape(x.shape[axis], -1)
    np.testing.assert_allclose(found.channel_mean, rows.mean(axis=1), rtol=1e-6)
    np.testing.assert_allclose(found.channel_max, np.abs(rows).max(axis=1))
    np.testing.assert_allclose(found.channel_zero, (rows == 0).mean(axis=1), rtol=1e-6)


def test_a_channel_without_a_finite_value_has_no_mean_and_leaves_the_others_alone() -> None:
    x = normal(2, 3, 4)
    x[:, 1] = math.nan
    found = compute(x)
    assert np.isnan(found.channel_mean).tolist() == [False, True, False]
    np.testing.assert_allclose(found.channel_mean[0], x[:, 0].mean(), rtol=1e-6)


def test_without_a_finite_value_moments_are_nan_and_counts_are_right() -> None:
    found = compute(torch.full((2, 3), math.nan))
    assert found.counts["nan"] == 6
    assert found.counts["count"] == 6
    assert all(math.isnan(value) for value in found.moments.values())
    assert found.bins.size == 0


def test_large_tensors_get_a_sampled_histogram_of_the_same_distribution() -> None:
    x = normal(4, 256, 64, 64)
    summary = statistics.summarise(x, 1, None, Scratch())
    assert summary.sampled_every > 1
    assert summary.sampled_every % 2 == 1
    found = finalise(summary, [*map(np.asarray, summary.parts)])
    assert found.bin_counts.sum() == -(-x.numel() // summary.sampled_every)
    left, _ = wire.bin_bounds(found.bins)
    share_above_one = found.bin_counts[left >= 1].sum() / found.bin_counts.sum()
    assert share_above_one == pytest.approx(0.158655, abs=0.004)  # of the normal distribution; four standard errors
    assert found.counts["count"] == x.numel()


@pytest.mark.parametrize(
    ("module", "expected"),
    [(nn.Sigmoid(), 2), (nn.Tanh(), 1), (nn.ReLU6(), 2), (nn.Hardtanh(-2, 6), 2), (nn.ReLU(), wire.NOT_APPLICABLE)],
    ids=lambda value: type(value).__name__,
)
def test_saturation_counts_values_at_the_bounds_of_modules_that_saturate(module: nn.Module, expected: int) -> None:
    assert (
        compute(
            torch.tensor([[0.001, 0.5, 0.998, 5.98, 6.0]])[:, : 3 if isinstance(module, (nn.Sigmoid, nn.Tanh)) else 5], module=module
        ).counts["saturated"]
        == expected
    )


def test_the_work_buffer_serves_tensors_of_any_size_without_leaking_values() -> None:
    scratch = Scratch()
    for x in (normal(4, 32, 9, 9), normal(2, 3), normal(8, 64, 10, 10)):
        summary = statistics.summarise(x, 1, None, scratch)
        before = [np.asarray(part).copy() for part in summary.parts]
        statistics.summarise(normal(4, 4, seed=9) * 1e6, 1, None, scratch)
        assert all(np.array_equal(one, other) for one, other in zip(before, summary.parts, strict=True))


def test_compiled_and_torch_operations_count_the_same(monkeypatch: pytest.MonkeyPatch, implementation: str) -> None:
    if implementation == "torch":
        pytest.skip("compares the two")
    for name, x in CASES.items():
        for axis in {1, None, x.ndim - 1}:
            compiled = compute(x, axis, nn.Sigmoid())
            with monkeypatch.context() as patch:
                patch.setattr(native, "available", lambda: False)
                torches = compute(x, axis, nn.Sigmoid())
            assert compiled.counts == torches.counts, name
            np.testing.assert_array_equal(compiled.bins, torches.bins)
            np.testing.assert_array_equal(compiled.bin_counts, torches.bin_counts)
            np.testing.assert_array_equal(compiled.channel_max, torches.channel_max)
            np.testing.assert_array_equal(compiled.channel_zero, torches.channel_zero)


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_any_number_of_threads_counts_the_same(threads: int) -> None:
    x = with_nonfinite().repeat(40, 40, 2, 2)
    before = torch.get_num_threads()
    expected = compute(x)
    torch.set_num_threads(threads)
    try:
        found = compute(x)
    finally:
        torch.set_num_threads(before)
    assert found.counts == expected.counts
    np.testing.assert_array_equal(found.bin_counts, expected.bin_counts)
    assert found.moments == pytest.approx(expected.moments, rel=1e-6)


def combined(parts: list[torch.Tensor]) -> LayerStatistics:
    found: list[tuple[ActivationSummary, list[np.ndarray]]] = []
    for part in parts:
        summary = statistics.summarise(part, 1, statistics.saturation_bounds(nn.Sigmoid()), Scratch())
        found.append((summary, [np.asarray(part).copy() for part in summary.parts]))
    return finalise(*combine(found))


@pytest.mark.parametrize(
    "x",
    [
        normal(12, 5, 6),
        normal(12, 5, 6).relu() + 1000,
        with_nonfinite().repeat(3, 1, 1, 1),
        torch.full((12, 3), math.nan),
        torch.zeros(12, 2),
    ],
    ids=["normal", "far from zero", "with NaN and Inf", "all NaN", "all zero"],
)
def test_statistics_of_parts_combine_to_those_of_the_whole(x: torch.Tensor) -> None:
    whole, found = compute(x, 1, nn.Sigmoid()), combined([x[:2], x[2:3], x[3:]])
    del whole.counts["near_zero"], found.counts["near_zero"]  # of each part's own RMS
    assert found.counts == whole.counts
    assert found.moments == pytest.approx(whole.moments, rel=1e-4, nan_ok=True)
    np.testing.assert_array_equal(found.bins, whole.bins)
    np.testing.assert_array_equal(found.bin_counts, whole.bin_counts)
    np.testing.assert_allclose(found.channel_mean, whole.channel_mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(found.channel_max, whole.channel_max)
    np.testing.assert_array_equal(found.channel_zero, whole.channel_zero)


def test_parts_with_other_numbers_of_channels_combine_without_channels() -> None:
    parts = [normal(4, 3), normal(4, 5, seed=1)]
    found = combined(parts)
    assert found.counts["channels"] == 1
    assert found.counts["count"] == 32
    assert found.moments["mean"] == pytest.approx(float(torch.cat([part.flatten() for part in parts]).double().mean()), abs=1e-7)
    assert found.bin_counts.sum() == 32
