"""Finding a run's records, and saying why there is none."""

from __future__ import annotations

import operator
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import SupportsIndex, TypeVar

import numpy as np

from actviz_tb.errors import ActvizError, ActvizWarning, ArgumentTypeError, LayerNotFoundError, NotLoggedError, RecordError, nearest
from actviz_tb.results import Int64
from tensorboard_plugin.actviz import wire
from tensorboard_plugin.actviz.eventfile import DamagedRecordError, Notice
from tensorboard_plugin.actviz.records import Location
from tensorboard_plugin.actviz.runindex import RunIndex
from tensorboard_plugin.actviz.series import Indices, within
from tensorboard_plugin.actviz.store import NotLoggedError as NotInStoreError
from tensorboard_plugin.actviz.store import Store

Found = TypeVar("Found")

_NAMES = {"layer": "statistics", "gradient": "gradients", "maps": "maps", "attention": "attention weights", "gram": "Gram matrices"}
_HINTS = {
    "gradient": "watch(..., gradients=True) records them",
    "maps": "watch(..., samples=4) records them",
    "gram": "watch(..., probe=inputs) records them",
}
_NAMED = 5


def listed(parts: list[str]) -> str:
    """Return the first few of a list for a message, and how many more there are."""
    more = f" and {len(parts) - _NAMED} more" if len(parts) > _NAMED else ""
    return ", ".join(parts[:_NAMED]) + more


def every(steps: Int64) -> Indices:
    """Choose all steps."""
    return np.arange(len(steps))


def last(steps: Int64) -> Indices:
    """Choose the last step."""
    return np.arange(len(steps))[-1:]


def whole_step(step: SupportsIndex) -> int:
    """Return a step as int; ArgumentTypeError where it is none."""
    try:
        return operator.index(step)
    except TypeError:
        raise ArgumentTypeError(f"step={step!r} is a {type(step).__name__}; expected a whole number") from None


class Teller:
    """Tells of each notice of a store once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._told: set[Notice] = set()

    def notices(self) -> list[Notice]:
        """Return all that could not be read so far."""
        found = list(self._store.problems())
        for name in self._store.runs():
            with self._store.run(name) as index:
                found += index.notices()
        return found

    def pass_over(self) -> None:
        """Take what there is as told."""
        self._told.update(self.notices())

    def tell(self, left_out: str = "", stacklevel: int = 3) -> None:
        """Warn of notices that nobody was told of, or else of what an answer leaves out."""
        new = [notice for notice in self.notices() if notice not in self._told]
        self._told.update(new)
        if new:
            more = f"; log.notices has {len(new) - 1} more" if len(new) > 1 else ""
            warnings.warn(_sentence(new[0]) + more, ActvizWarning, stacklevel=stacklevel)
        elif left_out:
            warnings.warn(left_out, ActvizWarning, stacklevel=stacklevel)


def _sentence(notice: Notice) -> str:
    return f"{notice.message} ({notice.file}, byte {notice.byte})"


class RunRecords:
    """The records of one run, whose index grows with each refresh of the store."""

    def __init__(self, store: Store, teller: Teller, run: str, directory: str) -> None:
        self._store = store
        self._teller = teller
        self._run = run
        self._directory = directory

    @contextmanager
    def index(self) -> Iterator[RunIndex]:
        """Lend the run's index, under the store's lock."""
        try:
            with self._store.run(self._run) as index:
                yield index
        except NotInStoreError as error:
            raise self._gone() from error

    def _gone(self) -> NotLoggedError:
        return NotLoggedError(f"run {self._run!r} is no longer in {self._directory!r}")

    def locate(self, kind: str, name: str, choose: Callable[[Int64], Indices]) -> tuple[Int64, list[Location]]:
        """Return the steps of a kind of record, of a layer at least one, and where those that `choose` gives the indices of lie.

        Args:
            kind, name: as for `Store.locate`.

        Raises:
            LayerNotFoundError, NotLoggedError: of the layer there is none.
        """
        logged = np.empty(0, np.int64)

        def chosen(steps: Int64) -> Indices:
            nonlocal logged
            logged = steps
            return choose(steps)

        try:
            _, locations = self._store.locate(self._run, kind, name, chosen)
        except NotInStoreError as error:
            raise self._gone() if error.code == "no_run" else self.missing(kind, name) from error
        if kind in wire.LAYER_KINDS and not len(logged):
            raise self.missing(kind, name)
        return logged, locations

    def missing(self, kind: str, layer: str) -> ActvizError:
        """Return the error that says why there is nothing of a kind of a layer."""
        with self.index() as index:
            layers, known = index.layer_names(), index.has_layer(layer)
            others, notices = index.names(kind), index.notices()
        if not known:
            names = nearest(str(layer), layers + others)
            return LayerNotFoundError(f"no layer {layer!r} among the {len(layers)} of run {self._run!r}; {names}")
        message = f"run {self._run!r} has no {_NAMES[kind]} of layer {layer!r}"
        if others:
            message += f"; it has them of {listed([repr(other) for other in others])}"
        elif kind in _HINTS:
            message += f"; {_HINTS[kind]}"
        if notices:
            message += f". {len(notices)} of its records cannot be read; the first: {_sentence(notices[0])}"
        return NotLoggedError(message)

    def one(self, kind: str, layer: str, step: SupportsIndex | None, make: Callable[[wire.Record, int], Found]) -> Found:
        """Read a layer's record of one step; None: the last."""
        if step is None:
            _, locations = self.locate(kind, layer, last)
            return self.decoded(locations[0], make)
        wanted = whole_step(step)
        steps, locations = self.locate(kind, layer, lambda steps: within(steps, (wanted, wanted)))
        if not locations:
            after = int(np.searchsorted(steps, wanted))
            around = " and ".join(str(each) for each in steps[max(after - 1, 0) : after + 1])
            raise NotLoggedError(f"run {self._run!r} has no {_NAMES[kind]} of layer {layer!r} at step {wanted}; the nearest: {around}")
        return self.decoded(locations[0], make)

    def decoded(self, location: Location, make: Callable[[wire.Record, int], Found]) -> Found:
        """Read a record.

        Raises:
            RecordError: it cannot be read, or lacks what `make` needs.
        """
        what = f"{location.tag.decode(errors='replace')} of step {location.step} in run {self._run!r}"
        try:
            return make(self._store.record(location), location.step)
        except OSError as error:
            raise RecordError(f"{what} cannot be read: {error}. log.refresh() looks again at what is there") from error
        except DamagedRecordError as error:
            self._teller.pass_over()
            raise RecordError(f"{what} cannot be read: {error}") from error
        except (KeyError, IndexError, TypeError, ValueError) as error:
            where = f"{os.path.basename(location.path)}, byte {location.offset}"
            raise RecordError(f"{what} lacks what it should hold: {error!r} ({where})") from error

    def over_steps(self, kind: str, name: str, compute: Callable[[Iterable[tuple[int, wire.Record]]], Found]) -> Found:
        """Read the records of all steps, one after the other; warn the caller's caller of those that are left out."""
        _, locations = self.locate(kind, name, every)
        lost = 0

        def records() -> Iterator[tuple[int, wire.Record]]:
            nonlocal lost
            for location in locations:
                try:
                    record = self._store.record(location)
                except (OSError, DamagedRecordError):
                    lost += 1
                else:
                    yield location.step, record

        found = compute(records())
        what = f"{lost} of {len(locations)} {kind} records in run {self._run!r} cannot be read and are left out"
        self._teller.tell(f"{what}; see log.notices, or try again after log.refresh()" if lost else "", stacklevel=4)
        return found
