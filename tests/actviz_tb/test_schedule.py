import numpy as np
import pytest

from actviz_tb import schedule
from actviz_tb.errors import ArgumentError, ArgumentTypeError


def logged(due: schedule.Schedule, steps: int) -> list[int]:
    return [step for step in range(steps) if due(step)]


def test_every_counts_from_zero() -> None:
    assert logged(schedule.every(4), 10) == [0, 4, 8]
    assert logged(schedule.resolve(np.int64(5)), 11) == [0, 5, 10]


def test_decades_is_dense_early_and_bounded_late() -> None:
    steps = logged(schedule.decades(), 100_001)
    assert steps[:100] == list(range(100))
    assert steps[100:103] == [100, 110, 120]
    assert len(steps) == 371
    assert steps[-1] == 100_000


def test_schedules_depend_on_the_step_alone() -> None:
    due = schedule.decades()
    assert [due(step) for step in range(500)] == [due(step) for step in range(500)]
    assert logged(schedule.warmup(3, 8), 20) == [0, 1, 2, 8, 16]


@pytest.mark.parametrize("interval", [0, -1])
def test_an_interval_below_one_is_refused(interval: int) -> None:
    with pytest.raises(ArgumentError, match=f"every={interval}; expected 1"):
        schedule.resolve(interval)


def test_something_else_is_refused() -> None:
    with pytest.raises(ArgumentTypeError, match="every='often' is a str; expected a whole number"):
        schedule.resolve("often")  # type: ignore[arg-type]
