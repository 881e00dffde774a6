"""TensorBoard event files: how records are framed, and an incremental index of one file by byte offset.

A file is a sequence of records, little endian::

    uint64  length of the event
    uint32  masked CRC-32C of those 8 bytes
    bytes   the event, a serialised ``Event``
    uint32  masked CRC-32C of the event

The index reads the length, the step, the wall time and the first value's tag, and seeks past the rest, so that its cost does not
depend on how big the maps are. The CRC of a payload is checked when the payload is read.

Not thread-safe: one `EventFile` belongs to one thread. `read_event` may be called from any thread.
"""

from __future__ import annotations

import functools
import re
import struct
from array import array
from collections.abc import Callable
from typing import NamedTuple

from tensorboard.compat.proto import event_pb2

from tensorboard_plugin.actviz import sources
from tensorboard_plugin.actviz.limits import TooLargeError
from tensorboard_plugin.actviz.sources import Identity, Source

try:
    import google_crc32c

    _crc32c: Callable[[bytes], int] = google_crc32c.value
except ImportError:  # no wheel for this platform: TensorBoard's pure Python, about 8 MB/s
    from tensorboard.compat.tensorflow_stub import pywrap_tensorflow

    _crc32c = pywrap_tensorflow.crc32c

_HEADER = struct.Struct("<QI")
_CRC = struct.Struct("<I")
_DOUBLE = struct.Struct("<d")
_FOOTER_BYTES = _CRC.size
_OVERHEAD_BYTES = _HEADER.size + _FOOTER_BYTES
_CHUNK_BYTES = 128 * 1024
_HEAD_BYTES = 2048
_USUAL_HEAD_BYTES = 256  # and more
_LENGTHS_KEPT = 1 << 12
_FINGERPRINT_BYTES = 64
_KINDS_LOOKED_AT = 32
_KINDS_WITHOUT_PLUGIN = {"simple_value": "scalars", "histo": "histograms", "image": "images", "audio": "audio"}
_MASK_DELTA = 0xA282EAD8


class Notice(NamedTuple):
    """What is wrong with a file, and where.

    Attributes:
        file: its path; the store shortens it.
        byte: offset of the record at fault.
        message: one sentence for the user.
    """

    file: str
    byte: int
    message: str


class Eager(NamedTuple):
    """A record that is read as soon as it is found.

    Attributes:
        tag: in UTF-8, of the event's first value.
        step, wall_time_s: the event's.
        offset: of the record in the file.
        event: the serialised event, its CRC checked.
    """

    tag: bytes
    step: int
    wall_time_s: float
    offset: int
    event: bytes


class Found(NamedTuple):
    """What a scan found, in the file's order.

    Attributes:
        places: by tag, in UTF-8, of the event's first value: the steps, and the offsets in the file, which `read_event` takes.
        eager: the records with a tag that was asked to be read eagerly; they are not in `places`.
    """

    places: dict[bytes, tuple[array[int], array[int]]]
    eager: list[Eager]


class DamagedRecordError(ValueError):
    """The bytes at an offset are not a record, or not the one that was written."""

    def __init__(self, notice: Notice) -> None:
        super().__init__(f"{notice.message} ({notice.file}, byte {notice.byte})")
        self.notice = notice


class ReplacedFileError(Exception):
    """The file shrank, or another one took its name: what was indexed is void."""


def masked_crc32c(data: bytes) -> int:
    """Return the checksum that event files use: CRC-32C, rotated and offset."""
    crc = _crc32c(data)
    return ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF


def frame(data: bytes) -> bytes:
    """Return the record that holds a serialised event."""
    length = len(data).to_bytes(8, "little")
    return b"".join((length, _CRC.pack(masked_crc32c(length)), data, _CRC.pack(masked_crc32c(data))))


def read_event(source: Source, path: str, offset: int, limit_bytes: int | None = None) -> bytes:
    """Return the serialised event of the record at `offset`.

    Raises:
        TooLargeError: it is longer than `limit_bytes`.
        DamagedRecordError: its length or its content does not match the checksum, or the file ends first.
    """
    header = source.read(offset, _HEADER.size)
    if len(header) < _HEADER.size:
        raise DamagedRecordError(Notice(path, offset, "the file ends before the record"))
    length, crc = _HEADER.unpack(header)
    if masked_crc32c(header[:8]) != crc:
        raise DamagedRecordError(Notice(path, offset, "damaged record: its length does not match the checksum"))
    if length > source.size_bytes - offset:
        raise DamagedRecordError(Notice(path, offset, "the file ends before the record"))
    if limit_bytes is not None and length > limit_bytes:
        raise TooLargeError(f"the record has {length} bytes; at most {limit_bytes} are read")
    data = source.read(offset + _HEADER.size, length + _FOOTER_BYTES)
    if len(data) < length + _FOOTER_BYTES:
        raise DamagedRecordError(Notice(path, offset, "the file ends before the record"))
    event = data[:length]
    if masked_crc32c(event) != _CRC.unpack_from(data, length)[0]:
        raise DamagedRecordError(Notice(path, offset, "damaged record: its content does not match the checksum"))
    return event


class EventFile:
    """The index of one event file, brought up to date by `scan`.

    Attributes:
        path: as given.
        size_bytes: as of the last scan.
        kinds: what the first records of others are, by plugin name (``{"scalars", "images"}``).
        records: how many records were seen, of any kind.
        damage: what stopped the reading, or None; it is tried again when the file changes.
    """

    def __init__(self, path: str, prefix: bytes, eager: Callable[[bytes], bool] = lambda tag: False) -> None:
        """Index the records whose tag starts with `prefix`; hand those with a tag that is `eager` over with their event."""
        self.path = path
        self.size_bytes = 0
        self.kinds: set[str] = set()
        self.records = 0
        self.damage: Notice | None = None
        self.damaged_records: list[Notice] = []
        self._prefix = prefix
        self._eager = eager
        self._position = 0
        self._kinds_left = _KINDS_LOOKED_AT
        self._lengths: dict[bytes, int] = {}  # by the header, which was verified
        self._plain_tags: set[bytes] = set()
        self._identity: Identity | None = None
        self._fingerprint = b""
        self._status: tuple[int, ...] | None = None

    def scan(self, max_records: int = 1 << 62) -> Found:
        """Return the complete records with our prefix that were added since the last call.

        Args:
            max_records: stop after so many records, of any kind; the next call goes on from there.

        Raises:
            ReplacedFileError: start again with a new `EventFile`.
            OSError, or the file system's own error: the file cannot be read now.
        """
        status = sources.status(self.path)
        if status == self._status:
            return Found({}, [])
        source = sources.open_source(self.path)
        try:
            self._check_same_file(source)
            self.size_bytes = source.size_bytes
            before = self.records
            found = self._scan(source, max_records)
            if len(self._fingerprint) < _FINGERPRINT_BYTES:
                self._fingerprint = source.read(0, min(_FINGERPRINT_BYTES, self._position))
            self._status = None if self.records - before == max_records else status
            return found
        finally:
            source.close()

    @property
    def has_more(self) -> bool:
        """Whether the last scan stopped at `max_records`."""
        return self._status is None

    def _check_same_file(self, source: Source) -> None:
        if source.size_bytes < self._position or (self._identity is not None and source.identity != self._identity):
            raise ReplacedFileError(self.path)
        # Rewritten in place, and already longer than before: only the content tells. Each file starts with its wall time.
        if self._fingerprint and source.read(0, len(self._fingerprint)) != self._fingerprint:
            raise ReplacedFileError(self.path)
        self._identity = source.identity

    def _scan(self, source: Source, max_records: int) -> Found:
        found = Found({}, [])
        size = source.size_bytes
        position = self._position
        chunk = b""
        chunk_start = position
        self.damage = None
        left = max_records
        length = 0
        usual, lengths, places, number = _USUAL_RECORD, self._lengths, found.places, _number
        while left and position + _OVERHEAD_BYTES <= size:
            at = position - chunk_start
            if at + _USUAL_HEAD_BYTES > len(chunk) and (at or not chunk):
                # Where records are long, and a read costs little, the heads alone.
                chunk_bytes = _HEAD_BYTES if length > 2 * _HEAD_BYTES and source.reads_cheaply else _CHUNK_BYTES
                chunk, chunk_start, at = source.read(position, chunk_bytes), position, 0
            # Nearly all records are of the usual kind, with a tag that was seen before; what is not goes the long way below.
            match = usual(chunk, at)
            if match is not None:
                header, step, summary_size, value_size, tag_size = match.groups()
                known = lengths.get(header)
                if known is None:
                    known = self._verified_length(header)
                if known is not None and match.end(3) + number(summary_size) == at + _HEADER.size + known:
                    tag = chunk[match.end() : match.end() + tag_size[0]]
                    of_tag = places.get(tag)
                    if of_tag is None and tag in self._plain_tags:
                        of_tag = places[tag] = array("q"), array("Q")
                    end = position + _OVERHEAD_BYTES + known
                    if of_tag is not None and tag_size[0] + 2 <= value_size[0] and end <= size:
                        of_tag[0].append(number(step) if step else 0)
                        of_tag[1].append(position)
                        left -= 1
                        position, length = end, known
                        continue
            if len(chunk) - at < _HEADER.size:
                break  # the file shrinks
            length, crc = _HEADER.unpack_from(chunk, at)
            if masked_crc32c(chunk[at : at + 8]) != crc:
                message = "damaged record: its length does not match the checksum; what follows is not shown"
                self.damage = Notice(self.path, position, message)
                break
            end = position + _OVERHEAD_BYTES + length
            if end > size:
                break
            start = at + _HEADER.size
            head = parse_head(chunk, start, start + length)
            if head is None and (at or len(chunk) == _HEAD_BYTES):
                chunk, chunk_start, at = source.read(position, _CHUNK_BYTES), position, 0
                start = _HEADER.size
                head = parse_head(chunk, start, start + length)
            if head is None and length > len(chunk):
                chunk, chunk_start, at = source.read(position, length + _OVERHEAD_BYTES), position, 0
                head = parse_head(chunk, start, start + length)
            left -= 1
            if head is not None:
                tag, step, wall_time_s = head
                if tag.startswith(self._prefix):
                    if not self._eager(tag):
                        self._plain_tags.add(tag)
                        steps, offsets = places.setdefault(tag, (array("q"), array("Q")))
                        steps.append(step)
                        offsets.append(position)
                    elif (event := self._eager_event(source, position, chunk, start, length)) is not None:
                        found.eager.append(Eager(tag, step, wall_time_s, position, event))
                elif tag and self._kinds_left:
                    self._note_kind(chunk[start : start + length])
            position = end
        self.records += max_records - left
        self._position = position
        return found

    def _verified_length(self, header: bytes) -> int | None:
        """Return the length that a record's header tells, None where it does not match its checksum."""
        length, crc = _HEADER.unpack(header)
        if masked_crc32c(header[:8]) != crc:
            return None
        if len(self._lengths) < _LENGTHS_KEPT:
            self._lengths[header] = length
        return int(length)

    def _eager_event(self, source: Source, position: int, chunk: bytes, start: int, length: int) -> bytes | None:
        event = chunk[start : start + length]
        footer = chunk[start + length : start + length + _FOOTER_BYTES]
        if len(footer) == _FOOTER_BYTES and masked_crc32c(event) == _CRC.unpack(footer)[0]:
            return event
        try:
            return read_event(source, self.path, position)
        except DamagedRecordError as error:
            self.damaged_records.append(error.notice)
            return None

    def _note_kind(self, event: bytes) -> None:
        self._kinds_left -= 1
        try:
            values = event_pb2.Event.FromString(event).summary.value
        except Exception:
            return
        for value in values:
            name = value.metadata.plugin_data.plugin_name
            kind = name or _KINDS_WITHOUT_PLUGIN.get(value.WhichOneof("value") or "", "other data")
            self.kinds = self.kinds | {kind}  # a new set: other threads may be looking at the old one


_VARINT = rb"[\x80-\xff]{0,9}[\x00-\x7f]"
_USUAL_RECORD = re.compile(
    rb"(.{12})\x09.{8}(?:\x10(%(varint)s))?\x2a(%(varint)s)\x0a(%(varint)s)\x0a([\x00-\x7d])" % {b"varint": _VARINT}, re.DOTALL
).match
"""A record's header, and its event as it is usually written: wall time, step, summary, and in its first value first of all the tag, of at
most 125 bytes. Where the summary is all the rest, and the value is longer than the tag (a size of two bytes is), it says nothing else."""


@functools.lru_cache(maxsize=1 << 16)
def _number(varint: bytes) -> int:
    """Return a varint as a signed number of 64 bits."""
    value = _varint(varint, 0)[0]
    return value - (1 << 64) if value >= 1 << 63 else value


def parse_head(data: bytes, start: int, stop: int) -> tuple[bytes, int, float] | None:
    """Return (tag of the first value, step, wall time) of the event in ``data[start:stop]``, as far as `data` goes.

    The tag is empty where the event has no value, or is none. None: what is needed lies beyond the end of `data`.
    """
    tag = b""
    step = 0
    wall_time_s = 0.0
    position = start
    try:
        while position < stop:
            key = data[position]
            if key == 0x09:  # field 1, fixed64
                wall_time_s = _DOUBLE.unpack_from(data, position + 1)[0]
                position += 9
            elif key == 0x10:  # field 2, varint
                step, position = _varint(data, position + 1)
            elif key == 0x2A and not tag:  # field 5: the summary
                size, position = _varint(data, position + 1)
                tag = _first_tag(data, position, min(position + size, stop))
                position += size
            else:
                position = _skip(data, position)
    except (IndexError, struct.error):
        return None if stop > len(data) else (b"", 0, 0.0)
    if step >= 1 << 63:
        step -= 1 << 64
    return tag, step, wall_time_s


def _first_tag(data: bytes, start: int, stop: int) -> bytes:
    """Return the tag of the first ``Value`` of a ``Summary``."""
    position = start
    while position < stop:
        if data[position] != 0x0A:  # field 1: a value
            position = _skip(data, position)
            continue
        size, position = _varint(data, position + 1)
        stop = min(position + size, stop)
        while position < stop:
            if data[position] == 0x0A:  # field 1: the tag
                size, position = _varint(data, position + 1)
                if position + size > len(data):
                    raise IndexError
                return data[position : min(position + size, stop)]
            position = _skip(data, position)
    return b""


def _varint(data: bytes, position: int) -> tuple[int, int]:
    byte = data[position]
    position += 1
    if byte < 0x80:
        return byte, position
    value = byte & 0x7F
    shift = 7
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, position
        shift += 7
        if shift > 63:
            raise struct.error("varint of more than 10 bytes")


def _skip(data: bytes, position: int) -> int:
    """Return the position after the field at `position`."""
    key, position = _varint(data, position)
    wire_type = key & 7
    if wire_type == 0:
        return _varint(data, position)[1]
    if wire_type == 1:
        return position + 8
    if wire_type == 2:
        size, position = _varint(data, position)
        return position + size
    if wire_type == 5:
        return position + 4
    raise struct.error(f"wire type {wire_type}")
