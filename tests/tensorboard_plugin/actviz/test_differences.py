"""Differences of single records, in cases that no run of the examples has."""

from typing import Any

import numpy as np
import pytest
import synthetic_log

from tensorboard_plugin.actviz import differences, wire


def maps(values: Any, channels: list[int], **more: Any) -> wire.Record:
    header = {"layout": "channels", "samples": list(range(len(values))), "channels": channels, "pool": [1, 1]} | more
    return wire.Record("maps", header, synthetic_log.quantise(np.asarray(values, np.float32)))


VALUES = np.random.default_rng(0).standard_normal((2, 3, 4, 5))


def test_maps_are_compared_channel_by_channel_whatever_the_order_in_which_they_are_kept() -> None:
    one, other = maps(VALUES, [0, 2, 5]), maps(VALUES[:, [2, 0]] * 2, [5, 0])
    assert differences.of_maps(one, other) == pytest.approx(1, abs=0.01)
    assert np.isnan(differences.of_maps(one, maps(VALUES, [1, 3, 4])))


def test_values_that_are_not_finite_are_left_out() -> None:
    broken = VALUES * 2
    broken[0, 1, 2, 3] = np.nan
    assert differences.of_maps(maps(VALUES, [0, 1, 2]), maps(broken, [0, 1, 2])) == pytest.approx(1, abs=0.01)
    assert np.isnan(differences.of_maps(maps(VALUES, [0, 1, 2]), maps(VALUES * np.nan, [0, 1, 2])))


@pytest.mark.parametrize(
    "other",
    [
        maps(VALUES, [0, 1, 2], pool=[2, 2]),
        maps(VALUES, [0, 1, 2], samples=[0, 7]),
        maps(VALUES, [0, 1, 2], layout="sequence"),
        maps(VALUES, [0, 1]),
        maps(VALUES[..., :3], [0, 1, 2]),
        maps(VALUES[:1], [0, 1, 2]),
        wire.Record("maps", {}, {}),
    ],
    ids=["pool", "samples", "layout", "numbers", "size", "count", "nothing"],
)
def test_maps_that_do_not_stand_for_the_same_are_not_compared(other: wire.Record) -> None:
    assert not differences.comparable(maps(VALUES, [0, 1, 2]), other)
    assert np.isnan(differences.of_maps(maps(VALUES, [0, 1, 2]), other))


def test_a_record_without_low_and_high_is_damaged() -> None:
    whole = maps(VALUES, [0, 1, 2])
    torn = wire.Record("maps", whole.header, {"data": whole.arrays["data"]})
    with pytest.raises(wire.WireError, match="without data, low, high"):
        differences.channels(torn)
    assert np.isnan(differences.of_maps(torn, whole))


@pytest.mark.parametrize(
    ("change", "scale", "expected"), [(0, 0, 0), (0, 2, 0), (3, 2, 1.5), (3, 0, np.inf), (-3, 0, -np.inf), (0, np.nan, np.nan)]
)
def test_a_change_from_nothing_is_infinite_and_none_is_zero(change: float, scale: float, expected: float) -> None:
    np.testing.assert_equal(float(differences.relative(np.float64(change), np.float64(scale))), expected)


def test_grams_of_other_numbers_of_samples_say_nothing() -> None:
    records = [wire.Record("gram", {}, {"gram": np.ones(size, np.float32)}) for size in (6, 10, 7)]
    assert np.isnan(differences.of_grams(records[0], records[1]))
    assert np.isnan(differences.of_grams(records[2], records[2]))
