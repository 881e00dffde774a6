import tracemalloc
from array import array

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tensorboard_plugin.actviz import wire
from tensorboard_plugin.actviz.eventfile import Found
from tensorboard_plugin.actviz.runindex import RunIndex
from tensorboard_plugin.actviz.series import COLUMNS, STATISTICS, Place, Series, StepTable

COUNTS = dict.fromkeys(wire.COUNTS, 0)


def counts(**given_counts: int) -> np.ndarray:
    return np.array([list((COUNTS | given_counts).values())], dtype=np.int64)


def moments(mean: float = 0.0) -> np.ndarray:
    return np.array([[mean, 1, -1, 2, 1, 3]], dtype=np.float32)


def put(table: StepTable, step: int, layer: str = "a", *, later: bool = True, sequence: int = 1, **given_counts: int) -> None:
    table.put(
        step, float(step), Place(0, 0), later=later, sequence=sequence, layers=[layer], counts=counts(**given_counts), moments=moments()
    )


@given(
    st.lists(st.tuples(st.lists(st.integers(-3, 12), max_size=4), st.integers(0, 2)), max_size=30),
    st.permutations([0, 1, 2]),
    st.sets(st.integers(0, 29)),
)
def test_a_series_keeps_the_last_record_of_each_step(writes: list[tuple[list[int], int]], ranks: list[int], looks: set[int]) -> None:
    series = Series()
    expected: dict[int, tuple[int, int, int]] = {}
    for number, (written, file) in enumerate(writes):
        written_at = range(4 * number, 4 * number + len(written))
        series.extend(array("q", written), file, array("Q", written_at))
        for step, offset in zip(written, written_at, strict=True):
            expected[step] = max(expected.get(step, (-1, -1, -1)), (ranks[file], offset, file))
        if number in looks:  # looking in between changes nothing
            series.places(ranks)
    steps, files, offsets = series.places(ranks)
    found = dict(zip(steps.tolist(), zip(files.tolist(), offsets.tolist(), strict=True), strict=True))
    assert steps.tolist() == sorted(expected)
    assert found == {step: (file, offset) for step, (_, offset, file) in expected.items()}


def test_two_million_records_take_less_than_sixty_megabytes() -> None:
    tracemalloc.start()
    try:
        index = RunIndex("run")
        index.add_path("events.out.tfevents.1")
        for layer in range(100):
            tag = wire.layer_tag("maps", f"layer{layer}").encode()
            index.add(0, Found({tag: (array("q", range(20_000)), array("Q", range(0, 20_000_000, 1000)))}, []))
        assert len(index.places("maps", "layer7")[0]) == 20_000
        assert tracemalloc.get_traced_memory()[0] < 60e6
    finally:
        tracemalloc.stop()


def test_fractions_are_of_all_elements_or_channels() -> None:
    table = StepTable()
    put(table, 0, count=200, zero=50, near_zero=20, saturated=-1, nan=1, posinf=2, neginf=3, channels=16, dead_channels=4)
    value = {name: table.statistic(name, table.order(), ["a"])[0, 0] for name in COLUMNS}
    assert value["zero"] == 0.25
    assert value["near_zero"] == 0.1
    assert np.isnan(value["saturated"])
    assert value["nonfinite"] == 0.03
    assert value["dead_channels"] == 0.25
    assert (value["count"], value["nan"], value["posinf"], value["neginf"], value["channels"]) == (200, 1, 2, 3, 16)
    assert value["min"] == -1


def test_what_was_not_logged_is_nan_and_what_is_empty_has_nothing_nonfinite() -> None:
    table = StepTable()
    put(table, 0, "a", count=4, nan=4, channels=2)
    put(table, 1, "empty", count=0)
    rows = table.order()
    layers = ["a", "empty", "unheard of"]
    for name in COLUMNS:
        values = table.statistic(name, rows, layers)
        assert np.isnan(values[0, 1]), name
        assert np.isnan(values[1, 0]), name
        assert np.isnan(values[2]).all(), name
    assert table.statistic("nonfinite", rows, layers)[0, 0] == 1
    assert table.statistic("nonfinite", rows, layers)[1, 1] == 0
    assert np.isnan(table.statistic("zero", rows, layers)[1, 1])


def test_counts_beyond_32_bits_stay_exact() -> None:
    table = StepTable()
    put(table, 0, count=7)
    put(table, 1, count=2**40 + 1)
    put(table, 2, count=9)
    assert table.statistic("count", table.order(), ["a"]).tolist() == [[7, 2**40 + 1, 9]]


def test_rows_come_by_step_and_by_sequence() -> None:
    table = StepTable()
    for sequence, step in enumerate([30, 10, 20, 10], start=1):
        put(table, step, sequence=sequence, count=sequence)
    assert table.steps(table.order()).tolist() == [10, 20, 30]
    assert table.statistic("count", table.order(), ["a"]).tolist() == [[4, 3, 1]]
    assert table.steps(table.order(after=2)).tolist() == [10, 20]
    assert table.steps(table.order(after=4)).tolist() == []


def test_an_earlier_record_fills_gaps_only() -> None:
    table = StepTable()
    put(table, 5, "a", count=1)
    put(table, 5, "a", later=False, count=2)
    put(table, 5, "b", later=False, count=3)
    assert table.statistic("count", table.order(), ["a", "b"]).tolist() == [[1], [3]]


def test_a_table_grows_in_both_directions() -> None:
    table = StepTable()
    for step in range(100):
        put(table, step, f"layer{step // 7}", count=step)
    values = table.statistic("count", table.order(), table.layers)
    assert [values[step // 7, step] for step in range(100)] == list(range(100))
    assert np.isnan(values).sum() == values.size - 100


@pytest.mark.parametrize("name", STATISTICS)
def test_no_steps_and_no_layers_give_empty_arrays(name: str) -> None:
    table = StepTable()
    assert table.statistic(name, table.order(), []).shape == (0, 0)
    assert table.statistic(name, table.order(), ["a"]).shape == (1, 0)
    put(table, 0)
    assert table.statistic(name, table.order(), []).shape == (0, 1)
