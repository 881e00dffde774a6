"""How much a layer differs between two (run, step) pairs. Pure functions of decoded records."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tensorboard_plugin.actviz import histories, similarity, wire

Array = npt.NDArray[Any]


def relative(change: Array, scale: Array) -> npt.NDArray[np.float64]:
    """Return change / scale; 0 where there is neither, infinite where there was nothing before."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(change == 0, np.where(np.isnan(scale), np.nan, 0.0), change / scale)


def of_histograms(one: wire.Record, other: wire.Record) -> float:
    """Return which share of the finite values lies in other bins, 0 to 1: half the sum of the shares' absolute differences.

    NaN where either has no finite value.

    Source: the total variation distance, e.g. Levin, Peres and Wilmer 2009, Markov Chains and Mixing Times, proposition 4.2.
    """
    sides = [histories.bins_of(record) for record in (one, other)]
    shares = np.zeros((2, 2 * wire.HISTOGRAM_MAX_BIN + 1))
    for row, side in zip(shares, sides, strict=True):
        if side is None or not side[1].sum():
            return float("nan")
        np.add.at(row, side[0].astype(np.int64) + wire.HISTOGRAM_MAX_BIN, side[1] / side[1].sum())
    return float(np.abs(shares[1] - shares[0]).sum() / 2)


def comparable(one: wire.Record, other: wire.Record) -> bool:
    """Say whether two ``maps`` records are of maps of one size, of the same numbers of samples."""
    shapes = [record.arrays["data"].shape if "data" in record.arrays else () for record in (one, other)]
    if len(shapes[0]) != 4 or len(shapes[1]) != 4 or one.header.get("layout") != other.header.get("layout"):
        return False
    if any(_labels(record) is None for record in (one, other)):
        return False
    same = one.header.get("samples") == other.header.get("samples") and one.header.get("pool") == other.header.get("pool")
    vectors = one.header.get("layout") == "vector"
    return same and shapes[0][0] == shapes[1][0] and (vectors or shapes[0][2:] == shapes[1][2:])


def _labels(record: wire.Record) -> list[int] | None:
    """Return the numbers of the channels, or of a vector's units; None where they do not fit the maps."""
    vector = record.header.get("layout") == "vector"
    labels = record.header.get("units" if vector else "channels")
    shape = record.arrays["data"].shape
    if not isinstance(labels, list) or len(labels) != (shape[3] if vector else shape[1]) or (vector and shape[1:3] != (1, 1)):
        return None
    return labels if all(type(label) is int and label >= 0 for label in labels) else None


def channels(record: wire.Record) -> tuple[list[int], npt.NDArray[np.float32]]:
    """Return the numbers of a ``maps`` record's channels, or of a vector's units, and the values of each, [C, n].

    Raises:
        WireError: the record has none that make sense.
    """
    labels = _labels(record) if record.arrays.get("data", np.empty(0)).ndim == 4 else None
    if labels is None or any(record.arrays.get(name, np.empty(0)).shape != record.arrays["data"].shape[:2] for name in ("low", "high")):
        raise wire.WireError("maps without data, low, high, or the numbers of their channels")
    values = wire.dequantise(*(record.arrays[name] for name in ("data", "low", "high")))
    axis = 3 if record.header.get("layout") == "vector" else 1
    return labels, np.moveaxis(values, axis, 0).reshape(len(labels), -1)


def of_maps(one: wire.Record, other: wire.Record) -> float:
    """Return RMS(other - one) / RMS(one) over the values of the channels that both records keep; NaN where nothing can be compared.

    Values that are not finite on either side are left out.
    """
    if not comparable(one, other):
        return float("nan")
    try:
        (labels, values), (other_labels, other_values) = channels(one), channels(other)
    except wire.WireError:
        return float("nan")
    _, rows, other_rows = np.intersect1d(labels, other_labels, return_indices=True)
    before, after = values[rows].astype(np.float64), other_values[other_rows].astype(np.float64)
    kept = np.isfinite(before) & np.isfinite(after)
    if not kept.any():
        return float("nan")
    change, scale = (np.sqrt(np.mean(np.square(each[kept]))) for each in (after - before, before))
    return float(relative(change, scale))


def of_grams(one: wire.Record, other: wire.Record) -> float:
    """Return 1 - CKA of two ``gram`` records; see `similarity.directions`. NaN where it has no meaning."""
    pair = [record.arrays.get("gram", np.empty(0)) for record in (one, other)]
    n = similarity.samples(pair[0])
    if n is None or pair[0].shape != pair[1].shape:
        return float("nan")
    vectors = similarity.directions(similarity.stacked(pair, n), n)
    return float(1 - similarity.cka(vectors[:1], vectors[1:])[0, 0])
