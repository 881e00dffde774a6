"""Which steps are logged: schedules for ``watch(every=...)``.

A schedule is a callable ``step -> bool`` of the step's number alone, so that runs logged with the same schedule have
their steps in common and can be compared.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import SupportsIndex

from actviz_tb.errors import ArgumentError, ArgumentTypeError

Schedule = Callable[[int], bool]
_FORESEEN = 256


def every(interval: int) -> Schedule:
    """Log steps 0, n, 2n, ...

    >>> [step for step in range(10) if every(4)(step)]
    [0, 4, 8]
    """
    if interval < 1:
        raise ArgumentError(
            f"every={interval}; expected 1 (each step) or more, a callable step -> bool, or a schedule of actviz_tb.schedule"
        )
    return _foreseeable(lambda step: step % interval == 0)


def decades(per_decade: int = 100) -> Schedule:
    """Log densely early and sparsely later: about `per_decade` steps in each power of ten. The default of `watch`.

    With 100: each step up to 100, one in 10 up to 1,000, one in 100 up to 10,000, and so on; 100,000 steps make 370 logged ones.

    >>> [step for step in range(2000) if decades(10)(step)][8:14]
    [8, 9, 10, 20, 30, 40]
    """
    if per_decade < 1:
        raise ArgumentError(f"per_decade={per_decade}; expected 1 or more")

    def due(step: int) -> bool:
        interval = 1
        while step >= per_decade * interval:
            interval *= 10
        return step % interval == 0

    return _foreseeable(due)


def warmup(dense_until: int, interval: int) -> Schedule:
    """Log each step below `dense_until`, then one in `interval`.

    >>> [step for step in range(20) if warmup(3, 8)(step)]
    [0, 1, 2, 8, 16]
    """
    later = every(interval)
    return _foreseeable(lambda step: step < dense_until or later(step))


def quiet_after(due: Schedule, step: int) -> int:
    """Return how many of the steps after this one are known not to be due; a callable that is not of this module is asked at each."""
    if not getattr(due, "foreseeable", False):
        return 0
    return next((quiet for quiet in range(_FORESEEN) if due(step + 1 + quiet)), _FORESEEN)


def _foreseeable(due: Schedule) -> Schedule:
    """Mark a schedule as one that may be asked for steps to come."""
    due.foreseeable = True  # type: ignore[attr-defined]
    return due


def resolve(given: SupportsIndex | Schedule) -> Schedule:
    """Turn the argument ``every`` into a schedule.

    Raises:
        ArgumentError: an interval below 1.
        ArgumentTypeError: neither a whole number nor a callable.
    """
    if callable(given):
        return given
    try:
        interval = operator.index(given)
    except TypeError:
        raise ArgumentTypeError(
            f"every={given!r} is a {type(given).__name__}; expected a whole number, a callable step -> bool, "
            "or a schedule of actviz_tb.schedule"
        ) from None
    return every(interval)
