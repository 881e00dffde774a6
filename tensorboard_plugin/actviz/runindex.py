"""What is known of one run: the places of its records, and the contents of the small ones.

Not thread-safe: `store` guards it with its lock. Nothing here reads files.
"""

from __future__ import annotations

import math
import os
import secrets
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tensorboard_plugin.actviz import wire
from tensorboard_plugin.actviz.eventfile import Found, Notice
from tensorboard_plugin.actviz.series import Place, Series, StepTable

_NOTICES_KEPT = 100
_EAGER_KINDS = ("session", "model", "mark", "step")
EAGER_TAGS = frozenset(wire.run_tag(kind).encode() for kind in _EAGER_KINDS)
"""Tags of the records that `RunIndex.add` must be handed with their events."""


@dataclass(slots=True)
class Session:
    """One `watch` of a run: where it starts on the time line.

    Attributes:
        step, wall_time_s: of its record.
        first_step: the first step logged in it, None as long as there is none.
    """

    place: Place
    step: int
    wall_time_s: float
    first_step: int | None = None


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest record of a kind that replaces its predecessors."""

    rank: tuple[int, int] = (-1, -1)
    step: int | None = None
    header: dict[str, Any] = field(default_factory=dict)


class RunIndex:
    """The index of one run.

    Attributes:
        run: its name.
        paths: its files, in the order in which they were first seen.
        table: the statistics at the logged steps.
        marks: wall times by (step, text).
        model, session: the newest of each.
        active: whether a record of ours was seen.
        epoch: identifies this index among all others, also those of the same run.
    """

    def __init__(self, run: str) -> None:
        self.run = run
        self.paths: list[str] = []
        self.table = StepTable()
        self.marks: dict[tuple[int, str], float] = {}
        self.sessions: list[Session] = []
        self.model = Newest()
        self.session = Newest()
        self.active = False
        self.epoch = secrets.token_hex(4)
        self._sequence = 0
        self._first_logged_s = math.inf
        self._ranks: list[int] = []
        self._series: dict[tuple[str, str | None], Series] = {}
        self._tags: dict[bytes, tuple[str, str | None] | None] = {}
        self._stops: dict[int, Notice] = {}
        self._notices: dict[Place, str] = {}

    @property
    def revision(self) -> str:
        """What changes with each change of the index."""
        return f"{self.epoch}.{self._sequence}"

    def sequence_of(self, revision: str) -> int | None:
        """Return the number of changes up to a revision, None when it is of another index (or none at all)."""
        epoch, _, number = revision.partition(".")
        if epoch != self.epoch or not (number.isascii() and number.isdigit()) or len(number) > 18:
            return None
        return int(number) if int(number) <= self._sequence else None

    def add_path(self, path: str) -> int:
        """Add a file; return its index."""
        self.paths.append(path)
        position = {path: rank for rank, path in enumerate(sorted(self.paths))}
        self._ranks = [position[path] for path in self.paths]
        return len(self.paths) - 1

    def add(self, file: int, found: list[Found]) -> None:
        """Enter the records that a scan of a file found."""
        if not found:
            return
        self.active = True
        self._sequence += 1
        for tag, step, wall_time_s, offset, event in found:
            if tag not in self._tags:
                self._tags[tag] = _parse(tag)
            parsed = self._tags[tag]
            if parsed is None:
                continue
            place = Place(file, offset)
            if event is None:
                series = self._series.get(parsed)
                if series is None:
                    series = self._series[parsed] = Series()
                series.append(step, place)
            else:
                self._add_content(parsed[0], step, wall_time_s, place, event)

    def _add_content(self, kind: str, step: int, wall_time_s: float, place: Place, event: bytes) -> None:
        try:
            record = wire.unpack(wire.record_container(event))
            if kind == "step":
                self._add_step(step, wall_time_s, place, record)
            elif kind == "mark":
                self.marks[step, str(record.header["text"])] = wall_time_s
            elif kind == "model":
                if not isinstance(record.header["layers"], list):
                    raise wire.WireError("layers is no list")
                self.model = self._newer(self.model, step, place, record)
            else:
                self.sessions.append(Session(place, step, wall_time_s))
                self.session = self._newer(self.session, step, place, record)
        except (wire.WireError, KeyError, TypeError, ValueError, IndexError) as error:
            self.note(place, str(error) if isinstance(error, wire.WireError) else f"{kind} record without what it should hold: {error!r}")

    def _newer(self, newest: Newest, step: int, place: Place, record: wire.Record) -> Newest:
        rank = self._rank(place)
        return newest if rank < newest.rank else Newest(rank, step, record.header)

    def _add_step(self, step: int, wall_time_s: float, place: Place, record: wire.Record) -> None:
        layers = [str(layer) for layer in record.header["layers"]]
        counts = record.arrays["counts"]
        moments = record.arrays["moments"]
        if counts.shape != (len(layers), len(wire.COUNTS)) or moments.shape != (len(layers), len(wire.MOMENTS)):
            raise wire.WireError(f"step record of {len(layers)} layers with counts {counts.shape} and moments {moments.shape}")
        self._first_logged_s = min(self._first_logged_s, wall_time_s)
        before = self.table.place(step)
        later = before is None or self._rank(place) > self._rank(before)
        self.table.put(step, wall_time_s, place, later=later, sequence=self._sequence, layers=layers, counts=counts, moments=moments)
        for session in reversed(self.sessions):
            if session.place.file == place.file:
                if session.first_step is None:
                    session.first_step = step
                break

    def _rank(self, place: Place) -> tuple[int, int]:
        return self._ranks[place.file], place.offset

    def note(self, place: Place, message: str) -> None:
        """Add a notice about a record."""
        if place not in self._notices and len(self._notices) < _NOTICES_KEPT:
            self._notices[place] = message
            self._sequence += 1

    def note_stop(self, file: int, notice: Notice | None) -> None:
        """Set or clear the notice of what keeps a file from being read further."""
        if self._stops.get(file) != notice:
            self._sequence += 1
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

    def layers(self) -> list[dict[str, Any]]:
        """Return the layers in execution order: the newest model's, then those that it lacks, by name only."""
        listed = self.model.header.get("layers", ())
        layers = [dict(layer) for layer in listed if isinstance(layer, dict) and isinstance(layer.get("name"), str)]
        names = {layer["name"] for layer in layers}
        return layers + [{"name": name} for name in self.table.layers if name not in names]

    def layer_names(self) -> list[str]:
        """Return the names of `layers`."""
        return [layer["name"] for layer in self.layers()]

    def has_layer(self, layer: str) -> bool:
        """Say whether anything of a layer is known."""
        return any((kind, layer) in self._series for kind in wire.LAYER_KINDS) or layer in self.layer_names()

    def places(self, kind: str, layer: str | None) -> tuple[np.ndarray[Any, Any], list[Place]]:
        """Return the steps of a tag's records, ascending, and their places."""
        series = self._series.get((kind, layer))
        if series is None:
            return np.empty(0, np.int64), []
        steps, files, offsets = series.places(self._ranks)
        return steps, [Place(file, offset) for file, offset in zip(files.tolist(), offsets.tolist(), strict=True)]

    def restarts(self) -> list[dict[str, float]]:
        """Return where the run was started again: the first step logged then, and when."""
        return [
            {"step": session.step if session.first_step is None else session.first_step, "wall_time_s": session.wall_time_s}
            for session in sorted(self.sessions, key=lambda session: session.wall_time_s)
            if session.wall_time_s > self._first_logged_s
        ]


def _parse(tag: bytes) -> tuple[str, str | None] | None:
    try:
        return wire.parse_tag(tag.decode())
    except UnicodeDecodeError:
        return None
