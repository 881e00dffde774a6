"""Checking what `watch` is given."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any

from actviz_tb.errors import ArgumentError, ArgumentTypeError, nearest
from tensorboard_plugin.actviz.health import Thresholds
from tensorboard_plugin.actviz.health.thresholds import NAMES


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


def thresholds(health: object) -> Thresholds:
    """Return the thresholds that ``health`` gives; None: the defaults."""
    if health is None or isinstance(health, Thresholds):
        return health or Thresholds()
    if not isinstance(health, Mapping):
        raise ArgumentTypeError(f"health={health!r} is a {type(health).__name__}; expected thresholds by name, such as {{'jump': 8}}")
    unknown = sorted(str(name) for name in health if name not in NAMES)
    if unknown:
        raise ArgumentError(f"health has no threshold {unknown[0]!r}; {nearest(unknown[0], NAMES)}")
    try:
        return Thresholds(**health)
    except ValueError as error:
        raise ArgumentError(f"health: {error}") from None
