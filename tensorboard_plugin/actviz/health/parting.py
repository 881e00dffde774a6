"""Where two runs part. Pure functions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tensorboard_plugin.actviz.health.findings import Finding, Span, layers_with, number
from tensorboard_plugin.actviz.health.history import Array, History
from tensorboard_plugin.actviz.health.rules import found
from tensorboard_plugin.actviz.health.thresholds import Thresholds

_LEAST_DEVIATION = 0.02
_NORMAL = 1.4826


def part(one: History, other: History, thresholds: Thresholds | None = None) -> tuple[Finding | None, int | None]:
    """Return where the RMS of two runs' layers parts for good, and the first common step at which they are not the same number.

    Parted is a layer whose RMS in one run is more than `parting` times the other's, and by more median absolute deviations than
    `jump_deviations` beyond how far the two were apart at the common steps before (runs of other seeds differ from the start); or that
    is finite in one of them only.

    Returns:
        The finding of the first layer at the first such step, or None; the step, or None where they are the same throughout.
    """
    wanted = Thresholds() if thresholds is None else thresholds
    steps, mine, theirs = np.intersect1d(one.steps, other.steps, return_indices=True)
    layers = [layer for layer in one.layers if layer.name in other.index]
    if not layers or not len(steps):
        return None, None
    rows = [np.array([history.index[layer.name] for layer in layers], np.intp) for history in (one, other)]

    def common(name: str) -> tuple[Array, Array]:
        return one[name][np.ix_(rows[0], mine)], other[name][np.ix_(rows[1], theirs)]

    a, b = common("rms")
    broken = [np.nan_to_num(each) > 0 for each in common("nonfinite")]
    logged = ~np.isnan(common("count")[0]) & ~np.isnan(common("count")[1])
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = np.log(a) - np.log(b)
    apart = np.where((a == 0) & (b == 0), 0, apart)
    differ = logged & ((broken[0] != broken[1]) | ~((a == b) | (np.isnan(a) & np.isnan(b))))
    first_other = int(steps[np.argmax(differ.any(axis=0))]) if differ.any() else None
    only_one = broken[0] != broken[1]
    on = logged & (only_one | (np.abs(np.nan_to_num(apart, nan=0)) > np.log(wanted.parting)))
    history = replace(one, layers=layers, steps=steps, statistics={"count": np.where(logged, 1.0, np.nan)})
    candidates = []
    for layer, span in layers_with(history, on, window=wanted.window, release=wanted.release):
        if only_one[layer, span.first] or _beyond(apart[layer], span, wanted):
            candidates.append((span.first, layer, span))
    if not candidates:
        return None, first_other
    _, layer, span = min(candidates)
    factor = float(np.exp(apart[layer, span.first])) if np.isfinite(apart[layer, span.first]) else 0.0
    values = {"rms": float(a[layer, span.first]), "other_rms": float(b[layer, span.first])}
    what = "finite in one run only" if only_one[layer, span.first] else f"RMS {number(values['rms'])} against {number(values['other_rms'])}"
    finding = found(
        history,
        "parting",
        "warn",
        layer,
        span,
        evidence={name: value for name, value in {**values, "factor": factor}.items() if np.isfinite(value)},
        sentence=f"the runs part: {what}"
        + ("" if only_one[layer, span.first] or factor == 0 else f", {number(max(factor, 1 / factor))}x apart"),
        brief="parts",
        cause="what differs between the two: seed, data order, learning rate or code",
        view="compare",
    )
    return finding, first_other


def _beyond(apart: Array, span: Span, wanted: Thresholds) -> bool:
    before = apart[: span.first]
    before = before[np.isfinite(before)]
    if len(before) < 2:
        return True
    middle = float(np.median(before))
    deviation = max(_LEAST_DEVIATION, _NORMAL * float(np.median(np.abs(before - middle))))
    away = abs(apart[span.first] - middle)
    return bool(not np.isfinite(away) or (away > wanted.jump_deviations * deviation and away > np.log(wanted.parting)))
