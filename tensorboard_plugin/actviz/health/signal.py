"""Rules on the size of the signal through depth and time: jumps, vanishing, exploding. Pure functions."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from tensorboard_plugin.actviz.health.findings import Finding, Flags, Span, compared, layers_with, number
from tensorboard_plugin.actviz.health.history import Array, History
from tensorboard_plugin.actviz.health.rules import found, wholly_dead
from tensorboard_plugin.actviz.health.thresholds import Thresholds

_NORMAL = 1.4826
"""A normal distribution's standard deviation is so many median absolute deviations."""
_LEAST_DEVIATION = 0.02
"""Of log RMS: batches of a layer that hardly varies still differ so much."""
_LEAST_HISTORY = 4
_ZERO = float(np.log(np.finfo(np.float32).smallest_subnormal))
"""Stands for log RMS where all values are zero: RMS is logged as float32, of which this is the smallest."""


def _logs(history: History, thresholds: Thresholds) -> tuple[Array, Flags]:
    """Return log RMS [L, S], and where it stands for zero; NaN where it is not finite, or not logged.

    Zero counts where the signal was lost, so not before a layer's first other value (it may start from zero weights). Where it lasts
    it is NaN as well, as the rule `dead` tells it; and at the end of the log, where it may come to that.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(history["rms"])
    logs = np.where(np.isfinite(logs), logs, np.nan)
    zero, other = history["rms"] == 0, ~np.isnan(logs)
    between = np.maximum.accumulate(other, axis=1) & np.maximum.accumulate(other[:, ::-1], axis=1)[:, ::-1]
    lost: Flags = zero & between & ~wholly_dead(history, thresholds)[1]
    return np.where(lost, _ZERO, logs), lost


def jump(history: History, thresholds: Thresholds) -> Iterator[Finding]:
    """RMS far from the median of the previous logged steps, by a factor and in their median absolute deviations.

    During a jump the steps before it stay the measure, so that a layer that stays where it jumped to is one finding.
    """
    logs, lost = _logs(history, thresholds)
    for layer in range(len(logs)):
        kept = np.flatnonzero(~np.isnan(logs[layer]))
        values = logs[layer, kept]
        if not len(values) or np.ptp(values) <= np.log(thresholds.jump):
            continue
        for span, middle, deviation in _jumps(values, thresholds):
            away = values[span.first : span.last + 1] - middle
            begins = int(kept[span.first])
            zero = bool(lost[layer, begins])
            factor, farthest = 0.0 if zero else float(np.exp(away[0])), _factor(away[np.argmax(np.abs(away))])
            evidence = {"factor": factor, "farthest": farthest, "deviations": np.inf if zero else float(abs(away[0]) / deviation)}
            evidence |= {"rms": float(history["rms"][layer, begins]), "before": float(np.exp(middle))}
            evidence["gain"] = _factor(away[0] - _of_inputs(history, logs, layer, begins, thresholds))
            change = "every value zero" if zero else compared(factor)
            yield found(
                history,
                "jump",
                "warn",
                layer,
                Span(begins, int(kept[span.last]), span.goes_on),
                evidence=evidence,
                sentence=f"RMS {number(evidence['before'])} before, {number(evidence['rms'])} now: {change}"
                + (f", up to {compared(farthest)} later" if farthest > max(1, 2 * factor) else ""),
                brief="jumped" if factor > 1 else "dropped",
                cause="a learning rate that is too high for this layer or one before it, a batch unlike the others, or a changed schedule",
            )


def _factor(away: float) -> float:
    """Return the factor that a difference of log RMS is; 0 for what only zero is away."""
    return 0.0 if away < _ZERO / 2 else float(np.exp(away))


def _of_inputs(history: History, logs: Array, layer: int, step: int, thresholds: Thresholds) -> float:
    """Return how far log RMS of the layer's inputs is from its median before, of the one that has moved most; 0 without any."""
    inputs = logs[history.inputs[layer]]
    away = inputs[:, step] - np.nanmedian(inputs[:, max(0, step - thresholds.history) : step], axis=1)
    away = away[np.isfinite(away)]
    return float(away[np.argmax(np.abs(away))]) if len(away) else 0.0


def _jumps(values: Array, thresholds: Thresholds) -> Iterator[tuple[Span, float, float]]:
    """Yield (span, median before, deviation before) of each jump in log RMS over logged steps."""
    limit, length = np.log(thresholds.jump), thresholds.history
    worth = np.ones(len(values), bool)  # where to look closer: no step within the factor of those before it can be one
    if len(values) > length:
        worth[length:] = np.abs(values[length:] - np.median(sliding_window_view(values[:-1], length), axis=1)) > limit
    usual = np.ones(len(values), bool)  # what lies outside of jumps
    place = _LEAST_HISTORY
    while place < len(values):
        if not worth[place]:
            place += int(np.argmax(worth[place:])) or len(values)
            continue
        before = values[:place][usual[:place]][-length:]
        middle = float(np.median(before))
        away = abs(values[place] - middle)
        deviation = max(_LEAST_DEVIATION, _NORMAL * float(np.median(np.abs(before - middle))))
        drifts = abs(values[place] - values[place - 1]) <= 2 * np.abs(np.diff(before)).max()  # has been moving that fast all along
        if away <= limit or away <= thresholds.jump_deviations * deviation or drifts:
            place += 1
            continue
        stays = np.abs(values[place:] - middle) > limit / 2
        gone = _first_run(~stays, thresholds.release)
        usual[place : place + gone] = False
        worth[place + gone : place + gone + length] = True
        yield Span(place, place + int(np.flatnonzero(stays[:gone])[-1]), gone == len(stays)), middle, deviation
        place += gone


def _first_run(flags: Array, number: int) -> int:
    """Return where `number` flags in a row are first set, their length where they never are."""
    sums = np.concatenate([[0], np.cumsum(flags)])
    whole = np.flatnonzero(sums[number:] - sums[:-number] == number)
    return int(whole[0]) if len(whole) else len(flags)


def depth(history: History, thresholds: Thresholds) -> Iterator[Finding]:
    """Vanishing and exploding: RMS against the layers before it, or against the layer's own beginning and those."""
    logs, lost = _logs(history, thresholds)
    if not logs.size:
        return
    known = ~np.isnan(logs)
    some = known & ~lost  # what follows zeros is not measured against them
    before = np.full_like(logs, np.nan)
    before[1:] = (np.cumsum(np.where(some, logs, 0), axis=0) / np.cumsum(some, axis=0))[:-1]
    gain = logs - before
    start = np.full((len(logs), 1), np.nan)
    for layer in range(len(logs)):
        own = logs[layer, some[layer]][: thresholds.history]
        if len(own) >= _LEAST_HISTORY:
            start[layer] = np.median(own)
    drift = logs - start
    for sign, rule in ((-1, "vanishing"), (1, "exploding")):
        limit, own_limit = np.log(thresholds.depth), np.log(thresholds.drift)
        on = (sign * gain > limit) | ((sign * drift > own_limit) & (sign * gain > limit / 2))
        stay = (sign * gain > 0.8 * limit) | ((sign * drift > 0.8 * own_limit) & (sign * gain > 0.4 * limit))
        for layer, span in layers_with(history, on, stay, window=thresholds.window, release=thresholds.release, known=known):
            through = _factor(gain[layer, span.first])
            evidence = {"rms": float(history["rms"][layer, span.first]), "through_depth": through}
            if not np.isnan(start[layer, 0]):
                evidence["against_start"] = _factor(drift[layer, span.first])
            of_before = number(float(np.exp(before[layer, span.first])))
            yield found(
                history,
                rule,
                "bad",
                layer,
                span,
                evidence=evidence,
                sentence=f"RMS {number(evidence['rms'])}, of the layers before it {of_before} (geometric mean)"
                + (f": {compared(through)}" if through else ""),
                brief=rule,
                cause="weights that are too small for the depth, or saturated or nearly dead layers before it"
                if sign < 0
                else "weights that are too large for the depth, a missing norm, or a learning rate that is too high",
                view="overview",
            )
