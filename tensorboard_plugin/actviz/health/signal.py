"""Rules on the size of the signal through depth and time: jumps, vanishing, exploding. Pure functions."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from tensorboard_plugin.actviz.health.findings import Finding, Span, layers_with, number, times
from tensorboard_plugin.actviz.health.history import Array, History
from tensorboard_plugin.actviz.health.rules import found
from tensorboard_plugin.actviz.health.thresholds import Thresholds

_NORMAL = 1.4826
"""A normal distribution's standard deviation is so many median absolute deviations."""
_LEAST_DEVIATION = 0.02
"""Of log RMS: batches of a layer that hardly varies still differ so much."""
_LEAST_HISTORY = 4


def _logs(history: History) -> Array:
    """Return log RMS [L, S]; NaN where it is zero, not finite, or not logged."""
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(history["rms"])
    return np.where(np.isfinite(logs), logs, np.nan)


def jump(history: History, thresholds: Thresholds) -> Iterator[Finding]:
    """RMS far from the median of the previous logged steps, by a factor and in their median absolute deviations.

    During a jump the steps before it stay the measure, so that a layer that stays where it jumped to is one finding.
    """
    logs = _logs(history)
    for layer in range(len(logs)):
        kept = np.flatnonzero(~np.isnan(logs[layer]))
        values = logs[layer, kept]
        if not len(values) or np.ptp(values) <= np.log(thresholds.jump):
            continue
        for span, middle, deviation in _jumps(values, thresholds):
            away = values[span.first : span.last + 1] - middle
            factor, farthest = float(np.exp(away[0])), float(np.exp(away[np.argmax(np.abs(away))]))
            evidence = {"factor": factor, "farthest": farthest, "deviations": float(abs(away[0]) / deviation)}
            evidence |= {"rms": float(np.exp(values[span.first])), "before": float(np.exp(middle))}
            evidence["gain"] = float(np.exp(away[0] - _of_inputs(history, logs, layer, int(kept[span.first]), thresholds)))
            yield found(
                history,
                "jump",
                "warn",
                layer,
                Span(int(kept[span.first]), int(kept[span.last]), span.goes_on),
                evidence=evidence,
                sentence=f"RMS {number(evidence['before'])} before, {number(evidence['rms'])} now: {times(factor)}"
                + (f", up to {times(farthest)} later" if farthest > 2 * factor else ""),
                brief="jumped" if factor > 1 else "dropped",
                cause="a learning rate that is too high for this layer or one before it, a batch unlike the others, or a changed schedule",
            )


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
    logs = _logs(history)
    if not logs.size:
        return
    known = ~np.isnan(logs)
    before = np.full_like(logs, np.nan)
    before[1:] = (np.cumsum(np.where(known, logs, 0), axis=0) / np.cumsum(known, axis=0))[:-1]
    gain = logs - before
    start = np.full((len(logs), 1), np.nan)
    for layer in range(len(logs)):
        own = logs[layer, known[layer]][: thresholds.history]
        if len(own) >= _LEAST_HISTORY:
            start[layer] = np.median(own)
    drift = logs - start
    for sign, rule in ((-1, "vanishing"), (1, "exploding")):
        limit, own_limit = np.log(thresholds.depth), np.log(thresholds.drift)
        on = (sign * gain > limit) | ((sign * drift > own_limit) & (sign * gain > limit / 2))
        stay = (sign * gain > 0.8 * limit) | ((sign * drift > 0.8 * own_limit) & (sign * gain > 0.4 * limit))
        for layer, span in layers_with(history, on, stay, window=thresholds.window, release=thresholds.release, known=known):
            through = float(np.exp(gain[layer, span.first]))
            evidence = {"rms": float(np.exp(logs[layer, span.first])), "through_depth": through}
            if not np.isnan(start[layer, 0]):
                evidence["against_start"] = float(np.exp(drift[layer, span.first]))
            yield found(
                history,
                rule,
                "bad",
                layer,
                span,
                evidence=evidence,
                sentence=f"RMS {number(evidence['rms'])}, {times(through)} the geometric mean of the layers before it",
                brief=rule,
                cause="weights that are too small for the depth, or saturated or nearly dead layers before it"
                if sign < 0
                else "weights that are too large for the depth, a missing norm, or a learning rate that is too high",
                view="overview",
            )
