"""Checking what `watch` is given."""

from __future__ import annotations

import math
import os
from typing import Any

from actviz_tb.errors import ArgumentError, ArgumentTypeError


def whole(name: str, value: int, least: int = 1) -> int:
    """Return a whole number of at least `least`.

    Raises:
        ArgumentTypeError, ArgumentError: it is none, or less.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise ArgumentTypeError(f"{name}={value!r} is a {type(value).__name__}; expected a whole number, {least} or more")
    if value < least:
        raise ArgumentError(f"{name}={value}; expected {least} or more")
    return value


def factor(name: str, value: float) -> float:
    """Return a finite number above 1.

    Raises:
        ArgumentTypeError, ArgumentError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ArgumentTypeError(f"{name}={value!r} is a {type(value).__name__}; expected a number above 1, such as 10")
    if not 1 < value < math.inf:
        raise ArgumentError(f"{name}={value}; expected a number above 1, such as 10")
    return float(value)


def directory(target: Any) -> str | None:
    """Return the directory that a path or a writer writes to."""
    found = getattr(target, "log_dir", None) or getattr(target, "logdir", None) or target
    return os.path.realpath(found) if isinstance(found, (str, os.PathLike)) else None
