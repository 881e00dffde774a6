"""Reading single records where the index says that they lie. Safe to use from any thread."""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tensorboard_plugin.actviz import limits, wire
from tensorboard_plugin.actviz.eventfile import DamagedRecordError, Notice, parse_head, read_event
from tensorboard_plugin.actviz.sources import Source, open_source

_CACHE_BYTES = 128 << 20
_RECORD_OVERHEAD_BYTES = 2000


class Location(NamedTuple):
    """Where to read a record, and what must be found there.

    Attributes:
        run: its name. path, offset: of the file, and of the record in it. tag: in UTF-8. step: the record's.
        key: identifies the record; another one that takes its place has another key.
    """

    run: str
    path: str
    offset: int
    tag: bytes
    step: int
    key: str


class RecordReader:
    """Reads records, and keeps the decoded ones that were used last, up to a number of bytes."""

    def __init__(self, note: Callable[[Location, Notice], None], cache_bytes: int = _CACHE_BYTES) -> None:
        """Call `note` for each record that turns out to be damaged."""
        self._note = note
        self._capacity_bytes = cache_bytes
        self._lock = threading.Lock()
        self._cache: OrderedDict[str, tuple[wire.Record, int]] = OrderedDict()
        self._cached_bytes = 0

    def container(self, location: Location) -> bytes:
        """Return a record's container, verified to be the one that was indexed.

        Raises:
            DamagedRecordError: it is not.
            TooLargeError: it is longer than `limits.RECORD_BYTES`.
            OSError, or the file system's own error: its file is gone.
        """
        source = open_source(location.path)
        try:
            return self._read(source, location, limits.RECORD_BYTES)
        finally:
            source.close()

    def record(self, location: Location) -> wire.Record:
        """Return a record of any size, which is not kept.

        Raises:
            DamagedRecordError: it cannot be read, or is of a later format.
            OSError, or the file system's own error: its file is gone.
        """
        source = open_source(location.path)
        try:
            container = self._read(source, location, None)
        finally:
            source.close()
        try:
            return wire.unpack(container)
        except wire.WireError as error:
            raise self._noted(location, str(error)) from error

    def decoded(self, locations: Sequence[Location], only: Sequence[str] | None = None) -> list[tuple[int, wire.Record]]:
        """Return (step, record) of those that can be read, in the order given.

        Args:
            only: names of the arrays wanted; None: all.

        Raises:
            TooLargeError: they are more than `limits.READ_BYTES`, or take more than `limits.READ_S`; what was read is kept as far as
                the cache goes, so that asking again goes on from there.
        """
        records: list[tuple[int, wire.Record]] = []
        total_bytes = 0
        started_s = time.monotonic()
        source: Source | None = None
        path = ""
        try:
            for location in locations:
                key = location.key if only is None else f"{location.key} {' '.join(only)}"
                record = self._cached(key)
                if record is None:
                    try:
                        if source is None or path != location.path:
                            if source is not None:
                                source.close()
                            source, path = open_source(location.path), location.path
                        record = wire.unpack(self._read(source, location, limits.RECORD_BYTES), limits.RECORD_BYTES, only)
                    except OSError:  # the next refresh will see that the file is gone
                        continue
                    except DamagedRecordError:
                        continue
                    except (wire.WireError, limits.TooLargeError) as error:
                        self._note(location, Notice(location.path, location.offset, str(error)))
                        continue
                    self._keep(key, record)
                    if time.monotonic() - started_s > limits.READ_S:
                        advice = "ask again, what was read is kept; or for fewer steps"
                        message = f"{len(records) + 1} of {len(locations)} records took more than {limits.READ_S:g} s to read: {advice}"
                        raise limits.TooLargeError(message)
                total_bytes += size_bytes(record)
                limits.check("bytes of records", total_bytes, limits.READ_BYTES, "ask for fewer steps")
                records.append((location.step, record))
        finally:
            if source is not None:
                source.close()
        return records

    def _read(self, source: Source, location: Location, limit_bytes: int | None) -> bytes:
        try:
            event = read_event(source, location.path, location.offset, limit_bytes)
            head = parse_head(event, 0, len(event))
            if head is None or head[:2] != (location.tag, location.step):
                message = f"another record than the index says: expected {location.tag.decode(errors='replace')} of step {location.step}"
                raise DamagedRecordError(Notice(location.path, location.offset, message))
            return wire.record_container(event)
        except DamagedRecordError as error:
            self._note(location, error.notice)
            raise DamagedRecordError(error.notice._replace(file=os.path.basename(location.path))) from None
        except wire.WireError as error:
            raise self._noted(location, str(error)) from error

    def _noted(self, location: Location, message: str) -> DamagedRecordError:
        notice = Notice(location.path, location.offset, message)
        self._note(location, notice)
        return DamagedRecordError(notice._replace(file=os.path.basename(location.path)))

    def _cached(self, key: str) -> wire.Record | None:
        with self._lock:
            entry = self._cache.get(key)
            if entry is None:
                return None
            self._cache.move_to_end(key)
            return entry[0]

    def _keep(self, key: str, record: wire.Record) -> None:
        size = size_bytes(record)
        with self._lock:
            if key in self._cache:
                return
            self._cache[key] = record, size
            self._cached_bytes += size
            while self._cached_bytes > self._capacity_bytes:
                _, (_, freed) = self._cache.popitem(last=False)
                self._cached_bytes -= freed


def size_bytes(record: wire.Record) -> int:
    """Return what a decoded record takes, about."""
    return _RECORD_OVERHEAD_BYTES + sum(array.nbytes for array in record.arrays.values())
