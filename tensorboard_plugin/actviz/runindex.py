"""What is known of one run: the places of its records, and the contents of the small ones.

Not thread-safe: `store` guards it with its lock. Nothing here reads files.
"""

from __future__ import annotations

import math
import os
import secrets
from array import array
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tensorboard_plugin.actviz import wire
from tensorboard_plugin.actviz.eventfile import Found, Notice
from tensorboard_plugin.actviz.series import Indices, Place, Series, Steps, StepTable

_NOTICES_KEPT = 100
_NO_PLACES = (np.empty(0, np.int64), np.empty(0, np.uint32), np.empty(0, np.uint64))
_EAGER_KINDS = ("session", "model", "mark", "step", "gradients")


class Clock:
    """Numbers the changes of runs.

    Attributes:
        now: the number of the last change, 0 before the first.
    """

    def __init__(self) -> None:
        self.now = 0

    def tick(self) -> int:
        """Return the number of a change that is just being made."""
        self.now += 1
        return self.now


@dataclass(slots=True)
class Session:
    """One `watch` of a run: where it starts on the time line.

    Attributes:
        model: the name that it was given.
        step, wall_time_s: of its record.
        first_step: the first step logged in it, None as long as there is none.
    """

    model: str
    place: Place
    step: int
    wall_time_s: float
    first_step: int | None = None


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest record of a kind that replaces its predecessors.

    Attributes:
        rank: its place, in TensorBoard's reading order.
        step, header: the record's.
        since_s: wall time of the earliest of them.
    """

    rank: tuple[int, int] = (-1, -1)
    step: int | None = None
    header: dict[str, Any] = field(default_factory=dict)
    since_s: float = math.inf


class RunIndex:
    """The index of one run.

    Attributes:
        run: its name.
        paths: its files, in the order in which they were first seen.
        table: the statistics at the logged steps. gradients: those of the gradients.
        ranks: of how many merged processes the statistics are at most; 0 where they are of one.
        probed: ``step`` records tell of the probe.
        marks: wall times by (step, text).
        models, options: the newest ``model`` and ``session`` records of each name that a `watch` was given.
        active: whether a record of ours was seen. appeared: the number of the change that showed it.
        epoch: identifies this index among all others, also those of the same run.
    """

    def __init__(self, run: str, clock: Clock | None = None) -> None:
        """Begin an empty index; `clock` numbers its changes, together with those of others."""
        self.run = run
        self.paths: list[str] = []
        self.table = StepTable()
        self.gradients = StepTable()
        self.ranks = 0
        self.probed = False
        self.marks: dict[tuple[int, str], float] = {}
        self.sessions: list[Session] = []
        self.models: dict[str, Newest] = {}
        self.options: dict[str, Newest] = {}
        self.active = False
        self.appeared = 0
        self.epoch = secrets.token_hex(4)
        self.sequence = 0
        self._clock = Clock() if clock is None else clock
        self._first_logged_s: dict[str, float] = {}
        self._ranks: list[int] = []
        self._series: dict[tuple[str, str], Series] = {}
        self._of_tag: dict[bytes, Series] = {}
        self._evaluating: dict[tuple[str, int], tuple[str, ...]] = {}
        self._modes: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._model_of: dict[str, str] = {}
        self._stops: dict[int, Notice] = {}
        self._notices: dict[Place, str] = {}

    @property
    def revision(self) -> str:
        """What changes with each change of the index."""
        return f"{self.epoch}.{self.sequence}"

    def sequence_of(self, revision: str) -> int | None:
        """Return the number of the last change up to a revision, None when it is of another index (or none at all)."""
        epoch, _, number = revision.partition(".")
        if epoch != self.epoch or not (number.isascii() and number.isdigit()) or len(number) > 18:
            return None
        return int(number) if int(number) <= self.sequence else None

    def add_path(self, path: str) -> int:
        """Add a file; return its index."""
        self.paths.append(path)
        position = {path: rank for rank, path in enumerate(sorted(self.paths))}
        self._ranks = [position[path] for path in self.paths]
        return len(self.paths) - 1

    def add(self, file: int, found: Found) -> None:
        """Enter the records that a scan of a file found."""
        if not found.places and not found.eager:
            return
        self.sequence = self._clock.tick()
        if not self.active:
            self.active, self.appeared = True, self.sequence
        for tag, (steps, offsets) in found.places.items():
            series = self._of_tag.get(tag)
            if series is None:
                parsed = _parse(tag)
                if parsed is None:
                    continue
                series = self._of_tag[tag] = self._series.setdefault(parsed, Series())
            series.extend(steps, file, offsets)
        for each in found.eager:
            parsed = _parse(each.tag)
            if parsed is not None:
                self._add_content(*parsed, each.step, each.wall_time_s, Place(file, each.offset), each.event)

    def _add_content(self, kind: str, model: str, step: int, wall_time_s: float, place: Place, event: bytes) -> None:
        try:
            record = wire.unpack(wire.record_container(event))
            if kind == "step":
                self._add_statistics(self.table, step, wall_time_s, place, record)
                self._note_step(model, step, wall_time_s, place, record)
            elif kind == "gradients":
                self._add_statistics(self.gradients, step, wall_time_s, place, record)
            elif kind == "mark":
                self.marks[step, str(record.header["text"])] = wall_time_s
            elif kind == "model":
                if not isinstance(record.header["layers"], list):
                    raise wire.WireError("layers is no list")
                self._enter_layers(
                    model, (entry["name"] for entry in record.header["layers"] if isinstance(entry, dict) and "name" in entry)
                )
                self._take_newer(self.models, model, step, wall_time_s, place, record)
            else:
                self.sessions.append(Session(model, place, step, wall_time_s))
                self._take_newer(self.options, model, step, wall_time_s, place, record)
        except (wire.WireError, KeyError, TypeError, ValueError, IndexError) as error:
            self.note(place, str(error) if isinstance(error, wire.WireError) else f"{kind} record without what it should hold: {error!r}")

    def _take_newer(self, known: dict[str, Newest], model: str, step: int, wall_time_s: float, place: Place, record: wire.Record) -> None:
        newest, rank = known.get(model, Newest()), self._rank(place)
        since_s = min(newest.since_s, wall_time_s)
        known[model] = replace(newest, since_s=since_s) if rank < newest.rank else Newest(rank, step, record.header, since_s)

    def _add_statistics(self, table: StepTable, step: int, wall_time_s: float, place: Place, record: wire.Record) -> None:
        layers = [str(layer) for layer in record.header["layers"]]
        counts = record.arrays["counts"]
        moments = record.arrays["moments"]
        if counts.shape != (len(layers), len(wire.COUNTS)) or moments.shape != (len(layers), len(wire.MOMENTS)):
            raise wire.WireError(f"{record.kind} record of {len(layers)} layers with counts {counts.shape} and moments {moments.shape}")
        before = table.place(step)
        later = before is None or self._rank(place) > self._rank(before)
        table.put(step, wall_time_s, place, later=later, sequence=self.sequence, layers=layers, counts=counts, moments=moments)

    def _note_step(self, model: str, step: int, wall_time_s: float, place: Place, record: wire.Record) -> None:
        self._series.setdefault(("step", model), Series()).extend(array("q", [step]), place.file, array("Q", [place.offset]))
        self._enter_layers(model, record.header["layers"])
        self._first_logged_s[model] = min(self._first_logged_s.get(model, math.inf), wall_time_s)
        self.ranks = max(self.ranks, len(record.arrays.get("rank_rms", ())))
        self.probed = self.probed or "probe" in record.arrays
        evaluating = record.header.get("evaluating")
        if isinstance(evaluating, list) and evaluating:
            paths = tuple(map(str, evaluating))
            self._evaluating[model, step] = self._modes.setdefault(paths, paths)
        else:
            self._evaluating.pop((model, step), None)
        for session in reversed(self.sessions):
            if session.place.file == place.file and session.model == model:
                if session.first_step is None:
                    session.first_step = step
                break

    def _enter_layers(self, model: str, layers: Iterable[object]) -> None:
        if model:
            self._model_of.update((str(layer), model) for layer in layers)

    def _rank(self, place: Place) -> tuple[int, int]:
        return self._ranks[place.file], place.offset

    def note(self, place: Place, message: str) -> None:
        """Add a notice about a record."""
        if place not in self._notices and len(self._notices) < _NOTICES_KEPT:
            self._notices[place] = message
            self.sequence = self._clock.tick()

    def note_stop(self, file: int, notice: Notice | None) -> None:
        """Set or clear the notice of what keeps a file from being read further."""
        if self._stops.get(file) != notice:
            self.sequence = self._clock.tick()
        if notice is None:
            self._stops.pop(file, None)
        else:
            self._stops[file] = notice

    def notices(self) -> list[Notice]:
        """Return what is wrong with the run's files, by file and byte; paths are given from the run's name on."""
        found = [Notice(self.paths[place.file], place.offset, message) for place, message in self._notices.items()]
        found += self._stops.values()
        return sorted(Notice(self._short(notice.file), notice.byte, notice.message) for notice in found)

    def _short(self, path: str) -> str:
        name = os.path.basename(path)
        return name if self.run == "." else f"{self.run}/{name}"

    @property
    def model(self) -> Newest:
        """The newest ``model`` record of any name."""
        return _newest(self.models)

    @property
    def session(self) -> Newest:
        """The newest ``session`` record of any name."""
        return _newest(self.options)

    def model_names(self) -> list[str]:
        """Return the names of the models, in the order in which they first ran, those that did not yet last; the only one's may be
        empty."""
        return sorted(
            dict.fromkeys([*self.options, *self.models, *self._first_logged_s]), key=lambda name: self.models.get(name, Newest()).since_s
        )

    def _listed(self, what: str, key: str) -> list[dict[str, Any]]:
        """Return what the models' records list, one model after the other."""
        lists = [self.models[name].header.get(what) for name in self.model_names() if name in self.models]
        entries = [entry for listed in lists if isinstance(listed, list) for entry in listed]
        return [dict(entry) for entry in entries if isinstance(entry, dict) and isinstance(entry.get(key), str)]

    def modules(self) -> list[dict[str, Any]]:
        """Return the modules of the newest models."""
        return self._listed("modules", "path")

    def layers(self) -> list[dict[str, Any]]:
        """Return the layers in execution order: the newest models', then those that they lack, by name only; ``model`` is the name of
        the model where it has one."""
        layers = self._listed("layers", "name")
        names = {layer["name"] for layer in layers}
        layers += [{"name": name} for name in self.table.layers if name not in names]
        for layer in layers:
            if model := self.model_of(layer["name"]):
                layer["model"] = model
        return layers

    def model_of(self, layer: str) -> str:
        """Return the name of the model that a layer is of, empty where it has none."""
        return self._model_of.get(layer, "")

    def evaluating(self, step: int) -> tuple[str, ...]:
        """Return the paths of the modules that were in evaluation mode in a step's training forward."""
        return tuple(path for model in self._first_logged_s for path in self._evaluating.get((model, step), ()))

    def layer_names(self) -> list[str]:
        """Return the names of `layers`."""
        return [layer["name"] for layer in self.layers()]

    def has_layer(self, layer: str) -> bool:
        """Say whether anything of a layer is known."""
        return any((kind, layer) in self._series for kind in wire.LAYER_KINDS) or layer in self.layer_names()

    def records_of(self, layer: str) -> list[str]:
        """Return the kinds of record that there are of a layer."""
        return [kind for kind in wire.LAYER_KINDS if (kind, layer) in self._series]

    def names(self, kind: str) -> list[str]:
        """Return the layers, or the models, that there are records of a kind of, in the order in which they were first seen."""
        return [name for each, name in self._series if each == kind]

    def places(self, kind: str, name: str, choose: Callable[[Steps], Indices] | None = None) -> tuple[Steps, list[Place]]:
        """Return the steps of a tag's records, ascending, and their places.

        Args:
            kind, name: as for `Store.locate`.
            choose: given all steps, returns the indices of those wanted; None: all.
        """
        if (kind, name) in self._series:
            steps, files, offsets = self._series[kind, name].places(self._ranks)
        else:
            steps, files, offsets = _NO_PLACES
        if choose is not None:
            chosen = choose(steps)
            steps, files, offsets = steps[chosen], files[chosen], offsets[chosen]
        return steps, [Place(file, offset) for file, offset in zip(files.tolist(), offsets.tolist(), strict=True)]

    def restarts(self) -> list[dict[str, float]]:
        """Return where the run was started again: the first step logged then, and when; of several models at one step it is one."""
        found: dict[tuple[int, int], float] = {}
        times: Counter[tuple[str, int]] = Counter()
        for session in sorted(self.sessions, key=lambda session: session.wall_time_s):
            if session.wall_time_s > self._first_logged_s.get(session.model, math.inf):
                step = session.step if session.first_step is None else session.first_step
                found.setdefault((step, times[session.model, step]), session.wall_time_s)
                times[session.model, step] += 1
        return [{"step": step, "wall_time_s": wall_time_s} for (step, _), wall_time_s in found.items()]


def _newest(known: dict[str, Newest]) -> Newest:
    return max(known.values(), key=lambda newest: newest.rank, default=Newest())


def is_eager(tag: bytes) -> bool:
    """Say whether `RunIndex.add` must be handed the records of a tag with their events."""
    parsed = _parse(tag)
    return parsed is not None and parsed[0] in _EAGER_KINDS


def _parse(tag: bytes) -> tuple[str, str] | None:
    try:
        return wire.parse_tag(tag.decode())
    except UnicodeDecodeError:
        return None
