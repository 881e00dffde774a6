"""The index of a log directory, kept up to date, and the reading of its records. Knows nothing of HTTP.

Threads: `refresh` (the polling thread, or whoever calls it) reads the files; it holds the lock only to enter what it found. Queries
take the lock to look up and copy, and read records without it. So no query waits for the disk of another.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from tensorboard_plugin.actviz import limits, wire
from tensorboard_plugin.actviz.changes import ChangeLog, Changes
from tensorboard_plugin.actviz.eventfile import EventFile, Found, Notice, ReplacedFileError
from tensorboard_plugin.actviz.logdir import RunFiles, find_runs
from tensorboard_plugin.actviz.records import Location, RecordReader, size_bytes
from tensorboard_plugin.actviz.runindex import Clock, RunIndex, is_eager
from tensorboard_plugin.actviz.series import EVERYTHING, Indices, Place, Span, Steps, thinned, within

POLL_INTERVAL_S = 1.0
IDLE_POLL_INTERVAL_S = 5.0
IDLE_AFTER_S = 60.0
_LONGEST_POLL_INTERVAL_S = 10.0
_BATCH_RECORDS = 4096

_log = logging.getLogger(__name__)


class NotLoggedError(LookupError):
    """There is no such thing in the log.

    Attributes:
        code: ``no_run``, ``no_layer`` or ``no_data``.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class OtherRun:
    """A run without records of ours.

    Attributes:
        note: what it holds instead.
    """

    run: str
    files: int
    size_bytes: int
    note: str


class _Run:
    """An index with the files that it is made of."""

    def __init__(self, run: str, clock: Clock) -> None:
        self.index = RunIndex(run, clock)
        self.files: list[EventFile] = []


class Store:
    """The runs of some directories.

    >>> store = Store({"runs": None})
    >>> store.refresh()
    >>> store.runs()
    ['lr-0.01', 'lr-0.1']

    Attributes:
        ready: whether everything was read once.
        active: whether any record of ours was seen; answers at once.
    """

    def __init__(self, directories: Mapping[str, str | None], find: Callable[[dict[str, str | None]], list[RunFiles]] = find_runs) -> None:
        """Index nothing yet.

        Args:
            directories: as `logdir.parse_logdir` returns them.
            find: returns the runs in them, at each refresh.
        """
        self.ready = False
        self.active = False
        self._directories = dict(directories)
        self._find = find
        self._lock = threading.Lock()
        self._refresh_lock = threading.Lock()
        self._wake = threading.Event()
        self._runs: dict[str, _Run] = {}
        self._changes = ChangeLog()
        self._problems: list[Notice] = []
        self._checked_s: float | None = None
        self._refresh_took_s = 0.0
        self._asked_s = time.monotonic() - IDLE_AFTER_S
        self._records = RecordReader(self._note)

    # Refreshing

    def start(self) -> None:
        """Refresh from now on in a daemon thread: each second while somebody asks, less often otherwise."""
        threading.Thread(target=self._poll, name="actviz-index", daemon=True).start()

    def touch(self) -> None:
        """Say that somebody asks."""
        was_idle = self._is_idle
        self._asked_s = time.monotonic()
        if was_idle:
            self._wake.set()

    @property
    def poll_interval_s(self) -> float:
        """The pause between two refreshes; longer where a refresh itself takes long."""
        interval_s = IDLE_POLL_INTERVAL_S if self._is_idle else POLL_INTERVAL_S
        return max(interval_s, min(2 * self._refresh_took_s, _LONGEST_POLL_INTERVAL_S))

    @property
    def _is_idle(self) -> bool:
        return time.monotonic() - self._asked_s >= IDLE_AFTER_S

    @property
    def checked_ago_s(self) -> float | None:
        """The time since the last refresh ended; None before the first."""
        return None if self._checked_s is None else time.monotonic() - self._checked_s

    def _poll(self) -> None:
        while True:
            self.refresh()
            self._wake.wait(self.poll_interval_s)
            self._wake.clear()

    def refresh(self) -> None:
        """Read what was added to the directories since the last call. Never raises: what goes wrong becomes a notice."""
        with self._refresh_lock:
            started_s = time.monotonic()
            problems = []
            try:
                found = self._find(self._directories)
            except Exception as error:
                problems.append(Notice(", ".join(self._directories), 0, f"the log directory cannot be listed: {error}"))
                found = None
            if found is not None:
                names = {run.run for run in found}
                with self._lock:
                    for run in [run for run in self._runs if run not in names]:
                        self._changes.removed(self._runs.pop(run).index)
                for run_files in found:
                    try:
                        self._refresh_run(run_files)
                    except Exception as error:
                        _log.exception("actviz: run %r cannot be read", run_files.run)
                        problems.append(Notice(run_files.run, 0, f"the run cannot be read: {error!r}"))
            with self._lock:
                self._problems = problems
            self._checked_s = time.monotonic()
            self._refresh_took_s = self._checked_s - started_s
            self.ready = True

    def _refresh_run(self, run_files: RunFiles) -> None:
        shown = run = self._runs.get(run_files.run)
        if run is None:
            shown = run = _Run(run_files.run, self._changes.clock)
            with self._lock:  # visible while it is still being read
                self._runs[run_files.run] = run
        elif not set(run.index.paths).issubset(run_files.paths):
            run = _Run(run_files.run, self._changes.clock)
        try:
            self._scan(run, run_files.paths)
        except ReplacedFileError:
            run = _Run(run_files.run, self._changes.clock)
            self._scan(run, run_files.paths)
        if run is not shown:
            with self._lock:
                self._changes.removed(self._runs.pop(run_files.run).index)
                self._changes.appeared(run.index)
                self._runs[run_files.run] = run

    def _scan(self, run: _Run, paths: tuple[str, ...]) -> None:
        known = {file.path: number for number, file in enumerate(run.files)}
        for path in paths:
            if path not in known:
                with self._lock:
                    known[path] = run.index.add_path(path)
                run.files.append(EventFile(path, wire.TAG_PREFIX.encode(), is_eager))
        for path in paths:
            self._scan_file(run, known[path])

    def _scan_file(self, run: _Run, number: int) -> None:
        file = run.files[number]
        more = True
        while more:
            try:
                found = file.scan(_BATCH_RECORDS)
                stop = file.damage
                more = file.has_more
            except ReplacedFileError:
                raise
            except Exception as error:
                found, more, stop = Found({}, []), False, Notice(file.path, 0, f"the file cannot be read: {error}")
            with self._lock:
                run.index.note_stop(number, stop)
                run.index.add(number, found)
                for notice in file.damaged_records:
                    run.index.note(Place(number, notice.byte), notice.message)
                file.damaged_records.clear()
                self.active = self.active or run.index.active

    # Asking

    @contextmanager
    def run(self, run: str) -> Iterator[RunIndex]:
        """Lend a run's index, under the lock: look up, copy, leave.

        Raises:
            NotLoggedError: there is no such run, or none with records of ours.
        """
        with self._lock:
            found = self._runs.get(run)
            if found is None or not found.index.active:
                raise NotLoggedError("no_run", f"No activations in run={run!r}" if found else f"No run={run!r}")
            yield found.index

    def runs(self) -> list[str]:
        """Return the names of the runs with records of ours, sorted."""
        with self._lock:
            return sorted(name for name, run in self._runs.items() if run.index.active)

    def revision(self, run: str) -> str:
        """Return what changes with each change of a run.

        Raises:
            NotLoggedError: there is no such run.
        """
        with self.run(run) as index:
            return index.revision

    def changes(self, since: str) -> Changes:
        """Return what has changed since the call that returned the token `since`; everything where there was none."""
        with self._lock:
            return self._changes.since(since, [run.index for run in self._runs.values()])

    def other_runs(self) -> list[OtherRun]:
        """Return the runs without records of ours, sorted by name."""
        with self._lock:
            others = [(name, list(run.files), run.index.notices()) for name, run in sorted(self._runs.items()) if not run.index.active]
        return [OtherRun(name, len(files), sum(file.size_bytes for file in files), _note(files, stops)) for name, files, stops in others]

    def problems(self) -> list[Notice]:
        """Return what keeps the directories from being read."""
        with self._lock:
            return list(self._problems)

    # Reading records

    def locate(self, run: str, kind: str, name: str, choose: Callable[[Steps], Indices] | None = None) -> tuple[Steps, list[Location]]:
        """Return the steps at which a kind of record was logged, ascending, and where each lies.

        Args:
            kind: one of `wire.LAYER_KINDS` or `wire.RUN_KINDS`.
            name: of the layer; or of the model, empty where it has none.
            choose: given all steps, returns the indices of those wanted; None: all.

        Raises:
            NotLoggedError: no such run or layer.
        """
        of_layer = kind in wire.LAYER_KINDS
        with self.run(run) as index:
            if of_layer and not index.has_layer(name):
                raise NotLoggedError("no_layer", f"No layer={name!r} in run={run!r}")
            steps, places = index.places(kind, name, choose)
            tag = wire.layer_tag(kind, name) if of_layer else wire.run_tag(kind, name)
            locations = [
                Location(run, index.paths[place.file], place.offset, tag.encode(), step, f"{index.epoch}.{place.file}.{place.offset}")
                for step, place in zip(steps.tolist(), places, strict=True)
            ]
            return steps, locations

    def container(self, location: Location) -> bytes:
        """Return a record's container, verified to be the one that was indexed.

        Raises:
            DamagedRecordError: it is not; the run gets a notice, too.
            TooLargeError: it is longer than `limits.RECORD_BYTES`.
            OSError, or the file system's own error: its file is gone.
        """
        return self._records.container(location)

    def record(self, location: Location) -> wire.Record:
        """Return a record of any size, which is not kept.

        Raises:
            DamagedRecordError: it cannot be read; the run gets a notice, too.
            OSError, or the file system's own error: its file is gone.
        """
        return self._records.record(location)

    def decoded(self, locations: Sequence[Location], only: Sequence[str] | None = None) -> list[tuple[int, wire.Record]]:
        """Return (step, record) of those that can be read; the run gets a notice of each other one.

        Args:
            only: names of the arrays wanted; None: all.

        Raises:
            TooLargeError: they are more than `limits.READ_BYTES`, or take more than `limits.READ_S`.
        """
        return self._records.decoded(locations, only)

    def over_steps(
        self,
        run: str,
        kind: str,
        name: str,
        span: Span = EVERYTHING,
        most: int = limits.RECORDS,
        only: Sequence[str] | None = None,
    ) -> tuple[int, list[tuple[int, wire.Record]]]:
        """Return how many steps of a span have a record of a kind, and (step, record) of as many as one answer can be made of.

        Where there are more, they are evenly chosen; see `series.thinned`.

        Args:
            kind, name: as for `locate`.
            most: records wanted, at least 2.
            only: names of the arrays wanted; None: all.

        Raises:
            NotLoggedError: no such run or layer.
            TooLargeError: as `decoded` does.
        """
        logged = 0

        def choose(steps: Steps) -> Indices:
            nonlocal logged
            inside = within(steps, span)
            logged = len(inside)
            return inside[thinned(logged, most)]

        _, locations = self.locate(run, kind, name, choose)
        return logged, self.decoded(self.fitting(locations, only), only)

    def fitting(self, locations: list[Location], only: Sequence[str] | None = None) -> list[Location]:
        """Return as many as one answer can be made of, evenly chosen, given that all are about as large as the last."""
        last = self.decoded(locations[-1:], only)
        most = max(2, limits.READ_BYTES // 2 // size_bytes(last[0][1])) if last else len(locations)
        return [locations[index] for index in thinned(len(locations), max(2, most))]

    def _note(self, location: Location, notice: Notice) -> None:
        with self._lock:
            run = self._runs.get(location.run)
            if run is not None and location.path in run.index.paths:
                run.index.note(Place(run.index.paths.index(location.path), notice.byte), notice.message)


def _note(files: list[EventFile], stops: list[Notice]) -> str:
    """Say in a few words what a run without records of ours holds, or why that cannot be told."""
    if stops:
        return f"{stops[0].message} ({stops[0].file}, byte {stops[0].byte})"
    kinds = sorted(set().union(*(file.kinds for file in files)))
    if not kinds:
        return "no activation records" if any(file.records > 1 for file in files) else "nothing written yet"
    if kinds == ["scalars"]:
        return "scalars only"
    return f"no activation records; has {', '.join(kinds)}"
