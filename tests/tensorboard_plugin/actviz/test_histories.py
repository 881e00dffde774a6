from typing import Any

import numpy as np
import pytest
import synthetic_log

from tensorboard_plugin.actviz import histories, wire


def record(values: Any, **arrays: Any) -> wire.Record:
    bins, counts = synthetic_log.histogram(values)
    return wire.unpack(wire.pack("layer", {}, {"bins": bins, "counts": counts, **synthetic_log.channel_profile(values), **arrays}))


def normal(seed: int, scale: float = 1.0, shape: tuple[int, ...] = (1000, 50)) -> Any:
    return (np.random.default_rng(seed).standard_normal(shape) * scale).astype(np.float32)


@pytest.mark.parametrize("scale", [1e-30, 0.01, 1.0, 300.0, 1e30])
def test_limits_are_the_percentiles_of_the_values(scale: float) -> None:
    values = [normal(0, scale), normal(1, 3 * scale), np.maximum(normal(2, scale), 0)]
    limits = histories.limits([(step, record(array)) for step, array in enumerate(values)])
    pooled = np.concatenate([array.ravel() for array in values]).astype(np.float64)
    # values are taken to be spread evenly within a bin of a quarter octave, where those of a tail thin out
    assert limits.absolute == pytest.approx(np.quantile(np.abs(pooled), 0.999), rel=0.08)
    assert limits.low == pytest.approx(np.quantile(pooled, 0.001), rel=0.08)
    assert limits.high == pytest.approx(np.quantile(pooled, 0.999), rel=0.08)


def test_limits_weigh_each_value_the_same() -> None:
    few, many = np.full((1, 10), 100, np.float32), np.full((1000, 100), 1, np.float32)
    limits = histories.limits([(0, record(few)), (1, record(many))])
    assert limits.absolute is not None
    assert limits.absolute < 2


@pytest.mark.parametrize("values", [np.full((4, 3), np.nan, np.float32), np.full((4, 3), np.inf, np.float32)])
def test_limits_without_finite_values_are_unknown(values: Any) -> None:
    assert histories.limits([(0, record(values))]) == histories.limits([]) == histories.Limits(None, None, None)


def test_limits_of_zeros_are_zero() -> None:
    assert histories.limits([(0, record(np.zeros((4, 3), np.float32)))]) == histories.Limits(0, 0, 0)


def test_limits_of_the_largest_floats_are_finite() -> None:
    largest = np.full((4, 3), np.finfo(np.float32).max)
    limits = histories.limits([(0, record(largest))])
    assert limits.absolute is not None
    assert np.isfinite(limits.absolute)


def test_shares_of_each_step_are_over_common_bins_and_sum_to_one() -> None:
    values = [normal(0), normal(1, 100), np.zeros((4, 3), np.float32), np.full((4, 3), np.nan, np.float32)]
    found = histories.histograms([(10 * step, record(array)) for step, array in enumerate(values)])
    assert found.steps.tolist() == [0, 10, 20, 30]
    np.testing.assert_allclose(found.shares.sum(axis=1), [1, 1, 1, 0], rtol=1e-5)
    assert np.all(np.diff(found.bins) > 0)
    zero = found.bins == 0
    assert found.shares[2, zero] == 1
    assert (found.left[zero], found.right[zero]) == (0, 0)
    inside = (found.left[:, None] <= values[0].ravel()) & (values[0].ravel() < found.right[:, None])
    np.testing.assert_allclose(found.shares[0][~zero & (found.bins > 0)], inside.mean(axis=1)[~zero & (found.bins > 0)], rtol=1e-5)


def test_channels_that_die_are_named_with_the_step() -> None:
    records = []
    for step in range(5):
        values = np.ones((2, 4, 3, 3), np.float32)
        values[:, 1] = 0  # always dead
        values[:, 2] = 0 if step >= 3 else 1  # dies
        values[:, 3] = 0 if step < 4 else 1  # comes alive at last
        records.append((10 * step, record(values)))
    found = histories.channels(records)
    assert found.dead_since == [(1, 0), (2, 30)]
    np.testing.assert_array_equal(found.zero[:, 2], [0, 0, 0, 1, 1])
    assert found.channels.tolist() == [0, 1, 2, 3]


def test_channels_kept_in_part_are_placed_by_their_index() -> None:
    values = normal(0, shape=(8, 3, 2, 2))
    found = histories.channels([(0, record(values, channels=np.array([5, 2, 9], np.uint32))), (1, record(values))])
    assert found.channels.tolist() == [0, 1, 2, 5, 9]
    expected = values.mean(axis=(0, 2, 3))
    np.testing.assert_allclose(found.mean[0, [3, 2, 4]], expected, rtol=1e-5)
    assert np.isnan(found.mean[0, [0, 1]]).all()
    np.testing.assert_allclose(found.mean[1, :3], expected, rtol=1e-5)
    np.testing.assert_allclose(found.max[1, :3], np.abs(values).max(axis=(0, 2, 3)), rtol=1e-5)


def test_no_records_give_empty_arrays() -> None:
    assert histories.histograms([]).shares.shape == (0, 0)
    assert histories.channels([]).mean.shape == (0, 0)
    assert histories.channels([]).dead_since == []


@pytest.mark.parametrize(
    "arrays",
    [
        {},
        {"bins": np.zeros(3, np.int16), "counts": np.zeros(4, np.uint32), "channel_mean": np.zeros(2, np.float32)},
        {"bins": np.full(3, 1020, np.int16), "counts": np.ones(3, np.uint32)},
        {"bins": np.full(3, -32768, np.int16), "counts": np.ones(3, np.uint32)},
        {"bins": np.zeros((3, 1), np.int16), "counts": np.ones((3, 1), np.uint32)},
        {name: np.zeros((2, 2), np.float32) for name in ("channel_mean", "channel_max", "channel_zero")},
        {name: np.zeros(size, np.float32) for size, name in enumerate(("channel_mean", "channel_max", "channel_zero"))},
    ],
)
def test_records_that_make_no_sense_are_left_out(arrays: dict[str, Any]) -> None:
    odd = wire.unpack(wire.pack("layer", {}, arrays))
    good = record(normal(0))
    assert histories.histograms([(0, odd), (1, good)]).steps.tolist() == [1]
    assert histories.channels([(0, odd), (1, good)]).steps.tolist() == [1]
    assert histories.limits([(0, odd), (1, good)]) == histories.limits([(1, good)])


def attention_record(entropy: Any, logit: Any, high: Any, heads: list[Any]) -> wire.Record:
    arrays = {"entropy": entropy, "largest_logit": logit, "high": high}
    return wire.Record("attention", {"channels": heads}, {name: np.asarray(array, np.float32) for name, array in arrays.items()})


def test_heads_are_means_and_largest_over_the_samples_and_placed_by_their_index() -> None:
    first = attention_record([[1, 2], [3, 6]], [[5, 7], [9, 1]], [[0.1, 0.5], [0.2, 0.4]], [0, 4])
    other = attention_record([[np.nan], [0.5]], [[np.nan], [np.nan]], [[1], [0.25]], [4])
    found = histories.heads([(3, first), (8, other), (9, attention_record([[1]], [[1]], [[1]], ["x"])), (10, record(np.ones((3, 2))))])
    assert (found.steps.tolist(), found.heads.tolist()) == ([3, 8], [0, 4])
    np.testing.assert_array_equal(found.entropy, [[2, 4], [np.nan, 0.5]])
    np.testing.assert_array_equal(found.largest_logit, [[9, 7], [np.nan, np.nan]])
    np.testing.assert_allclose(found.largest_weight, [[0.2, 0.5], [np.nan, 1]])


def test_heads_of_no_records_are_empty() -> None:
    assert histories.heads([]).entropy.shape == (0, 0)
