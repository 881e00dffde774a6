"""What logging costs the training, and how a limit on it widens the interval."""

from __future__ import annotations

import time
import warnings
from collections import deque
from statistics import median

from actviz_tb import schedule as schedules
from actviz_tb.errors import ArgumentError, ArgumentTypeError, CostWarning
from actviz_tb.schedule import Schedule

WARN_FROM = 0.1
WARN_FROM_S = 5.0
"""What is worth a warning: so much of the training's time, once logging has taken so long in all."""
_COSTS = 9
_STEPS = 31


def checked_limit(max_overhead: float | None) -> float | None:
    """Return the argument `max_overhead` of `watch`.

    Raises:
        ArgumentTypeError, ArgumentError: not a fraction between 0 and 1.
    """
    if max_overhead is None:
        return None
    if isinstance(max_overhead, bool) or not isinstance(max_overhead, (int, float)):
        raise ArgumentTypeError(f"max_overhead={max_overhead!r} is a {type(max_overhead).__name__}; expected a fraction such as 0.01")
    if not 0 < max_overhead < 1:
        raise ArgumentError(f"max_overhead={max_overhead}; expected a fraction of the training's time between 0 and 1, such as 0.01")
    return float(max_overhead)


class Overhead:
    """Decides which steps are due, given the schedule and what the logged ones have cost so far.

    With a limit the interval is multiplied by a power of two, so that runs with different factors still have steps in common.

    Attributes:
        factor: the interval is so many times the schedule's.

    Args:
        schedule: of the steps.
        interval: the schedule's, where it is a fixed one, else None.
        limit: fraction of the training's time that logging may take, or None.
    """

    def __init__(self, schedule: Schedule, interval: int | None, limit: float | None) -> None:
        self.factor = 1
        self._schedule = schedule
        self._interval = interval
        self._limit = limit
        self._warn = limit is None and interval is not None
        self._started_s: float | None = None
        self._cost_s = 0.0
        self._costs_s: deque[float] = deque(maxlen=_COSTS)
        self._steps_s: deque[float] = deque(maxlen=_STEPS)
        self._logged = 0
        self._last_due: int | None = None
        self._gap = 1
        self._due_steps = 0
        self._since_s = self._taken_s = 0.0

    def due(self, step: int) -> bool:
        """Say whether a step that begins now is logged."""
        if self._limit is not None:
            self._tick(time.perf_counter())
        if not self._schedule(step):
            return False
        if self._warn:
            self._judge(time.perf_counter())
        if self._last_due is not None and step > self._last_due:
            self._gap = step - self._last_due
        self._last_due = step
        return step // (self._interval or self._gap) % self.factor == 0

    def quiet_after(self, step: int) -> int:
        """Return how many of the steps after this one need not be asked for."""
        return 0 if self._limit is not None else schedules.quiet_after(self._schedule, step)

    def add(self, seconds: float) -> None:
        """Enter time that the step at hand took from the training."""
        self._cost_s += seconds
        self._taken_s += seconds

    def _tick(self, now_s: float) -> None:
        """A step begins, and the former one is over."""
        if self._started_s is not None:
            self._steps_s.append(max(now_s - self._started_s - self._cost_s, 1e-9))
            if self._cost_s:
                if self._logged == 1:
                    self._costs_s.clear()  # the first logged step allocates what later ones use again
                self._costs_s.append(self._cost_s)
                self._logged += 1
            self._adapt()
        self._started_s = now_s
        self._cost_s = 0.0

    def _adapt(self) -> None:
        if self._limit is None or self._logged < 2:
            return
        fraction = median(self._costs_s) / (median(self._steps_s) * (self._interval or self._gap))
        while fraction / self.factor > self._limit:
            self.factor *= 2
        while self.factor > 1 and fraction / self.factor < self._limit / 4:
            self.factor //= 2

    def _judge(self, now_s: float) -> None:
        """A due step begins: warn where logging has taken much since the second one. The first allocates what later ones use again."""
        self._due_steps += 1
        if self._due_steps <= 2:
            self._since_s, self._taken_s = now_s, 0.0
        if self._taken_s < WARN_FROM_S:
            return
        fraction = self._taken_s / max(now_s - self._since_s - self._taken_s, 1e-9)
        if fraction > WARN_FROM:
            self._warn = False
            warnings.warn(
                f"logging takes {fraction:.0%} of the training's time at every={self._interval} ({self._taken_s:.1f} s so far, "
                f"{self._taken_s / (self._due_steps - 2) * 1e3:.1f} ms a logged step): log more sparsely "
                f"(every={self._remedy(fraction)}), set max_overhead=0.01, or record less (layers=, samples=, max_channels=, "
                "functional=False, attention=False)",
                CostWarning,
                stacklevel=2,
            )

    def _remedy(self, fraction: float) -> int:
        interval = self._interval or 1
        while fraction > WARN_FROM / 2:
            interval, fraction = interval * 2, fraction / 2
        return interval
