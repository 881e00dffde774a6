"""`merge_ranks`: the statistics of the global batch, against numpy in float64, and ranks that do not come."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rank_merging
import rank_training
import ranks
import torch
from logged import counts_and_moments, layers_of, of_tag, records

from actviz_tb import statistics
from actviz_tb.statistics import Scratch
from actviz_tb.summary import ActivationSummary, combine, finalise
from tensorboard_plugin.actviz import wire


def normal(*shape: int, seed: int = 0, scale: float = 1.0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * scale


def with_nonfinite(x: torch.Tensor) -> torch.Tensor:
    x[0, 0], x[0, 1], x[1, 1], x[2, 2] = math.nan, math.inf, math.inf, -math.inf
    return x


SHARES = {
    "even": [normal(8, 5), normal(8, 5, seed=1) + 3],
    "uneven, an outlier of four": [normal(2, 5), normal(7, 5, seed=1, scale=1e4), normal(1, 5, seed=2), normal(30, 5, seed=3)],
    "NaN and Inf on one rank": [normal(4, 5), with_nonfinite(normal(4, 5, seed=1))],
    "NaN only on one rank": [torch.full((2, 5), math.nan), normal(4, 5)],
    "more channels than the first message holds": [normal(2, 4096), normal(3, 4096, seed=1)],
}


def in_bin(values: npt.NDArray[np.float64], low: float, high: float) -> int:
    """Bins are open at the end that is away from zero; that of zero holds nothing else."""
    if low == high:
        return int((values == 0).sum())
    return int((((values >= low) & (values < high)) if high > 0 else ((values > low) & (values <= high))).sum())


def assert_is_of(directory: Path, layer: str, values: npt.NDArray[Any], bound: float | None = None) -> None:
    """What is recorded of a layer is the statistics of `values` [N, C]."""
    finite = values[np.isfinite(values)].astype(np.float64)
    counts, moments = counts_and_moments(directory, layer)
    del counts["near_zero"]  # in relation to each rank's own RMS
    assert counts == {
        "count": values.size,
        "zero": (values == 0).sum(),
        "saturated": -1 if bound is None else (np.abs(values) >= bound).sum(),
        "nan": np.isnan(values).sum(),
        "posinf": np.isposinf(values).sum(),
        "neginf": np.isneginf(values).sum(),
        "channels": values.shape[1],
        "dead_channels": (values == 0).all(0).sum(),
    }
    scaled = (finite - finite.mean()) / finite.std()
    expected = {"mean": finite.mean(), "std": finite.std(), "rms": math.sqrt((finite**2).mean()), "kurtosis": (scaled**4).mean()}
    assert {name: moments[name] for name in expected} == pytest.approx(expected, rel=1e-6, abs=1e-6 * expected["rms"])
    assert (moments["min"], moments["max"]) == (finite.min(), finite.max())
    record = of_tag(directory, f"actviz/layer/{layer}")[0]
    assert record.header["sampled_every"] == 1
    assert record.arrays["counts"].tolist() == [
        in_bin(finite, *bounds) for bounds in zip(*wire.bin_bounds(record.arrays["bins"]), strict=True)
    ]
    assert record.arrays["counts"].sum() == finite.size
    channel_mean = np.nanmean(np.where(np.isfinite(values), values, np.nan).astype(np.float64), 0)
    np.testing.assert_allclose(record.arrays["channel_mean"], channel_mean, rtol=1e-5, atol=1e-6 * expected["rms"])


@pytest.mark.parametrize("case", SHARES)
def test_statistics_and_histograms_are_those_of_the_global_batch(tmp_path: Path, case: str) -> None:
    shares = SHARES[case]
    calls = [rank % 2 == 1 for rank in range(len(shares))]
    assert ranks.run(rank_merging.log_shares, len(shares), tmp_path, tmp_path / "run", shares, calls) == [None] * len(shares)
    whole = np.concatenate([share.numpy() for share in shares])
    assert_is_of(tmp_path / "run", "same", whole)
    assert_is_of(tmp_path / "run", "tanh", np.concatenate([share.tanh().numpy() for share in shares]), bound=0.98)
    assert_is_of(
        tmp_path / "run", "extra", np.concatenate([share.relu().numpy() for share, called in zip(shares, calls, strict=True) if called])
    )


def test_the_spread_over_ranks_shows_the_outlier_and_the_rank_that_does_not_run_a_layer(tmp_path: Path) -> None:
    shares, calls = SHARES["uneven, an outlier of four"], [False, True, True, True]
    shares = [*shares[:3], with_nonfinite(shares[3].clone())]
    assert ranks.run(rank_merging.log_shares, 4, tmp_path, tmp_path / "run", shares, calls) == [None] * 4
    arrays = of_tag(tmp_path / "run", "actviz/step")[0].arrays
    same, extra = (layers_of(tmp_path / "run").index(layer) for layer in ("same", "extra"))
    finite = [share[share.isfinite()].double().numpy() for share in shares]
    np.testing.assert_allclose(arrays["rank_rms"][:, same], [math.sqrt((values**2).mean()) for values in finite], rtol=1e-6)
    np.testing.assert_array_equal(arrays["rank_absmax"][:, same], np.array([np.abs(values).max() for values in finite], np.float32))
    np.testing.assert_array_equal(arrays["rank_nonfinite"][:, same], [0, 0, 0, 4])
    assert arrays["rank_rms"][:, same].argmax() == 1
    for name in ("rank_rms", "rank_absmax", "rank_nonfinite"):
        assert np.isnan(arrays[name][:, extra]).tolist() == [True, False, False, False]


def test_a_logged_step_has_one_collective_of_its_own_and_the_others_none(tmp_path: Path) -> None:
    for plain, watched in ranks.run(rank_merging.count_collectives, 2, tmp_path, tmp_path / "run"):
        assert plain[0] >= 1
        assert [more - own for more, own in zip(watched, plain, strict=True)] == [1, 0, 1, 0]


def test_a_rank_that_pauses_costs_the_merging_and_not_the_training(tmp_path: Path) -> None:
    expected = ranks.run(rank_training.train, 2, tmp_path, "DDP", "not", tmp_path, {})
    for rank, trained in enumerate(ranks.run(rank_merging.train_with_an_absentee, 2, tmp_path, tmp_path, "paused")):
        assert not isinstance(trained, str), trained
        assert trained.losses == expected[rank].losses
        assert trained.report.faults == ({} if rank else {"": 1})  # there is no second attempt
        assert ["from now on statistics are of this rank's share of the batch alone" in told for told in trained.told] == [True] * (
            1 - rank
        )
    steps = of_tag(tmp_path / "0", "actviz/step")
    assert list(steps) == [0, 1, 2, 3]
    assert [("rank_rms" in record.arrays, record.arrays["counts"][0, 0]) for record in steps.values()] == [(True, 3072)] * 2 + [
        (False, 1536)
    ] * 2


def test_when_a_rank_is_killed_the_others_end_by_the_process_groups_own_error_with_what_they_logged(tmp_path: Path) -> None:
    survivor, killed = ranks.run(rank_merging.train_with_an_absentee, 2, tmp_path, tmp_path, "killed")
    assert killed is None
    assert "loss.backward()" in survivor, survivor
    assert "\nRuntimeError: " in survivor
    steps = of_tag(tmp_path / "0", "actviz/step")
    assert {step: "rank_rms" in record.arrays for step, record in steps.items()} == {0: True, 1: True, 2: False}


def test_watching_again_takes_over_on_every_rank(tmp_path: Path) -> None:
    assert ranks.run(rank_merging.watch_again, 2, tmp_path, tmp_path / "run") == [[], []]
    files = sorted((tmp_path / "run").iterdir())
    assert len(files) == 2
    steps = [record.arrays["counts"][0, 0] for tag, _, record in records(tmp_path / "run") if tag == "actviz/step"]
    assert steps == [4, 4, 4, 4]


def test_a_rank_that_asks_for_merged_statistics_alone_is_refused(tmp_path: Path) -> None:
    refused, _ = ranks.run(rank_merging.watch_alone, 2, tmp_path, tmp_path / "run")
    assert refused.startswith("ArgumentError: merge_ranks=True, but some rank does not make the same call"), refused
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("on_error", "steps"), [("warn", [0, 1]), ("raise", [1])])
def test_a_group_that_only_some_ranks_form_later_fails_in_time_and_once(tmp_path: Path, on_error: str, steps: list[int]) -> None:
    told, nothing = ranks.run(rank_merging.merge_alone, 2, tmp_path, tmp_path, on_error, join=False)
    assert told[0].count("from now on statistics are of this rank's share of the batch alone") == 1, told
    assert nothing == ("", 2.0)
    assert told[1] == 2.0
    assert list(of_tag(tmp_path / "0", "actviz/step")) == steps


def part(values: npt.NDArray[np.float64], stride: int = 1) -> tuple[ActivationSummary, list[npt.NDArray[Any]]]:
    """The summary of [N, C], made by numpy in float64."""
    scale = np.abs(values).max() or 1.0
    z = (values - values.mean()) / scale
    codes = values.astype(np.float32).ravel()[::stride].view(np.uint32) >> wire.HISTOGRAM_SHIFT
    arrays = [
        np.full(values.shape[1], len(values)),
        values.sum(0),
        values.min(0),
        values.max(0),
        (values == 0).sum(0),
        np.array([scale, *((z**power).sum() for power in (2, 3, 4))]),
        np.array([0, -1, 0, 0, 0]),
        np.bincount(np.where(codes < 1024, codes + 1024, codes - 1024), minlength=2048),
    ]
    return ActivationSummary(values.size, len(values), stride, ()), arrays


@pytest.mark.parametrize("shift", [0.0, 1e3, -1e7])
def test_moments_of_parts_combine_to_those_of_the_whole_within_float64_rounding(shift: float) -> None:
    random = np.random.default_rng(0)
    parts = [random.normal(rank + shift, 10.0**rank, (size, 3)) for rank, size in enumerate((1, 50, 7, 200))]
    whole = np.concatenate(parts)
    found = finalise(*combine([part(values) for values in parts])).moments
    deviation = whole - whole.mean()
    expected = {
        "mean": whole.mean(),
        "std": whole.std(),
        "min": whole.min(),
        "max": whole.max(),
        "rms": math.sqrt((whole**2).mean()),
        "kurtosis": (deviation**4).mean() / (deviation**2).mean() ** 2,
    }
    assert found == pytest.approx(expected, rel=1e-12, abs=1e-12 * (1 + abs(shift)))


def test_histograms_of_large_shares_are_sampled_and_combine_to_the_same_distribution() -> None:
    shares = [normal(1_300, 1_000), normal(1_700, 1_000, seed=1) * 3 + 1, normal(10, 1_000, seed=2) * 1e-3]
    parts = [statistics.summarise(share, 1, None, Scratch()) for share in shares]
    assert [summary.sampled_every for summary in parts] == [9, 13, 1]
    whole = finalise(*combine([(summary, [*map(np.asarray, summary.parts)]) for summary in parts]))
    assert whole.bin_counts.sum() == pytest.approx(whole.counts["count"] / 13, rel=1e-4)
    values = np.sort(np.concatenate([share.numpy().ravel() for share in shares]))
    _, right = wire.bin_bounds(whole.bins)
    below = np.searchsorted(values, right.astype(np.float32)) / len(values)
    assert np.abs(np.cumsum(whole.bin_counts) / whole.bin_counts.sum() - below).max() < 0.004


def test_histograms_of_which_one_is_sampled_combine_without_losing_what_is_rare() -> None:
    random = np.random.default_rng(0)
    parts = [random.normal(0.0, 1.0, (1 << 10, 300)), np.exp(random.uniform(-40.0, 40.0, (500, 1)))]
    strides = [17, 1]
    whole = finalise(*combine([part(values, stride) for values, stride in zip(parts, strides, strict=True)]))
    # What each part alone says of how many values there are below each edge.
    edges = wire.LOWER_EDGES[200:]
    below = sum((values.ravel()[::stride][:, None] < edges).sum(0) * stride for values, stride in zip(parts, strides, strict=True))
    _, right = wire.bin_bounds(whole.bins)
    found = np.array([whole.bin_counts[right <= edge].sum() for edge in edges]) * 17.0
    np.testing.assert_allclose(found, below, atol=17)
