"""One layer over the steps: histograms, channel profiles, and the limits of its values. Pure functions of decoded ``layer`` records."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tensorboard_plugin.actviz import limits as answer_limits
from tensorboard_plugin.actviz import wire

Array = npt.NDArray[Any]
StepRecords = Iterable[tuple[int, wire.Record]]

_TAIL = 0.001
OF_HEADS = ("entropy", "largest_logit", "high")
"""Arrays of an ``attention`` record that `heads` needs."""


@dataclass(frozen=True, slots=True)
class Histograms:
    """Histograms over steps.

    Attributes:
        steps: float64 [S].
        bins: int16 [B], ascending: those that occur at any step.
        left, right: float64 [B].
        shares: float32 [S, B]: of the finite values; zeros where there were none.
    """

    steps: Array
    bins: Array
    left: Array
    right: Array
    shares: Array


@dataclass(frozen=True, slots=True)
class Channels:
    """Channel profiles over steps.

    Attributes:
        steps: float64 [S]. channels: uint32 [C], their indices.
        mean, max, zero: float32 [S, C]; NaN where not logged.
        dead_since: (channel, step) of the channels that are zero throughout from that step to the last one.
    """

    steps: Array
    channels: Array
    mean: Array
    max: Array
    zero: Array
    dead_since: list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Ranks:
    """What single processes saw, over steps.

    Attributes:
        steps: float64 [S].
        rms, absmax, nonfinite: float32 [R, S]; NaN where a rank did not run the layer. The last one is a count.
    """

    steps: Array
    rms: Array
    absmax: Array
    nonfinite: Array


@dataclass(frozen=True, slots=True)
class Heads:
    """Attention heads over steps.

    Attributes:
        steps: float64 [S]. heads: uint32 [H], their indices.
        entropy: float32 [S, H], nats: mean over the shown samples. largest_logit, largest_weight: float32 [S, H], over them. NaN where
            unknown.
    """

    steps: Array
    heads: Array
    entropy: Array
    largest_logit: Array
    largest_weight: Array


@dataclass(frozen=True, slots=True)
class Limits:
    """Percentiles of a layer's finite values over all steps; None when unknown.

    Attributes:
        absolute: the 99.9th of the absolute values. low, high: the 0.1th and 99.9th.
    """

    absolute: float | None
    low: float | None
    high: float | None


def histograms(records: StepRecords) -> Histograms:
    """Return the histograms of `records` over their common bins."""
    kept = [(step, *pair) for step, record in records if (pair := bins_of(record)) is not None]
    bins = np.unique(np.concatenate([bins for _, bins, _ in kept])) if kept else np.empty(0, np.int16)
    shares = np.zeros((len(kept), len(bins)), np.float32)
    for row, (_, own, counts) in enumerate(kept):
        np.add.at(shares[row], np.searchsorted(bins, own), counts / max(1.0, counts.sum()))
    left, right = wire.bin_bounds(bins)
    return Histograms(_steps([step for step, _, _ in kept]), bins.astype(np.int16), left, right, shares)


def channels(records: StepRecords, bounded: bool = True) -> Channels:
    """Return the channel profiles of `records` over all channels that occur.

    Raises:
        TooLargeError: they are `bounded`, and more than `limits.CELLS` values.
    """
    kept = [(step, *profile) for step, record in records if (profile := profile_of(record)) is not None]
    names = np.unique(np.concatenate([names for _, names, _ in kept])) if kept else np.empty(0, np.uint32)
    if bounded:
        answer_limits.check("values (steps x channels)", len(kept) * len(names), answer_limits.CELLS, "ask for fewer steps")
    values = np.full((3, len(kept), len(names)), np.nan, np.float32)
    for row, (_, own, means_and_more) in enumerate(kept):
        values[:, row, np.searchsorted(names, own)] = means_and_more
    steps = [step for step, _, _ in kept]
    mean, largest, zero = values
    dead_since = []
    for column in range(len(names) if steps else 0):
        alive = np.flatnonzero(~(zero[:, column] >= 1))
        first = int(alive[-1]) + 1 if len(alive) else 0
        if first < len(steps):
            dead_since.append((int(names[column]), steps[first]))
    return Channels(_steps(steps), names.astype(np.uint32), mean, largest, zero, dead_since)


def ranks(records: StepRecords, layer: str) -> Ranks:
    """Return what each process saw of a layer, from the ``step`` records that say so."""
    kept = [(step, values) for step, record in records if (values := _of_ranks(record, layer)) is not None]
    number = max((values.shape[1] for _, values in kept), default=0)
    found = np.full((3, number, len(kept)), np.nan, np.float32)
    for column, (_, values) in enumerate(kept):
        found[:, : values.shape[1], column] = values
    return Ranks(_steps([step for step, _ in kept]), *found)


def heads(records: StepRecords) -> Heads:
    """Return what ``attention`` records, of which the arrays `OF_HEADS` suffice, say of each head.

    Raises:
        TooLargeError: more than `limits.CELLS` values.
    """
    kept = [(step, *found) for step, record in records if (found := _of_heads(record)) is not None]
    names = np.unique(np.concatenate([names for _, names, _ in kept])) if kept else np.empty(0, np.int64)
    answer_limits.check("values (steps x heads)", len(kept) * len(names), answer_limits.CELLS, "ask for fewer steps")
    values = np.full((len(OF_HEADS), len(kept), len(names)), np.nan, np.float32)
    for row, (_, own, of_samples) in enumerate(kept):
        columns = np.searchsorted(names, own)
        known = ~np.isnan(of_samples[0])
        total = np.where(known, of_samples[0], 0).sum(0, dtype=np.float64)
        values[0, row, columns] = np.divide(total, known.sum(0), out=np.full(len(own), np.nan), where=known.any(0))
        values[1:, row, columns] = np.fmax.reduce(of_samples[1:], axis=1)
    return Heads(_steps([step for step, _, _ in kept]), names.astype(np.uint32), *values)


def limits(records: StepRecords) -> Limits:
    """Return the limits of a layer's values, each logged value weighing the same."""
    offset = wire.HISTOGRAM_MAX_BIN
    totals = np.zeros(2 * offset + 1)
    for _, record in records:
        pair = bins_of(record)
        if pair is not None:
            np.add.at(totals, pair[0].astype(np.int64) + offset, pair[1])
    if not totals.sum():
        return Limits(None, None, None)
    folded = totals[offset:].copy()
    folded[1:] += totals[:offset][::-1]
    magnitudes = np.arange(offset + 1, dtype=np.int16)
    bins = np.arange(-offset, offset + 1, dtype=np.int16)
    return Limits(
        absolute=_quantile(magnitudes, folded, 1 - _TAIL),
        low=_quantile(bins, totals, _TAIL),
        high=_quantile(bins, totals, 1 - _TAIL),
    )


def _quantile(bins: Array, counts: Array, share: float) -> float:
    """Return the value below which `share` of the counts lie, taken to be spread evenly within each bin."""
    kept = np.flatnonzero(counts)
    ends = np.cumsum(counts[kept])
    target = share * ends[-1]
    index = min(int(np.searchsorted(ends, target)), len(kept) - 1)
    left, right = (float(edge[0]) for edge in wire.bin_bounds(bins[kept[index : index + 1]]))
    inside = (target - (ends[index] - counts[kept[index]])) / counts[kept[index]]
    return left + (right - left) * float(min(1.0, max(0.0, inside)))


def bins_of(record: wire.Record) -> tuple[Array, Array] | None:
    """Return (bins, counts as float64), None where the record has none that make sense."""
    bins, counts = record.arrays.get("bins"), record.arrays.get("counts")
    if bins is None or counts is None or bins.ndim != 1 or bins.shape != counts.shape or bins.dtype.kind != "i":
        return None
    if bins.size and np.abs(bins.astype(np.int64)).max() > wire.HISTOGRAM_MAX_BIN:
        return None
    return bins, counts.astype(np.float64)


def profile_of(record: wire.Record) -> tuple[Array, Array] | None:
    """Return (channels, [mean, max, zero] stacked), None where the record has none that make sense."""
    parts = [record.arrays.get(name) for name in ("channel_mean", "channel_max", "channel_zero")]
    shapes = {part.shape if part is not None else None for part in parts}
    if len(shapes) != 1 or None in shapes:
        return None
    values = np.stack([part for part in parts if part is not None])
    names = record.arrays.get("channels", np.arange(values.shape[1], dtype=np.uint32) if values.ndim == 2 else None)
    if names is None or values.ndim != 2 or names.shape != values.shape[1:]:
        return None
    return names.astype(np.int64), values


def _of_heads(record: wire.Record) -> tuple[Array, Array] | None:
    """Return (heads, `OF_HEADS` stacked [3, samples, H]), None where the record has none that make sense."""
    parts = [record.arrays.get(name) for name in OF_HEADS]
    shapes = {part.shape if part is not None else None for part in parts}
    names = record.header.get("channels")
    if len(shapes) != 1 or None in shapes or not isinstance(names, list) or not all(isinstance(name, int) for name in names):
        return None
    values = np.stack([part for part in parts if part is not None])
    if values.ndim != 3 or not values.shape[1] or values.shape[2] != len(names):
        return None
    return np.array(names, np.int64), values


def _of_ranks(record: wire.Record, layer: str) -> Array | None:
    """Return [rms, absmax, nonfinite] of a layer, [3, R]; None where the record has none that make sense."""
    layers = record.header.get("layers")
    parts = [record.arrays.get(name) for name in ("rank_rms", "rank_absmax", "rank_nonfinite")]
    if not isinstance(layers, list) or layer not in layers or any(part is None for part in parts):
        return None
    shapes = {part.shape for part in parts if part is not None}
    if len(shapes) != 1 or len(shape := shapes.pop()) != 2 or shape[1] != len(layers):
        return None
    return np.stack([part[:, layers.index(layer)] for part in parts if part is not None])


def _steps(steps: list[int]) -> Array:
    return np.array(steps, dtype=np.float64)
