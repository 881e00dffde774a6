"""Compact tables of what a run's records say: a log of two million records must fit in some fifty megabytes.

Nothing here reads files or takes locks; `store` does both.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tensorboard_plugin.actviz import wire

Array = npt.NDArray[Any]
Steps = npt.NDArray[np.int64]
Indices = npt.NDArray[np.intp]
Span = tuple[int, int]
"""Steps from the first to the second one, both included."""
EVERYTHING: Span = (-(2**63), 2**63 - 1)

FRACTIONS = {
    "zero": (("zero",), "count"),
    "near_zero": (("near_zero",), "count"),
    "saturated": (("saturated",), "count"),
    "nonfinite": (("nan", "posinf", "neginf"), "count"),
    "dead_channels": (("dead_channels",), "channels"),
}
"""Statistics that are the share of one or more of `wire.COUNTS` in another."""
STATISTICS = (*wire.MOMENTS, *FRACTIONS)
COLUMNS = (*STATISTICS, "count", "nan", "posinf", "neginf", "channels")

_COUNT = wire.COUNTS.index("count")
_NOT_LOGGED = -1
_INT32_MAX = np.iinfo(np.int32).max


def within(steps: Steps, span: Span) -> Indices:
    """Return the indices of ascending `steps` that lie in a span."""
    first, last = np.searchsorted(steps, span[0]), np.searchsorted(steps, span[1], side="right")
    return np.arange(first, max(first, last))


def thinned(count: int, most: int) -> Indices:
    """Return at most `most` (2 or more) of `count` indices: each, or each 2nd, 4th, 8th..., and the last.

    So that what was chosen of a growing log stays chosen until the distance doubles, and its records stay in the cache.

    >>> thinned(10, 6).tolist()
    [0, 2, 4, 6, 8, 9]
    """
    stride = 1
    while -(-count // stride) + (stride > 1) > most:
        stride *= 2
    chosen = np.arange(0, count, stride)
    return chosen if not count or chosen[-1] == count - 1 else np.append(chosen, count - 1)


def extremes(values: npt.NDArray[np.float64], starts: Indices) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return the smallest and the largest of each group of columns of [L, S], float32 [L, groups]; NaN where all are NaN.

    Args:
        starts: where each group begins, ascending from 0, below S.
    """
    if not len(starts):
        empty = np.empty((len(values), 0), np.float32)
        return empty, empty
    return np.fmin.reduceat(values, starts, axis=1).astype(np.float32), np.fmax.reduceat(values, starts, axis=1).astype(np.float32)


class Place(NamedTuple):
    """Where a record lies. Of two with the same tag and step, the greater place wins.

    Attributes:
        file: index of the file in the run's list.
        offset: of the record in the file.
    """

    file: int
    offset: int


class Series:
    """The places of one tag's records, by step; 20 bytes a record."""

    def __init__(self) -> None:
        self._steps = array("q")
        self._files = array("I")
        self._offsets = array("Q")
        self._ordered = True
        self._last = -(2**63) - 1

    def extend(self, steps: array[int], file: int, offsets: array[int]) -> None:
        """Add records of a file, see `Place`; later ones of the same step replace it."""
        for step in steps:
            if step <= self._last:
                self._ordered = False
            self._last = step
        self._steps.extend(steps)
        self._files.extend(array("I", [file]) * len(steps))
        self._offsets.extend(offsets)

    def places(self, ranks: Sequence[int]) -> tuple[Steps, npt.NDArray[np.uint32], npt.NDArray[np.uint64]]:
        """Return (steps, files, offsets), ascending by step, one record a step.

        Args:
            ranks: position of each file in TensorBoard's reading order.
        """
        if not self._ordered:
            self._order(ranks)
        return (
            np.array(self._steps, dtype=np.int64),
            np.array(self._files, dtype=np.uint32),
            np.array(self._offsets, dtype=np.uint64),
        )

    def _order(self, ranks: Sequence[int]) -> None:
        # What loses now can never win later: the order of two files does not change.
        steps = np.array(self._steps, dtype=np.int64)
        files = np.array(self._files, dtype=np.uint32)
        offsets = np.array(self._offsets, dtype=np.uint64)
        order = np.lexsort((offsets, np.asarray(ranks)[files], steps))
        last = np.append(np.diff(steps[order]) != 0, True)
        kept = order[last]
        self._steps = array("q", steps[kept].tobytes())
        self._files = array("I", files[kept].tobytes())
        self._offsets = array("Q", offsets[kept].tobytes())
        self._last = self._steps[-1]
        self._ordered = True


class StepTable:
    """The statistics of all layers at all logged steps: 60 bytes for each layer and step."""

    def __init__(self) -> None:
        self.layers: list[str] = []
        self._columns: dict[str, int] = {}
        self._rows: dict[int, int] = {}
        self._steps = array("q")
        self._wall_times_s = array("d")
        self._sequences = array("Q")
        self._places: list[Place] = []
        self._counts: Array = np.empty((0, 0, len(wire.COUNTS)), np.int32)
        self._moments: Array = np.empty((0, 0, len(wire.MOMENTS)), np.float32)

    def __len__(self) -> int:
        return len(self._steps)

    def put(
        self,
        step: int,
        wall_time_s: float,
        place: Place,
        *,
        later: bool,
        sequence: int,
        layers: Sequence[str],
        counts: Array,
        moments: Array,
    ) -> None:
        """Enter a ``step`` record.

        Args:
            later: whether it was written after what the table already holds of that step; if not, it only fills gaps.
            sequence: the run's, to find what was entered since.
            layers: names [L]. counts, moments: [L, ...] as in `wire`.
        """
        columns = np.array([self._column(name) for name in layers], dtype=np.intp)
        row = self._rows.get(step)
        if row is None:
            row = self._rows[step] = len(self._steps)
            self._steps.append(step)
            self._wall_times_s.append(wall_time_s)
            self._sequences.append(sequence)
            self._places.append(place)
            self._grow()
        else:
            self._grow()
            self._sequences[row] = sequence
            if later:
                self._wall_times_s[row] = wall_time_s
                self._places[row] = place
            else:
                gaps = self._counts[row, columns, _COUNT] == _NOT_LOGGED
                columns, counts, moments = columns[gaps], counts[gaps], moments[gaps]
        if counts.size and counts.max() > _INT32_MAX and self._counts.dtype == np.int32:
            self._counts = self._counts.astype(np.int64)
        self._counts[row, columns] = counts
        self._moments[row, columns] = moments

    def place(self, step: int) -> Place | None:
        """Return the place of the last record of a step."""
        row = self._rows.get(step)
        return None if row is None else self._places[row]

    def _column(self, name: str) -> int:
        column = self._columns.get(name)
        if column is None:
            column = self._columns[name] = len(self.layers)
            self.layers.append(name)
        return column

    def _grow(self) -> None:
        rows, columns = self._counts.shape[:2]
        if len(self._steps) <= rows and len(self.layers) <= columns:
            return
        rows = max(rows, len(self._steps) if len(self._steps) <= rows else len(self._steps) * 3 // 2 + 8)
        columns = max(columns, len(self.layers))
        counts = np.full((rows, columns, len(wire.COUNTS)), _NOT_LOGGED, self._counts.dtype)
        moments = np.full((rows, columns, len(wire.MOMENTS)), np.nan, np.float32)
        old = self._counts.shape
        counts[: old[0], : old[1]] = self._counts
        moments[: old[0], : old[1]] = self._moments
        self._counts, self._moments = counts, moments

    def order(self, after: int = -1, span: Span = EVERYTHING) -> Indices:
        """Return the rows in the order of their steps, of those in a span that were entered after sequence number `after`."""
        steps = np.array(self._steps, dtype=np.int64)
        order = np.argsort(steps, kind="stable")
        if after >= 0:
            order = order[np.array(self._sequences, dtype=np.int64)[order] > after]
        return order[within(steps[order], span)]

    def entered_after(self, sequence: int) -> int:
        """Return how many steps were entered, or entered anew, after a sequence number."""
        return int(np.count_nonzero(np.array(self._sequences, dtype=np.int64) > sequence))

    def steps(self, rows: Indices) -> Steps:
        """Return the steps of rows."""
        return np.array(self._steps, dtype=np.int64)[rows]

    def wall_times_s(self, rows: Indices) -> npt.NDArray[np.float64]:
        """Return the wall times of rows."""
        return np.array(self._wall_times_s, dtype=np.float64)[rows]

    def statistic(self, name: str, rows: Indices, layers: Sequence[str]) -> npt.NDArray[np.float64]:
        """Return float64 [layers, rows] of one of `COLUMNS`; NaN where it was not logged or does not apply."""
        values = np.full((len(layers), len(rows)), np.nan)
        known = [(index, self._columns[layer]) for index, layer in enumerate(layers) if layer in self._columns]
        if not known or not len(rows):
            return values
        index, columns = (np.array(part, dtype=np.intp) for part in zip(*known, strict=True))
        cells = np.ix_(rows, columns)
        if name in wire.MOMENTS:
            result = self._moments[..., wire.MOMENTS.index(name)][cells].astype(np.float64)
        elif name in FRACTIONS:
            parts, whole = FRACTIONS[name]
            numbers = [self._numbers(part, cells) for part in parts]
            total = self._numbers(whole, cells)
            with np.errstate(invalid="ignore", divide="ignore"):
                result = sum(numbers[1:], numbers[0]) / total
            if name == "nonfinite":  # of an empty output, nothing is
                result[total == 0] = 0.0
        else:
            result = self._numbers(name, cells)
        values[index] = result.T
        return values

    def _numbers(self, name: str, cells: tuple[Array, ...]) -> npt.NDArray[np.float64]:
        numbers = self._counts[..., wire.COUNTS.index(name)][cells].astype(np.float64)
        numbers[numbers < 0] = np.nan
        return numbers
