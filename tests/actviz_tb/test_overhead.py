"""What logging costs: measured, limited, warned of and reported. The time in these tests is a clock that the tests set."""

import itertools
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from logged import of_tag
from odd_models import batch
from torch import nn

import actviz_tb
from actviz_tb import gradients, overhead, recorder, recording, schedule
from actviz_tb.overhead import Overhead


class Clock:
    """Stands in for the module `time`; does not go on by itself.

    Args:
        tick_s: how far it goes each time that it is read.
    """

    def __init__(self, tick_s: float = 0.0) -> None:
        self.now_s, self.tick_s = 100.0, tick_s

    def perf_counter(self) -> float:
        self.now_s += self.tick_s
        return self.now_s

    def time(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(overhead, "time", found)
    return found


def simulate(
    found: Overhead,
    clock: Clock,
    steps: range,
    step_s: Callable[[int], float] = lambda step: 0.01,
    cost_s: Callable[[int], float] = lambda step: 0.01,
) -> list[int]:
    """Train, and return the logged steps."""
    logged = []
    for step in steps:
        if found.due(step):
            logged.append(step)
            clock.now_s += cost_s(step)
            found.add(cost_s(step))
        clock.now_s += step_s(step)
    return logged


def every(interval: int, limit: float | None) -> Overhead:
    return Overhead(schedule.resolve(interval), interval, limit)


def is_power_of_two(number: int) -> bool:
    return number > 0 and number & (number - 1) == 0


@pytest.mark.parametrize("interval", [1, 3, 10, 100])
@pytest.mark.parametrize("cost_s", [0.0001, 0.003, 0.01, 0.2, 3.0])
def test_the_interval_widens_by_powers_of_two_until_the_limit_is_kept(clock: Clock, interval: int, cost_s: float) -> None:
    found = every(interval, 0.02)
    simulate(found, clock, range(20 * interval), cost_s=lambda step: cost_s)
    assert is_power_of_two(found.factor)
    settled, length = found.factor * interval, 8 * found.factor * interval
    logged = simulate(found, clock, range(settled * 100, settled * 100 + length), cost_s=lambda step: cost_s)
    assert logged == list(range(settled * 100, settled * 100 + length, settled))
    assert cost_s / (0.01 * settled) <= 0.02
    assert found.factor == 1 or cost_s / (0.01 * settled) > 0.02 / 4  # and no wider than it must be


def test_runs_with_other_costs_have_steps_in_common(clock: Clock) -> None:
    logged = []
    for cost_s in (0.004, 0.03, 0.3):
        found = every(10, 0.05)
        simulate(found, clock, range(1000), cost_s=lambda step, cost_s=cost_s: cost_s)  # type: ignore[misc]
        logged.append(set(simulate(found, clock, range(1000, 9000), cost_s=lambda step, cost_s=cost_s: cost_s)))  # type: ignore[misc]
    assert logged[0] > logged[1] > logged[2] > set()


def test_a_limit_that_is_kept_changes_nothing(clock: Clock) -> None:
    found = every(10, 0.5)
    assert simulate(found, clock, range(200)) == list(range(0, 200, 10))
    assert found.factor == 1


def test_without_a_limit_every_step_of_the_schedule_is_logged(clock: Clock) -> None:
    assert simulate(every(5, None), clock, range(50), cost_s=lambda step: 10.0) == list(range(0, 50, 5))


@pytest.mark.parametrize(("cost_s", "settled"), [(0.005, 10), (0.015, 20)])
def test_neither_an_expensive_first_step_nor_rare_slow_ones_change_the_interval(clock: Clock, cost_s: float, settled: int) -> None:
    found = every(10, 0.1)

    def step_s(step: int) -> float:
        return 30.0 if step % 100 == 50 else 0.01  # a checkpoint is written, say

    logged = simulate(found, clock, range(400), step_s, lambda step: 0.5 if step == 0 else cost_s)
    assert [step for step in logged if step >= 20] == list(range(20, 400, settled))


def test_the_interval_narrows_again_when_the_cost_falls(clock: Clock) -> None:
    found = every(1, 0.02)
    simulate(found, clock, range(2000), cost_s=lambda step: 0.05)
    wide = found.factor
    simulate(found, clock, range(2000, 2000 + 40 * wide), cost_s=lambda step: 0.00004)
    assert wide >= 128
    assert found.factor == 1


SCHEDULES: dict[str, tuple[schedule.Schedule, int]] = {
    "decades": (schedule.decades(), 10),
    "never at a multiple": (lambda step: step % 10 == 5, 10),
    "by its own rule": (lambda step: step % 7 == 3, 7),
}


@pytest.mark.parametrize(("rule", "gap"), SCHEDULES.values(), ids=SCHEDULES.keys())
def test_a_schedule_without_a_fixed_interval_is_thinned_out_as_much(clock: Clock, rule: schedule.Schedule, gap: int) -> None:
    found = Overhead(rule, None, 0.02)
    simulate(found, clock, range(400), cost_s=lambda step: 0.02)
    logged = simulate(found, clock, range(400, 1000), cost_s=lambda step: 0.02)
    assert is_power_of_two(found.factor)
    assert all(rule(step) for step in logged)
    assert {later - step for step, later in itertools.pairwise(logged)} == {found.factor * gap}
    assert 0.02 / 4 <= 0.02 / (0.01 * found.factor * gap) <= 0.02


def test_a_watched_model_is_logged_ever_more_rarely_where_the_limit_is_tiny(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(4, 4))
    with actviz_tb.watch(model, tmp_path, every=1, max_overhead=1e-9):
        for _ in range(30):
            model(batch())
    assert list(of_tag(tmp_path, "actviz/step")) == [0, 1]  # the first one allocates, and does not count


# The warning


@contextmanager
def told() -> Iterator[list[str]]:
    found: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield found
    found += [str(warning.message) for warning in caught if issubclass(warning.category, actviz_tb.CostWarning)]


@pytest.mark.parametrize("interval", [1, 5, 10, 100])
def test_a_costly_interval_is_warned_of_once_with_a_remedy_that_suffices(clock: Clock, interval: int) -> None:
    found = every(interval, None)
    cost_s = lambda step: 0.003 * interval if step else 20.0  # the first one, which compiles and allocates, tells nothing  # noqa: E731
    first = math.ceil(5.0 / 0.003) + interval
    with told() as early:
        simulate(found, clock, range(first), cost_s=cost_s)
    with told() as messages:
        simulate(found, clock, range(first, 2 * first), cost_s=cost_s)
    assert not early
    assert len(messages) == 1
    assert f"logging takes 30% of the training's time at every={interval} " in messages[0]
    assert f"s so far, {3 * interval:.1f} ms a logged step)" in messages[0]
    assert f"(every={8 * interval})" in messages[0]  # 30% / 8 is below a twentieth
    assert "max_overhead=0.01" in messages[0]


def test_no_warning_while_logging_has_taken_few_seconds_in_all(clock: Clock) -> None:
    with told() as messages:
        simulate(every(5, None), clock, range(1000), cost_s=lambda step: 0.02)  # 4 s of 14
    assert not messages


def test_logging_that_costs_more_later_on_is_warned_of_then(clock: Clock) -> None:
    found = every(10, None)
    with told() as messages:
        simulate(found, clock, range(10_000), cost_s=lambda step: 0.009)
    assert not messages
    with told() as messages:
        simulate(found, clock, range(10_000, 30_000), cost_s=lambda step: 0.03)
    assert len(messages) == 1


@pytest.mark.parametrize(
    "found",
    [lambda: every(10, 0.01), lambda: Overhead(schedule.decades(), None, None)],
    ids=["a limit is set", "the schedule thins out by itself"],
)
def test_no_warning_where_the_interval_is_not_the_users_own(clock: Clock, found: Callable[[], Overhead]) -> None:
    with told() as messages:
        simulate(found(), clock, range(3000), cost_s=lambda step: 0.1)
    assert not messages


def test_no_warning_below_a_tenth(clock: Clock) -> None:
    with told() as messages:
        simulate(every(10, None), clock, range(10_000), cost_s=lambda step: 0.009)
    assert not messages


# The report


def test_the_table_of_costs_adds_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(tick_s=0.001)
    for module in (overhead, recorder, recording, gradients):
        monkeypatch.setattr(module, "time", clock)
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    logger = actviz_tb.watch(model, tmp_path, every=2, gradients=True)
    for _ in range(6):
        model(batch()).sum().backward()
    logger.mark("end")
    report = logger.report()
    logger.close()
    assert report.steps == 3
    assert [layer.steps for layer in report.layers.values()] == [3, 3, 3]
    # Each forward hook and each gradient's reads the clock when it begins and when it ends.
    assert [layer.time_ms for layer in report.layers.values()] == pytest.approx([2.0, 2.0, 2.0])
    assert report.time_ms > sum(layer.time_ms for layer in report.layers.values())
    in_file = sum(path.stat().st_size for path in tmp_path.iterdir())
    header = 16 + 24  # the file's version
    assert 0 <= in_file - report.size_bytes - header < 24
    of_layers = sum(layer.size_bytes * layer.steps for layer in report.layers.values())
    assert 0 < of_layers < report.size_bytes
    rows = [line.split() for line in str(report).splitlines()[2:]]
    assert [row[0] for row in rows] == list(report.layers)
    for row, layer in zip(rows, report.layers.values(), strict=True):
        assert (int(row[1]), float(row[2]), float(row[3])) == (
            layer.steps,
            pytest.approx(layer.time_ms),
            pytest.approx(layer.size_bytes, abs=0.5),
        )


def test_gradients_count_towards_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    costs = []
    for with_gradients in (False, True):
        clock = Clock(tick_s=0.001)
        for module in (overhead, recorder, recording, gradients):
            monkeypatch.setattr(module, "time", clock)
        model = nn.Sequential(*(nn.Linear(4, 4) for _ in range(50)))
        with actviz_tb.watch(model, tmp_path / str(with_gradients), every=1, gradients=with_gradients) as logger:
            model(batch()).sum().backward()
            costs.append(logger.report().time_ms)
    assert costs[1] == pytest.approx(costs[0] + 50 * 1.0)
