"""Rules on one statistic of a layer at a time: non-finite, dead, saturated, outliers, head-room, mode, ranks. Pure functions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tensorboard_plugin.actviz.health.findings import Finding, Flags, Span, compared, layers_with, number, percent
from tensorboard_plugin.actviz.health.history import Array, History
from tensorboard_plugin.actviz.health.thresholds import Thresholds

RECTIFIERS = frozenset(("relu", "relu6", "threshold", "hardswish", "hardsigmoid", "hardshrink", "softshrink"))
"""Types, in lower case, whose channels can be zero for every input."""
LARGEST = {"float16": 65504.0, "bfloat16": 3.3895e38, "float8_e4m3fn": 448.0, "float8_e4m3fnuz": 240.0, "float8_e5m2": 57344.0}
LARGEST["float8_e5m2fnuz"] = LARGEST["float8_e5m2"]
"""Largest finite number of the formats narrower than float32."""

NOT_FINITE = "a learning rate that is too high, a division by or logarithm of zero, or a number format that overflows"
DEAD = "a large negative bias, often after a step with too high a learning rate; its gradient is zero: only what is before it can revive it"


def found(history: History, rule: str, severity: str, layer: int, span: Span, **more: Any) -> Finding:
    """Return a finding about a layer and a span of logged steps."""
    first, last = int(history.steps[span.first]), int(history.steps[span.last])
    return Finding(rule, severity, history.layers[layer].name, first, last, span.goes_on, **more)


def nonfinite(history: History, thresholds: Thresholds) -> Iterator[Finding]:
    """NaN or infinity, at any logged step. A layer that holds -Inf from the first logged step, and never NaN or +Inf, is a mask."""
    share = history["nonfinite"]
    broken = share > 0
    masks = (~(np.nan_to_num(history["nan"]) + np.nan_to_num(history["posinf"]) > 0)).all(axis=1) & (broken | ~history.logged).all(axis=1)
    for layer, span in layers_with(history, broken & ~masks[:, None], window=1, release=thresholds.release):
        at = share[layer, span.first]
        nan, above = history["nan"][layer, span.first], history["posinf"][layer, span.first]
        what = "NaN" if nan else "+Inf" if above else "-Inf"
        dtype = history.layers[layer].dtype
        narrow = f"; its number format, {dtype}, ends at {number(LARGEST[dtype])}" if dtype in LARGEST else ""
        yield found(
            history,
            "nonfinite",
            "bad",
            layer,
            span,
            evidence={"share": float(at), "nan": float(nan), "posinf": float(above)},
            sentence=f"{percent(at)} of the values not finite ({what} among them)",
            brief=what,
            cause=NOT_FINITE + narrow,
        )


def wholly_dead(history: History, thresholds: Thresholds) -> tuple[list[tuple[int, Span]], Flags]:
    """Return (layer, span) where all values stay exactly zero, and the same as flags [L, S], for the rules that need not tell it again."""
    whole = (history["zero"] >= 1) & (history["count"] > 0)
    found = list(layers_with(history, whole, window=thresholds.window, release=thresholds.release))
    told: Flags = np.zeros_like(whole)
    for layer, span in found:
        told[layer, span.first : span.last + 1] = True
    return found, told


def dead(history: History, thresholds: Thresholds) -> Iterator[Finding]:
    """All values exactly zero; or most channels of a rectifier zero for every input of the batch, at each step of the window."""
    spans, told = wholly_dead(history, thresholds)
    for layer, span in spans:
        values, channels = history["count"][layer, span.first], history["channels"][layer, span.first]
        yield found(
            history,
            "dead",
            "bad",
            layer,
            span,
            evidence={"zero": 1.0, "values": float(values), "dead": float(channels), "channels": float(channels)},
            sentence=f"all {number(values)} values zero"
            + (f", in {number(channels)} of {number(channels)} channels" if channels > 1 else ""),
            brief="dead",
            cause=DEAD,
        )
    rectifies = np.array([layer.type.lower() in RECTIFIERS for layer in history.layers], bool)[:, None]
    share = history["dead_channels"]
    several = rectifies & (history["channels"] >= 4)
    known = history.logged & ~told
    on, stay = several & (share >= thresholds.dead_channels), several & (share >= 0.9 * thresholds.dead_channels)
    for layer, span in layers_with(history, on, stay, window=thresholds.window, release=thresholds.release, known=known):
        within = np.where(known, np.rint(share * history["channels"]), np.nan)[layer, span.first : span.last + 1]
        channels = history["channels"][layer, span.first]
        seen = within[~np.isnan(within)]
        last = "" if seen[-1] == seen[0] else f", {number(seen[-1])} at step {history.steps[span.last]}"
        counts = number(seen.max()) if seen.min() == seen.max() else f"{number(seen.min())} to {number(seen.max())}"
        yield found(
            history,
            "dead_channels",
            "bad" if (within == channels).any() else "warn",
            layer,
            span,
            evidence={"dead": float(seen[0]), "channels": float(channels), "least": float(seen.min())},
            sentence=f"{number(seen[0])} of {number(channels)} channels zero for every input{last}",
            brief=f"dead in {counts} of {number(channels)} channels",
            cause=DEAD,
        )


def saturated(history: History, thresholds: Thresholds) -> Iterator[Finding]:
    """Values at the ends of the range of a sigmoid, tanh or the like; not of the network's own output, where that is certainty."""
    share = history["saturated"]
    inner = np.array(history.consumed, bool)[:, None] if len(history.layers) > 1 else np.ones((1, 1), bool)
    on, stay = inner & (share >= thresholds.saturated), inner & (share >= 0.8 * thresholds.saturated)
    for layer, span in layers_with(history, on, stay, window=thresholds.window, release=thresholds.release):
        at = float(share[layer, span.first])
        yield found(
            history,
            "saturated",
            "warn",
            layer,
            span,
            evidence={"saturated": at, "largest": float(np.nanmax(share[layer, span.first : span.last + 1]))},
            sentence=f"{percent(at)} of the values within 1 % of the ends of the range",
            brief="saturated",
            cause="weights that start or have grown too large, or inputs that are not normalised; hardly any gradient passes",
        )


def outliers(history: History, thresholds: Thresholds) -> Iterator[Finding]:
    """Massive activations: a few values far larger than all others."""
    largest = history.largest
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = largest / history["rms"]
    on = (ratio >= thresholds.outlier) & (largest >= thresholds.outlier_size)
    stay = (ratio >= 0.8 * thresholds.outlier) & (largest >= 0.8 * thresholds.outlier_size)
    for layer, span in layers_with(history, on, stay, window=thresholds.window, release=thresholds.release):
        at, of = float(largest[layer, span.first]), float(ratio[layer, span.first])
        yield found(
            history,
            "outliers",
            "warn",
            layer,
            span,
            evidence={"largest": at, "ratio": of},
            sentence=f"largest absolute value {number(at)}, {number(of)} times the RMS",
            brief=f"outlier {number(at)}",
            cause="a few units that act as biases, as in trained transformers; it spoils low precision and quantisation",
        )


def headroom(history: History, thresholds: Thresholds) -> Iterator[Finding]:
    """How near the largest value comes to the largest number of a narrow format."""
    limits: Array = np.array([LARGEST.get(layer.dtype, np.inf) for layer in history.layers])[:, None]
    share = history.largest / limits
    known = history.logged & np.isfinite(history.largest)
    for layer, span in layers_with(
        history, share >= thresholds.headroom, share >= 0.8 * thresholds.headroom, window=1, release=thresholds.release, known=known
    ):
        within = share[layer, span.first : span.last + 1]
        highest = float(np.nanmax(within))
        dtype = history.layers[layer].dtype
        yield found(
            history,
            "headroom",
            "bad" if highest > 0.5 else "warn",
            layer,
            span,
            evidence={"share": float(within[0]), "highest": highest, "largest": float(history.largest[layer, span.first])},
            sentence=f"largest absolute value {number(history.largest[layer, span.first])}, {percent(within[0])} of what {dtype} holds",
            brief=f"near the end of {dtype}",
            cause=f"values that grow in a format that ends at {number(limits[layer, 0])}; bfloat16 or a norm before it gives room",
        )


def mode(history: History, thresholds: Thresholds) -> Iterator[Finding]:
    """Normalisation and dropout in evaluation mode during a training forward."""
    if not any(history.evaluating):
        return
    places: dict[str, int] = {}
    for place, each in enumerate(history.layers):
        places.setdefault(each.path, place)
    on = np.zeros_like(history.logged)
    for step, paths in enumerate(history.evaluating):
        for path in paths:
            if path in places:
                on[places[path], step] = True
    for layer, span in layers_with(history, on, window=min(2, thresholds.window), release=1):
        always = span.first == int(np.flatnonzero(history.logged[layer])[0])
        kind = history.layers[layer].type
        dropout = "dropout" in kind.lower()
        yield found(
            history,
            "mode",
            "warn" if always else "bad",
            layer,
            span,
            evidence={"from_the_start": float(always)},
            sentence=f"{kind} in evaluation mode in training forwards: "
            + ("it drops nothing" if dropout else "its running averages stand still"),
            brief="in evaluation mode",
            cause="meant, where it is frozen for fine-tuning" if always else "an eval() for a validation that no train() followed",
        )


def ranks(history: History, thresholds: Thresholds) -> Iterator[Finding]:
    """One of several merged processes far from the others, or alone with values that are not finite."""
    if len(history.rank_rms) < 2:
        return
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(history.rank_rms)
    logs = np.where(np.isfinite(logs), logs, np.nan)
    known = history.logged & (~np.isnan(logs)).any(axis=0)
    middle = np.full(known.shape, np.nan)
    middle[known] = np.nanmedian(logs[:, known], axis=0)
    away = np.abs(logs - middle)
    broken = np.nan_to_num(history.rank_nonfinite) > 0
    alone: Flags = np.asarray(broken.any(axis=0) & ~broken.all(axis=0))
    most = np.nanmax(np.where(np.isnan(away), -1, away), axis=0)
    limit = float(np.log(thresholds.rank))
    on, stay = alone | (most > limit), alone | (most > 0.8 * limit)
    for layer, span in layers_with(history, on, stay, window=1, release=thresholds.release):
        step = span.first
        rank = int(np.argmax(broken[:, layer, step] if alone[layer, step] else np.nan_to_num(away[:, layer, step], nan=-1)))
        factor = float(np.exp(logs[rank, layer, step] - middle[layer, step]))
        what = "has values that are not finite" if alone[layer, step] else f"has an RMS {compared(factor)} than the others"
        yield found(
            history,
            "rank",
            "bad" if alone[layer, step] else "warn",
            layer,
            span,
            evidence={"rank": float(rank), "factor": factor if np.isfinite(factor) else -1.0},
            sentence=f"process {rank} {what}",
            brief=f"process {rank} apart",
            cause="another share of the data, parameters that are no longer the same, or a faulty device",
        )
