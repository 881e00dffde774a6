"""What the last forwards' outputs were like, in little: the memory of the flight recorder.

A cell holds one output's RMS, extremes, and counts of what is not finite. Cells of outputs on the CPU are filled at once, by compiled code
where it is there; those on an accelerator are collected there (`DeviceRow`) and land later, so that no forward waits for them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from actviz_tb import gpu, native
from actviz_tb.transfer import Array, Transfer

CELL = np.dtype(
    [
        ("count", np.int64),
        ("nan", np.int64),
        ("posinf", np.int64),
        ("neginf", np.int64),
        ("rms", np.float64),
        ("low", np.float32),
        ("high", np.float32),
    ]
)
"""Of one output; count 0: there was none. RMS and extremes are of the finite values, NaN where they are not known."""
Cells = npt.NDArray[np.void]

NONFINITE, JUMPS = 1, 2
"""Flags of a cell: not all of its values are finite; its RMS is a multiple of what it was."""
LATE = 8
"""So many rows may be under way from an accelerator; the next forward waits for the oldest."""
_CHUNK = 64


@dataclass(slots=True)
class Row:
    """A step's place in the ring.

    Attributes:
        index: of the row, counted from 0.
        recorded: what was logged of the step in full, or of this row, is in the log.
    """

    index: int
    step: int
    wall_time_s: float
    recorded: bool = False


class Ring:
    """The cells of the last rows, and of those that are still to be looked at.

    Attributes:
        columns: by name, in the order in which they were first seen.
        address: of what `native` needs to fill a cell of the row at hand.

    Args:
        window: so many rows before the one at hand are kept.
        factor: an RMS that is more than `factor` times what it was in over half of them jumps.
    """

    def __init__(self, window: int, factor: float) -> None:
        self.window = window
        self.factor = factor
        self.columns: dict[str, int] = {}
        self._size = window + 1 + LATE
        self._rows: list[Row | None] = [None] * self._size
        self._next = 0
        self._header = native.RingHeader(rows=self._size, window=window, factor=factor)
        self.address = native.address_of(self._header)
        self._use(np.zeros((self._size, _CHUNK), CELL))

    def _use(self, cells: Cells) -> None:
        self._cells = cells
        self._bytes = cells.view(np.uint8)
        self._header.cells, self._header.columns = cells.ctypes.data, cells.shape[1]

    def begin(self, step: int, wall_time_s: float) -> Row:
        """Begin a row, in the place of the oldest."""
        position = self._next % self._size
        row = self._rows[position] = Row(self._next, step, wall_time_s)
        self._next += 1
        self._bytes[position].fill(0)
        self._header.row, self._header.threads = position, torch.get_num_threads()
        return row

    def column(self, name: str) -> int:
        """Return the column of a name, a new one for a new name."""
        found = self.columns.get(name)
        if found is None:
            found = len(self.columns)
            if found == self._cells.shape[1]:
                self._use(np.concatenate([self._cells, np.zeros_like(self._cells)], axis=1))
            self.columns[name] = found
        return found

    def before(self, row: Row) -> Iterator[Row]:
        """Yield the rows of the window before one, the oldest first."""
        for index in range(max(row.index - self.window, 0), row.index):
            former = self._rows[index % self._size]
            if former is not None and former.index == index:
                yield former

    def cells(self, row: Row) -> tuple[list[str], Cells]:
        """Return the names that there are cells of in a row, and a copy of those."""
        cells = self._cells[row.index % self._size, : len(self.columns)]
        seen = cells["count"] > 0
        return [name for name, is_seen in zip(self.columns, seen, strict=True) if is_seen], cells[seen]

    def cell(self, row: Row, column: int) -> Any:
        return self._cells[row.index % self._size, column]

    def fill(self, row: Row, column: int, x: Tensor) -> int:
        """Fill a cell of the newest row from a tensor on the CPU, and return its flags."""
        x = _dense(x if x.dtype == torch.float32 else x.float())
        glance = native.glance()
        if glance is not None:
            return int(glance(x.data_ptr(), x.numel(), self.address, column))
        finite = x[torch.isfinite(x)].double()
        known = finite.numel() > 0
        return self.put(
            row,
            column,
            count=x.numel(),
            nan=int(torch.isnan(x).sum()),
            posinf=int((x == torch.inf).sum()),
            neginf=int((x == -torch.inf).sum()),
            rms=float(finite.square().mean().sqrt()) if known else 0.0,
            low=float(finite.min()) if known else math.nan,
            high=float(finite.max()) if known else math.nan,
        )

    def put(self, row: Row, column: int, **values: float) -> int:
        """Fill a cell, and return its flags."""
        cell = self.cell(row, column)
        for name, value in values.items():
            cell[name] = value
        nonfinite = cell["nan"] + cell["posinf"] + cell["neginf"] > 0
        return (NONFINITE if nonfinite else 0) | (JUMPS if self._jumps(row, column) else 0)

    def _jumps(self, row: Row, column: int) -> bool:
        rms = self.cell(row, column)["rms"]
        former = self.former_rms(row, column)
        return bool(2 * ((former > 0) & (rms > self.factor * former)).sum() > self.window)

    def former_rms(self, row: Row, column: int) -> npt.NDArray[np.float64]:
        """Return the RMS of a column in the window's rows that have it."""
        cells = [self.cell(each, column) for each in self.before(row)]
        return np.array([cell["rms"] for cell in cells if cell["count"]], np.float64)


def is_on_host(x: Tensor) -> bool:
    """Say whether `Ring.fill` takes a tensor; else a `DeviceRow` does."""
    return x.device.type == "cpu"


def _dense(x: Tensor) -> Tensor:
    """Return a tensor whose values lie one after the other in memory, in whatever order."""
    if x.is_contiguous() or (x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last)):
        return x
    return x.contiguous()


class DeviceRow:
    """What the outputs of one forward on one accelerator are like, collected there; `land` begins the copy to the host."""

    def __init__(self) -> None:
        self._columns: list[int] = []
        self._counts: list[int] = []
        self._glances: _ByKernel | _ByTorch | None = None

    def add(self, column: int, x: Tensor) -> None:
        """Enter an output; waits for nothing."""
        if self._glances is None:
            self._glances = (_ByKernel if gpu.available(x) else _ByTorch)(x.device)
        self._glances.add(len(self._columns), x.detach())
        self._columns.append(column)
        self._counts.append(x.numel())

    def land(self) -> Landing | None:
        """Begin to bring the row to the host, and begin another one; None where nothing was entered."""
        if not self._columns or self._glances is None:
            return None
        landing = Landing(self._columns, self._counts, self._glances.land(len(self._columns)), self._glances.cells)
        self._columns, self._counts = [], []
        return landing


class _ByKernel:
    """Glances that a kernel takes, which reads an output once."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._chunks: list[Tensor] = []
        self._slots: list[Tensor] = []

    def add(self, index: int, x: Tensor) -> None:
        if index == 0:
            for chunk in self._chunks:
                chunk.zero_()
        if index == len(self._slots):
            self._chunks.append(torch.zeros(_CHUNK, gpu.GLANCE, dtype=torch.int64, device=self._device))
            self._slots += self._chunks[-1].unbind()
        gpu.glance(gpu.readable(_dense(x)), self._slots[index])

    def land(self, count: int) -> Transfer:
        return Transfer(self._chunks[: -(-count // _CHUNK)])

    @staticmethod
    def cells(arrays: Sequence[Array], counts: Sequence[int]) -> list[dict[str, float]]:
        """Return the fields of the cells."""
        return gpu.glanced(np.concatenate(arrays)[: len(counts)], counts)


class _ByTorch:
    """Glances by torch's operations: five of them, which wait for nothing."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._values: list[Tensor] = []
        self._finite: list[Tensor] = []
        self._slots: list[tuple[Tensor, ...]] = []

    def add(self, index: int, x: Tensor) -> None:
        x = gpu.readable(x)
        if index == len(self._slots):
            self._grow()
        norm, low, high, finite = self._slots[index]
        torch.linalg.vector_norm(x, dtype=torch.float32, out=norm)
        lowest, highest = torch.aminmax(x)
        low.copy_(lowest)
        high.copy_(highest)
        # Of three kernels, where isfinite() alone is four.
        torch.sum(torch.eq(torch.sub(x, x), 0).reshape(-1), 0, dtype=torch.int64, out=finite)

    def _grow(self) -> None:
        values = torch.empty(3, _CHUNK, dtype=torch.float32, device=self._device)
        finite = torch.empty(_CHUNK, dtype=torch.int64, device=self._device)
        self._values.append(values)
        self._finite.append(finite)
        self._slots += zip(*(part.unbind() for part in values), finite.unbind(), strict=True)

    def land(self, count: int) -> Transfer:
        chunks = -(-count // _CHUNK)
        return Transfer([*self._values[:chunks], *self._finite[:chunks]])

    @staticmethod
    def cells(arrays: Sequence[Array], counts: Sequence[int]) -> list[dict[str, float]]:
        """Return the fields of the cells; where there was something not finite, which kind is told by the extremes."""
        half = len(arrays) // 2
        values, finite = np.concatenate(arrays[:half], axis=1), np.concatenate(arrays[half:])
        return [
            _cell(count, count - int(finite[index]), *(float(value) for value in values[:, index])) for index, count in enumerate(counts)
        ]


class Landing:
    """A row on its way to the host."""

    def __init__(
        self,
        columns: list[int],
        counts: list[int],
        transfer: Transfer,
        cells: Callable[[Sequence[Array], Sequence[int]], list[dict[str, float]]],
    ) -> None:
        self._columns = columns
        self._counts = counts
        self._transfer = transfer
        self._cells = cells

    def ready(self) -> bool:
        """Say whether it is there, so that `into` would not wait."""
        return self._transfer.ready()

    def into(self, ring: Ring, row: Row) -> list[tuple[int, int]]:
        """Fill a row's cells; return (column, flags) in the order in which the outputs were entered."""
        cells = self._cells(self._transfer.arrays(), self._counts)
        return [(column, ring.put(row, column, **cell)) for column, cell in zip(self._columns, cells, strict=True)]


def _cell(count: int, nonfinite: int, norm: float, low: float, high: float) -> dict[str, float]:
    cell: dict[str, float] = {"count": count, "nan": 0, "posinf": 0, "neginf": 0}
    if not nonfinite:
        # A sum of squares may overflow where no value has.
        return {**cell, "rms": norm / math.sqrt(count) if math.isfinite(norm) else math.nan, "low": low, "high": high}
    # The extremes tell one kind from the other where there is only one.
    kind = "posinf" if high == math.inf and low > -math.inf else "neginf" if low == -math.inf and high < math.inf else "nan"
    return {**cell, kind: nonfinite, "rms": math.nan, "low": math.nan, "high": math.nan}
