"""Rules on the probe's outputs: collapsed, frozen, training against evaluation. Pure functions."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tensorboard_plugin.actviz.health.findings import Finding, Flags, compared, layers_with, number
from tensorboard_plugin.actviz.health.history import Array, History
from tensorboard_plugin.actviz.health.rules import found
from tensorboard_plugin.actviz.health.thresholds import Thresholds

_CONSTANT = 1e-6
"""Standard deviation against absolute mean of a layer that puts out one number: a few roundings of float32."""
_LEAST_VALUES = 8
_CHANGES = 1e-4
"""Relative change of another layer that shows that the training goes on."""
COLLAPSED = "an input that is ignored: dead or saturated layers before it, a weight of zero, or a loss that a constant answers best"


def collapsed(history: History, thresholds: Thresholds) -> Iterator[Finding]:
    """One output for every sample of the probe, where the inputs still differed; or one number throughout, also without a probe."""
    rms, variance, participation = (history.of_probe(name) for name in ("rms", "variance", "participation"))
    with np.errstate(divide="ignore", invalid="ignore"):
        share = variance / np.square(rms)
    same: Flags = share < thresholds.collapsed
    constant: Flags = (history["std"] <= _CONSTANT * np.abs(history["mean"])) & (history["rms"] > 0) & (history["count"] >= _LEAST_VALUES)
    on = (same & _lost(history, share, thresholds.collapsed)) | (constant & _lost(history, np.where(constant, 0, 1.0), 0.5))
    for layer, span in layers_with(history, on, window=thresholds.window, release=thresholds.release):
        at = float(share[layer, span.first])
        told = (
            f"variance over the probe's samples {number(at)} of the mean square" if at < thresholds.collapsed else "one number throughout"
        )
        yield found(
            history,
            "collapsed",
            "bad",
            layer,
            span,
            evidence={} if np.isnan(at) else {"variance": at},
            sentence=f"the same output for every input: {told}",
            brief="collapsed",
            cause=COLLAPSED,
            view="layer",
        )
    inner = np.array(history.consumed, bool)[:, None]
    wide = history["channels"] > 2
    on = inner & wide & (participation < thresholds.participation) & ~same
    on &= _lost(history, participation - 1, thresholds.participation - 1)
    for layer, span in layers_with(history, on, window=thresholds.frozen_window, release=thresholds.release):
        at = float(participation[layer, span.first])
        yield found(
            history,
            "rank_collapse",
            "warn",
            layer,
            span,
            evidence={"participation": at},
            sentence=f"the probe's samples lie on a line: participation ratio {at:.3f}",
            brief="one dimension left",
            cause=COLLAPSED,
            view="similarity",
        )


def _lost(history: History, spread: Array, least: float) -> Flags:
    """Say where a layer's samples differ by less than `least`, those of some input by more; of a layer without known inputs: formerly."""
    own: Flags = np.zeros(spread.shape, bool)
    for layer, inputs in enumerate(history.inputs):
        here = spread[layer] < least
        if inputs:
            own[layer] = here & (spread[inputs] >= least).any(axis=0)
        else:
            own[layer] = here & np.maximum.accumulate(spread[layer] >= least)
    return own


def frozen(history: History, thresholds: Thresholds) -> Iterator[Finding]:
    """A layer with parameters in training whose output for the probe stands still while other layers' change."""
    rms, variance = history.of_probe("rms"), history.of_probe("variance")
    if len(history.steps) < 2 or np.isnan(rms).all():
        return
    with np.errstate(divide="ignore", invalid="ignore"):
        change = np.fmax(*(np.abs(np.diff(each, axis=1)) / np.abs(each[:, 1:]) for each in (rms, variance)))
    moves = (change > _CHANGES).any(axis=0)
    trained = np.array([layer.parameters > 0 and layer.trained for layer in history.layers], bool)[:, None]
    still = np.zeros_like(history.logged)
    still[:, 1:] = trained & (change <= thresholds.frozen) & (rms[:, 1:] > 0) & (variance[:, 1:] > 0) & moves
    known = history.logged.copy()
    known[:, 0] = False
    for layer, span in layers_with(history, still, window=thresholds.frozen_window, release=2, known=known):
        largest = float(np.nanmax(change[layer, span.first - 1 : span.last]))
        yield found(
            history,
            "frozen",
            "warn",
            layer,
            span,
            evidence={"change": largest},
            sentence="its output for the probe stands still while other layers learn",
            brief="frozen",
            cause="parameters that no optimizer was given, or a gradient that never comes (detach, no_grad, dead layers after it)",
        )


def train_eval(history: History, thresholds: Thresholds) -> Iterator[Finding]:
    """RMS of the probe in evaluation mode far from the training batch's, where the layer's inputs agree better."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.log(history.of_probe("rms") / history["rms"])
    ratio = np.where(np.isfinite(ratio), ratio, np.nan)
    if not len(history.steps) or np.isnan(ratio).all():
        return
    limit = np.log(thresholds.train_eval)
    own = np.zeros(ratio.shape, bool)
    for layer, inputs in enumerate(history.inputs):
        before = np.nan_to_num(np.abs(ratio[inputs])).max(axis=0) if inputs else np.zeros(len(history.steps))
        own[layer] = (np.abs(ratio[layer]) > limit) & (before < limit / 2)
    known = history.logged & (history.steps >= history.steps[0] + thresholds.warm_up)
    for layer, span in layers_with(
        history, own, np.abs(ratio) > 0.8 * limit, window=thresholds.history, release=thresholds.release, known=known
    ):
        factor = float(np.exp(ratio[layer, span.first]))
        yield found(
            history,
            "train_eval",
            "warn",
            layer,
            span,
            evidence={
                "factor": factor,
                "probe_rms": float(history.of_probe("rms")[layer, span.first]),
                "rms": float(history["rms"][layer, span.first]),
            },
            sentence=f"RMS {compared(factor)} in evaluation mode than in training",
            brief="other in evaluation",
            cause="running averages of a BatchNorm that lag or were never updated, or a probe unlike the training data",
        )
