"""The thresholds of the rules: defaults, bounds, meanings. ``docs/health.md`` says where each comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any


def _threshold(default: float, low: float, high: float, meaning: str) -> Any:
    return field(default=default, metadata={"low": low, "high": high, "meaning": meaning})


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What counts as a finding; a rule is switched off by a threshold that nothing reaches.

    >>> Thresholds(jump=8).jump
    8

    Raises:
        ValueError: a value out of its bounds; the message names them.
    """

    window: int = _threshold(3, 1, 100, "logged steps in a row that a state must last to be told of")
    release: int = _threshold(5, 1, 100, "logged steps in a row without it that end a finding")
    dead_channels: float = _threshold(0.9, 0.01, 1, "share of a ReLU's channels that are zero throughout")
    saturated: float = _threshold(0.5, 0.01, 1, "share of a sigmoid's or tanh's values within 1 % of the ends of its range")
    depth: float = _threshold(1e4, 10, 1e12, "RMS against the geometric mean of the layers before it, up or down")
    drift: float = _threshold(1e3, 10, 1e12, "RMS against the layer's own first logged steps, up or down")
    jump: float = _threshold(4, 1.1, 1e6, "RMS against the median of the previous logged steps, up or down")
    jump_deviations: float = _threshold(8, 1, 1e3, "the same in median absolute deviations of log RMS")
    history: int = _threshold(10, 4, 1000, "previous logged steps that a jump is measured against")
    outlier: float = _threshold(50, 5, 1e6, "largest absolute value against RMS")
    outlier_size: float = _threshold(100, 0, 1e30, "largest absolute value that an outlier has at least")
    collapsed: float = _threshold(1e-8, 0, 1, "variance over the probe's samples against mean square")
    participation: float = _threshold(1.02, 1, 64, "participation ratio of the probe's samples")
    frozen: float = _threshold(1e-6, 0, 1, "relative change of the probe's RMS and variance from one logged step to the next")
    frozen_window: int = _threshold(10, 2, 1000, "logged steps in a row that a layer must stand still")
    headroom: float = _threshold(0.125, 1e-6, 1, "largest absolute value against the largest of the layer's number format")
    train_eval: float = _threshold(3, 1.1, 1e6, "RMS of the probe in evaluation mode against the training batch's, up or down")
    warm_up: int = _threshold(100, 0, 1_000_000, "steps after the first logged one in which running averages may be off")
    rank: float = _threshold(4, 1.1, 1e6, "RMS of one process against the median of all, up or down")
    parting: float = _threshold(2, 1.01, 1e6, "RMS of a layer in one run against the other run's, up or down")

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            whole = isinstance(each.default, int) and each.name in WHOLE
            low, high = each.metadata["low"], each.metadata["high"]
            if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)) or not low <= value <= high:
                raise ValueError(f"{each.name}={value!r}; expected a {'whole ' if whole else ''}number from {low:g} to {high:g}")


WHOLE = frozenset(("window", "release", "history", "frozen_window", "warm_up"))
"""Thresholds that count steps."""
NAMES = tuple(each.name for each in fields(Thresholds))


def described(defaults: Thresholds, chosen: Thresholds) -> Mapping[str, Mapping[str, Any]]:
    """Return value, default, low, high and meaning of each threshold."""
    return {
        each.name: {"value": getattr(chosen, each.name), "default": getattr(defaults, each.name), **each.metadata}
        for each in fields(Thresholds)
    }
