"""Measure how fast events are written: by this library's own file, by it through a SummaryWriter, and by a SummaryWriter alone.

    make bench-writing

The events hold 64 KiB of random bytes each, about what the maps of a layer take. They are serialised, framed with their checksums, and
given to the operating system; the disk itself is not waited for. The three take turns; figures are medians.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import table
from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2
from torch.utils.tensorboard import SummaryWriter

from actviz_tb.writer import BackgroundWriter, open_sink

EVENT_BYTES = 64 << 10
EVENTS_A_STEP = 50

Events = Sequence[event_pb2.Event]


def own_file(events: Events, directory: Path) -> None:
    _in_background(events, directory)


def through_summary_writer(events: Events, directory: Path) -> None:
    with SummaryWriter(directory) as writer:
        _in_background(events, writer)


def summary_writer_alone(events: Events, directory: Path) -> None:
    with SummaryWriter(directory) as writer:
        for event in events:
            writer._get_file_writer().add_event(event, event.step, event.wall_time)


def _in_background(events: Events, target: Path | SummaryWriter) -> None:
    background = BackgroundWriter(open_sink(target))
    for start in range(0, len(events), EVENTS_A_STEP):
        step = events[start : start + EVENTS_A_STEP]
        background.submit(lambda step=step: [event.SerializeToString() for event in step])
    background.close()
    fault = background.take_fault()
    if fault is not None:
        raise fault


WAYS: dict[str, Callable[[Events, Path], None]] = {
    "actviz_tb, its own file": own_file,
    "actviz_tb through torch's SummaryWriter": through_summary_writer,
    "torch's SummaryWriter alone": summary_writer_alone,
}


def make_events(megabytes: int) -> list[event_pb2.Event]:
    def event(step: int) -> event_pb2.Event:
        tensor = tensor_pb2.TensorProto(dtype=7, string_val=[os.urandom(EVENT_BYTES)])
        value = summary_pb2.Summary.Value(tag=f"actviz/maps/layer{step % EVENTS_A_STEP}", tensor=tensor)
        return event_pb2.Event(step=step // EVENTS_A_STEP, wall_time=0.0, summary=summary_pb2.Summary(value=[value]))

    return [event(step) for step in range(megabytes * 1_000_000 // EVENT_BYTES)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--megabytes", type=int, default=50, help="of events, a round")
    given = parser.parse_args()
    events = make_events(given.megabytes)
    rates: dict[str, list[float]] = {title: [] for title in WAYS}
    for _ in range(given.rounds):
        for title, write in WAYS.items():
            with TemporaryDirectory() as scratch:
                started = time.perf_counter()
                write(events, Path(scratch))
                seconds = time.perf_counter() - started
                written = sum(path.stat().st_size for path in Path(scratch).iterdir())
                if written < len(events) * EVENT_BYTES:
                    raise RuntimeError(f"{title}: {written} bytes written of {len(events) * EVENT_BYTES}")
                rates[title].append(written / 1e6 / seconds)
    print(table.machine(), end="\n\n")
    print("| events written | MB/s |\n| --- | ---: |")
    for title, values in rates.items():
        print(f"| {title} | {median(values):.3g} |")


if __name__ == "__main__":
    main()
