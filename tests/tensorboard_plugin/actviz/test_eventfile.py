import importlib
import os
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorboard.backend.event_processing import event_file_loader
from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c as tensorboard_masked_crc32c

from tensorboard_plugin.actviz import eventfile, sources, wire

PREFIX = b"actviz/"
VERSION = event_pb2.Event(wall_time=1.0, file_version="brain.Event:2").SerializeToString()


def scalar(step: int) -> bytes:
    value = summary_pb2.Summary.Value(tag="train/loss", simple_value=step / 2)
    return bytes(event_pb2.Event(wall_time=step + 0.5, step=step, summary=summary_pb2.Summary(value=[value])).SerializeToString())


def ours(step: int, size: int = 50, layer: str = "conv1") -> bytes:
    return bytes(wire.record_event(wire.layer_tag("maps", layer), os.urandom(size), step, step + 0.25).SerializeToString())


def index(path: Path) -> eventfile.EventFile:
    return eventfile.EventFile(str(path), PREFIX)


def places(found: eventfile.Found) -> list[tuple[int, str, int]]:
    """Return (offset, tag, step) of what is not eager, in the file's order."""
    return sorted(
        (offset, tag.decode(errors="replace"), step) for tag, columns in found.places.items() for step, offset in zip(*columns, strict=True)
    )


def heads(found: eventfile.Found) -> list[tuple[str, int]]:
    return [(tag, step) for _, tag, step in places(found)]


def steps(found: eventfile.Found) -> list[int]:
    return [step for _, _, step in places(found)]


def tensorboards_heads(path: Path) -> list[tuple[str, int]]:
    events = (event_pb2.Event.FromString(event) for event in event_file_loader.RawEventFileLoader(str(path)).Load())
    return [
        (event.summary.value[0].tag, event.step)
        for event in events
        if event.summary.value and event.summary.value[0].tag.startswith("actviz/")
    ]


def read(path: Path, offset: int) -> bytes:
    source = sources.open_source(str(path))
    try:
        return eventfile.read_event(source, str(path), offset)
    finally:
        source.close()


@given(st.binary(max_size=300))
@settings(deadline=None)
def test_the_checksum_is_tensorboards(data: bytes) -> None:
    assert eventfile.masked_crc32c(data) == tensorboard_masked_crc32c(data)


def test_tensorboard_reads_framed_events(tmp_path: Path) -> None:
    events = [VERSION, b"", scalar(3), ours(4, 100_000)]
    path = tmp_path / "events.out.tfevents.1"
    path.write_bytes(b"".join(map(eventfile.frame, events)))
    assert list(event_file_loader.RawEventFileLoader(str(path)).Load()) == events


@pytest.mark.parametrize("writer", ["torch", "tensorboardX", "tensorboard"])
def test_the_index_of_a_writers_file_agrees_with_tensorboards_reader(tmp_path: Path, writer: str) -> None:
    summary: Any
    if writer == "tensorboard":
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        file_writer = EventFileWriter(str(tmp_path))
        for step in range(50):
            file_writer.add_event(event_pb2.Event.FromString(scalar(step)))
            file_writer.add_event(event_pb2.Event.FromString(ours(step, 10 + 3000 * (step % 7))))
        file_writer.close()
    else:
        module = importlib.import_module("torch.utils.tensorboard" if writer == "torch" else "tensorboardX")
        summary = module.SummaryWriter(str(tmp_path))
        for step in range(50):
            summary.add_scalar("loss", step, step)
            summary.add_histogram("weights", np.arange(100.0), step)
            summary.add_image("picture", np.zeros((3, 200, 200), np.uint8), step)
            summary.add_text("text", "x" * 400, step)
            event: Any = event_pb2.Event.FromString(ours(step, 10 + 3000 * (step % 7)))
            if writer == "tensorboardX":
                from tensorboardX.proto import event_pb2 as x_event_pb2

                event = x_event_pb2.Event.FromString(event.SerializeToString())
                summary.file_writer.event_writer.add_event(event)
            else:
                summary._get_file_writer().event_writer.add_event(event)
        summary.close()
    (path,) = tmp_path.iterdir()
    file = index(path)
    found = file.scan()
    assert len(places(found)) == 50
    assert heads(found) == tensorboards_heads(path)
    events = list(event_file_loader.RawEventFileLoader(str(path)).Load())
    assert all(read(path, offset) in events for offset, _, _ in places(found))
    if writer != "tensorboard":
        assert {"scalars", "text"} <= file.kinds


def test_records_longer_and_shorter_than_a_read_are_indexed(tmp_path: Path) -> None:
    path = tmp_path / "tfevents"
    sizes = [0, 1, 100, 130_000, 131_072, 5, 131_060, 400_000, 7, 1_000_000, 60_000, 60_000, 60_000]
    path.write_bytes(b"".join(eventfile.frame(ours(step, size)) for step, size in enumerate(sizes)))
    assert heads(index(path).scan()) == tensorboards_heads(path)


def test_a_tag_longer_than_a_read_is_indexed(tmp_path: Path) -> None:
    path = tmp_path / "tfevents"
    path.write_bytes(eventfile.frame(scalar(1)) + eventfile.frame(ours(2, 10, "x" * 300_000)) + eventfile.frame(ours(3)))
    assert heads(index(path).scan()) == tensorboards_heads(path)


def test_a_tag_that_a_read_cuts_short_is_not_taken_for_another(tmp_path: Path) -> None:
    layers = ["a", "a.b", "a.b.c", "a.b.c.d.e.f.g.h"]  # each the beginning of the next one
    records = b"".join(eventfile.frame(ours(step, 100, layers[step % 4])) for step in range(1, 800))
    expected = None
    for shift in range(250):  # so that the end of a read falls on each byte of a record
        path = tmp_path / f"tfevents.{shift}"
        path.write_bytes(eventfile.frame(ours(0, shift)) + records)
        expected = expected or tensorboards_heads(path)  # the same for all
        assert heads(index(path).scan()) == expected


def test_fields_in_another_order_and_unknown_fields_are_understood(tmp_path: Path) -> None:
    tag = b"actviz/maps/conv1"
    value = b"\x4a\x02\x0a\x00" + b"\x0a" + bytes([len(tag)]) + tag  # metadata first, then the tag
    content = b"\x22" + _varint(262_144) + bytes(262_144)
    padded = b"\x42" + _varint(len(content)) + content + value  # the tensor first, longer than a read
    events = []
    for body in (value, padded):
        summary = b"\x0a" + _varint(len(body)) + body
        event = (
            b"\xaa\x06\x02hi" + b"\x2a" + _varint(len(summary)) + summary + b"\x10\x07" + b"\x09" + bytes(8)
        )  # unknown field 101; step last
        assert event_pb2.Event.FromString(event).step == 7
        events.append(eventfile.frame(event))
    path = tmp_path / "tfevents"
    path.write_bytes(b"".join(events))
    assert heads(index(path).scan()) == [("actviz/maps/conv1", 7)] * 2 == tensorboards_heads(path)


@given(st.data())
@settings(deadline=None, max_examples=1000)
def test_what_only_looks_usual_is_read_as_its_head_is_parsed(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    event = bytearray(ours(2))
    for _ in range(data.draw(st.integers(0, 2))):
        event[data.draw(st.integers(9, 40))] = data.draw(st.sampled_from([0, 1, 2, 5, 0x0A, 0x10, 0x12, 0x2A, 0x7F, 0x80, 0xFF]))
    event += data.draw(st.sampled_from([b"", b"\x10\x09", b"\x2a\x00", b"\x2a\x15\x0a\x13\x0a\x11actviz/maps/conv1"]))
    del event[data.draw(st.sampled_from([len(event), 41, 40, 33])) :]
    tag, step, _ = eventfile.parse_head(bytes(event) + bytes(300), 0, len(event)) or (b"", 0, 0.0)
    expected = [(tag.decode(errors="replace"), step)] if tag.startswith(PREFIX) else []
    path = tmp_path_factory.mktemp("usual") / "tfevents"
    path.write_bytes(eventfile.frame(ours(1)) + eventfile.frame(bytes(event)) + eventfile.frame(ours(3)))
    assert heads(index(path).scan()) == [("actviz/maps/conv1", 1), *expected, ("actviz/maps/conv1", 3)]


def _varint(value: int) -> bytes:
    result = b""
    while value >= 0x80:
        result += bytes([value & 0x7F | 0x80])
        value >>= 7
    return result + bytes([value])


@given(st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), st.text(max_size=30))
@settings(deadline=None)
def test_the_head_of_any_event_is_parsed(step: int, wall_time_s: float, layer: str) -> None:
    tag = wire.layer_tag("maps", layer)
    event = wire.record_event(tag, b"payload", step, wall_time_s).SerializeToString()
    assert eventfile.parse_head(event, 0, len(event)) == (tag.encode(), step, wall_time_s)


@given(st.binary(max_size=200))
@settings(deadline=None, max_examples=500)
def test_any_bytes_have_a_head_or_none(data: bytes) -> None:
    head = eventfile.parse_head(data, 0, len(data))
    assert head is not None
    assert head[0] == b"" or head[0] in data
    assert -(2**63) <= head[1] < 2**63


@given(st.binary(max_size=60), st.integers(0, 100))
@settings(deadline=None)
def test_a_head_that_is_cut_off_asks_for_more_or_is_right(layer: bytes, cut: int) -> None:
    event = wire.record_event(wire.layer_tag("maps", layer.hex()), b"payload", 77, 5.0).SerializeToString()
    head = eventfile.parse_head(event[:cut], 0, len(event))
    assert head is None or head == eventfile.parse_head(event, 0, len(event))


def test_growth_is_seen_a_record_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "tfevents"
    path.touch()
    file = index(path)
    assert not places(file.scan())
    with path.open("ab", buffering=0) as stream:
        for step in range(20):
            stream.write(eventfile.frame(ours(step, 100 * step)))
            assert heads(file.scan()) == [("actviz/maps/conv1", step)]
            assert not places(file.scan())


def test_a_torn_tail_waits_at_every_byte_and_completes(tmp_path: Path) -> None:
    whole = eventfile.frame(VERSION) + eventfile.frame(ours(1))
    last = eventfile.frame(ours(2))
    path = tmp_path / "tfevents"
    for cut in range(len(last)):
        path.write_bytes(whole + last[:cut])
        file = index(path)
        assert steps(file.scan()) == [1]
        assert file.damage is None
        with path.open("ab") as stream:
            stream.write(last[cut:])
        assert steps(file.scan()) == [2]
        assert file.damage is None


def test_scanning_in_parts_finds_the_same(tmp_path: Path) -> None:
    path = tmp_path / "tfevents"
    path.write_bytes(b"".join(eventfile.frame(event) for step in range(100) for event in (scalar(step), ours(step))))
    file = index(path)
    found = places(file.scan(7))
    parts = 1
    while file.has_more:
        found += places(file.scan(7))
        parts += 1
    assert parts == 29
    assert found == places(index(path).scan())


def test_a_damaged_length_keeps_what_is_before_it_and_names_the_byte(tmp_path: Path) -> None:
    before = eventfile.frame(ours(1)) + eventfile.frame(ours(2))
    damaged = bytearray(eventfile.frame(ours(3)))
    damaged[0] ^= 1
    path = tmp_path / "tfevents"
    path.write_bytes(before + damaged + eventfile.frame(ours(4)))
    file = index(path)
    assert steps(file.scan()) == [1, 2]
    assert file.damage is not None
    assert file.damage.byte == len(before)
    assert file.damage.file == str(path)
    assert not places(file.scan())
    assert file.damage is not None
    damaged[0] ^= 1  # as when a network file system shows the bytes late
    path.write_bytes(before + damaged + eventfile.frame(ours(4)))
    os.utime(path, (2, 2))
    assert steps(file.scan()) == [3, 4]
    assert file.damage is None


def test_a_damaged_payload_is_found_at_reading(tmp_path: Path) -> None:
    data = bytearray(eventfile.frame(ours(1)) + eventfile.frame(ours(2)))
    data[-10] ^= 4
    path = tmp_path / "tfevents"
    path.write_bytes(data)
    (first, _, _), (second, _, _) = places(index(path).scan())
    assert read(path, first)
    with pytest.raises(eventfile.DamagedRecordError, match="content does not match") as error:
        read(path, second)
    assert error.value.notice.byte == second


def test_eager_records_come_with_their_event_or_a_notice(tmp_path: Path) -> None:
    small, large = ours(1, 20, "a"), ours(2, 400_000, "a")
    damaged = bytearray(eventfile.frame(ours(3, 20, "a")))
    damaged[-6] ^= 1
    path = tmp_path / "tfevents"
    path.write_bytes(eventfile.frame(small) + eventfile.frame(large) + bytes(damaged) + eventfile.frame(ours(4, 20, "b")))
    file = eventfile.EventFile(str(path), PREFIX, b"actviz/maps/a".__eq__)
    found = file.scan()
    assert [(each.tag, each.step, each.wall_time_s, each.event) for each in found.eager] == [
        (b"actviz/maps/a", 1, 1.25, small),
        (b"actviz/maps/a", 2, 2.25, large),
    ]
    assert heads(found) == [("actviz/maps/b", 4)]
    assert [notice.byte for notice in file.damaged_records] == [len(eventfile.frame(small)) + len(eventfile.frame(large))]


@pytest.mark.parametrize("offset", [3, 10**9])
def test_reading_where_no_record_is_raises_a_damaged_record_error(tmp_path: Path, offset: int) -> None:
    path = tmp_path / "tfevents"
    path.write_bytes(eventfile.frame(ours(1)))
    with pytest.raises(eventfile.DamagedRecordError):
        read(path, offset)


def test_a_file_that_shrank_or_was_replaced_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "tfevents"
    content = b"".join(eventfile.frame(ours(step)) for step in range(3))
    path.write_bytes(content)
    file = index(path)
    assert steps(file.scan()) == [0, 1, 2]
    os.truncate(path, len(content) - 5)
    with pytest.raises(eventfile.ReplacedFileError):
        file.scan()

    path.write_bytes(content)
    file = index(path)
    assert steps(file.scan()) == [0, 1, 2]
    other = tmp_path / "other"
    other.write_bytes(content + eventfile.frame(ours(9)))
    other.replace(path)
    with pytest.raises(eventfile.ReplacedFileError):
        file.scan()


def test_a_file_that_was_rewritten_in_place_and_is_longer_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "tfevents"
    path.write_bytes(eventfile.frame(VERSION) + eventfile.frame(ours(1)))
    file = index(path)
    assert steps(file.scan()) == [1]
    later = event_pb2.Event(wall_time=2.0, file_version="brain.Event:2").SerializeToString()
    path.write_bytes(eventfile.frame(later) + b"".join(eventfile.frame(ours(step)) for step in range(5)))
    with pytest.raises(eventfile.ReplacedFileError):
        file.scan()


@given(st.data())
@settings(max_examples=400, deadline=None)
def test_no_bit_flip_gives_wrong_data(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    events = [ours(step, 30) for step in (1, 2, 3)]
    content = bytearray(b"".join(map(eventfile.frame, events)))
    bit = data.draw(st.integers(0, 8 * len(content) - 1))
    content[bit // 8] ^= 1 << bit % 8
    path = tmp_path_factory.mktemp("flip") / "tfevents"
    path.write_bytes(content)
    good = 0
    for offset, _, _ in places(index(path).scan()):
        try:
            assert read(path, offset) in events
            good += 1
        except eventfile.DamagedRecordError:
            pass
    assert good <= 2  # the flip is noticed, wherever it is
    assert good >= bit // 8 // len(eventfile.frame(events[0]))  # and costs nothing before it


def test_remote_files_are_read_through_tensorboards_file_layer() -> None:
    memory = fsspec.filesystem("memory")
    path = "memory://logs/run/events.out.tfevents.1"
    content = eventfile.frame(VERSION) + eventfile.frame(ours(1)) + eventfile.frame(ours(2, 300_000))
    try:
        memory.pipe_file("/logs/run/events.out.tfevents.1", content)
        file = eventfile.EventFile(path, PREFIX)
        found = file.scan()
        assert steps(found) == [1, 2]
        assert not places(file.scan())
        source = sources.open_source(path)
        assert len(eventfile.read_event(source, path, places(found)[1][0])) > 300_000
        memory.pipe_file("/logs/run/events.out.tfevents.1", content + eventfile.frame(ours(3)))
        assert steps(file.scan()) == [3]
    finally:
        memory.rm("/logs", recursive=True)
