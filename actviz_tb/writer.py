"""Writing events in the background.

Threading contract: `BackgroundWriter.submit` is called by the training thread and hands a job (a callable that makes serialised
events) to one worker thread over a bounded queue. When the queue is full `submit` waits: a slow disk slows the training down, a step is
never dropped. A fault in a job or in writing is kept and given to the training thread by `take_fault`.
"""

from __future__ import annotations

import functools
import os
import queue
import socket
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any, Protocol

from tensorboard.compat.proto import event_pb2

from actviz_tb.errors import ActvizWarning, ArgumentError, ArgumentTypeError
from tensorboard_plugin.actviz.eventfile import frame

Job = Callable[[], Sequence[bytes]]
QUEUED_JOBS = 8
_file_numbers = count()


class EventSink(Protocol):
    """Where serialised events go. Used by one thread at a time."""

    def write(self, events: Sequence[bytes]) -> None:
        """Append events, all or none.

        Raises:
            OSError: they could not be written; later ones may be.
        """

    def flush(self) -> None: ...

    def close(self) -> None: ...

    def discard(self) -> None:
        """Undo what opening it has made, once it is closed."""


class EventFile:
    """An event file of our own in a log directory."""

    def __init__(self, directory: Path) -> None:
        if directory.is_file():
            raise ArgumentError(f"{str(directory)!r} is a file; give a log directory")
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:  # which the message tells
            raise ArgumentError(f"cannot make the log directory {str(directory)!r}: {error}; give one that can be written to") from None
        _warn_of_second_file(directory)
        # Padded, so that files of one second are in the order in which they were made when their names are sorted.
        name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.actviz{next(_file_numbers):06d}"
        self._path = directory / name
        self._size = 0
        try:
            self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
            self.write([event_pb2.Event(wall_time=time.time(), file_version="brain.Event:2").SerializeToString()])
        except OSError as error:
            raise ArgumentError(f"cannot write to the log directory {str(directory)!r}: {error}") from None

    def write(self, events: Sequence[bytes]) -> None:
        data = memoryview(b"".join(map(frame, events)))
        written = 0
        try:
            while written < len(data):
                written += os.write(self._descriptor, data[written:])
        except OSError:
            # Without half a record at its end the file stays readable, and takes records again once there is room.
            os.ftruncate(self._descriptor, self._size)
            os.lseek(self._descriptor, self._size, os.SEEK_SET)
            raise
        self._size += written

    def flush(self) -> None:
        """Nothing is buffered here."""

    def close(self) -> None:
        os.close(self._descriptor)

    def discard(self) -> None:
        self._path.unlink(missing_ok=True)


class Nowhere:
    """What a process has that writes nothing."""

    def write(self, events: Sequence[bytes]) -> None: ...

    def flush(self) -> None: ...

    def close(self) -> None: ...

    def discard(self) -> None: ...


class SummaryWriterSink:
    """The user's own SummaryWriter, torch's or tensorboardX's: with a second event file in a run's directory TensorBoard loses data."""

    def __init__(self, writer: Any) -> None:
        self._writer = writer
        self._event_class = _event_class(writer)
        self._check_open()

    def write(self, events: Sequence[bytes]) -> None:
        self._check_open()
        # Asked for at each use: the writer replaces it when it is reopened.
        file_writer = self._writer._get_file_writer()
        _frame_natively(file_writer)
        for data in events:
            event = self._event_class.FromString(data)
            file_writer.add_event(event, event.step, event.wall_time)

    def flush(self) -> None:
        if self._writer.all_writers is not None:
            for file_writer in self._writer.all_writers.values():
                file_writer.flush()

    def close(self) -> None:
        self.flush()  # the writer is the user's to close

    def discard(self) -> None:
        """What it wrote stays."""

    def _check_open(self) -> None:
        if self._writer.all_writers is None:
            raise ArgumentError("the SummaryWriter is closed; watch with an open one, and close it after the training")


def open_sink(target: Any) -> EventSink:
    """Return where events for `target` go.

    Raises:
        ArgumentTypeError: neither a path nor a SummaryWriter.
        ArgumentError: a directory that cannot be written to, or a closed writer.
    """
    if isinstance(target, (str, os.PathLike)):
        return EventFile(Path(target))
    if all(hasattr(target, name) for name in ("_get_file_writer", "all_writers", "add_histogram")):
        return SummaryWriterSink(target)
    if hasattr(getattr(target, "experiment", None), "add_histogram"):
        raise ArgumentTypeError(f"target is a {type(target).__name__}; give its SummaryWriter: watch(model, logger.experiment)")
    raise ArgumentTypeError(f"target={target!r} is a {type(target).__name__}; expected a log directory (str or path) or a SummaryWriter")


class BackgroundWriter:
    """One worker thread that encodes and writes; see the module's docstring.

    A forked child inherits it without its thread: there, `submit` does nothing.
    """

    def __init__(self, sink: EventSink) -> None:
        self._sink = sink
        self._pid = os.getpid()
        self._jobs: queue.Queue[Job | None] = queue.Queue(QUEUED_JOBS)  # None is the last
        self._fault: Exception | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="actviz_tb writer", daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> None:
        """Queue a job; waits while the queue is full."""
        if not self._closed and os.getpid() == self._pid:
            self._jobs.put(job)

    def take_fault(self) -> Exception | None:
        """Return the last fault of the worker that nobody was told of yet."""
        fault, self._fault = self._fault, None
        return fault

    def drain(self) -> None:
        """Wait until all that was submitted is written."""
        if os.getpid() == self._pid:
            self._jobs.join()

    def flush(self) -> None:
        """Wait until all that was submitted is on its way to the disk."""
        self.drain()
        if not self._closed and os.getpid() == self._pid:
            self._sink.flush()

    def close(self) -> None:
        """Write what was submitted, close the sink, end the thread. Idempotent."""
        if self._closed or os.getpid() != self._pid:
            return
        self._closed = True
        if threading.current_thread() is not self._thread:
            self._jobs.put(None)
            self._thread.join()
        else:
            # By the garbage collector, maybe as this thread begins to wait for a job: then it holds the queue's lock, and would sleep on.
            threading.Thread(target=self._jobs.put, args=(None,), name="actviz_tb end", daemon=True).start()

    def discard(self) -> None:
        """Close, and undo what opening the sink has made."""
        if os.getpid() == self._pid:
            self.close()
            self._sink.discard()

    def _work(self) -> None:
        for job in iter(self._jobs.get, None):
            try:
                self._sink.write(job())
            except Exception as error:
                self._fault = error
            finally:
                del job  # it holds a step's arrays
                self._jobs.task_done()
        self._jobs.task_done()
        try:
            self._sink.close()
        except Exception as error:
            self._fault = error


def drain_before_close(writer: Any, background: BackgroundWriter) -> None:
    """Make the user's ``writer.flush()`` and ``writer.close()`` write first what is still queued here."""
    queued = getattr(writer, "_actviz_queued", None)
    if queued is not None:
        queued.add(background)
        return
    queued = weakref.WeakSet([background])
    writer._actviz_queued = queued
    for name in ("flush", "close"):
        _call_first(writer, name, lambda: [each.drain() for each in list(queued)])


def _call_first(writer: Any, name: str, first: Callable[[], object]) -> None:
    own = getattr(type(writer), name)

    def method() -> None:
        first()
        own(writer)

    setattr(writer, name, method)


_RECORD_WRITERS = ("event_writer._async_writer._writer", "event_writer._ev_writer._py_recordio_writer")
"""Where a FileWriter of torch, and one of tensorboardX, has what frames its records."""


def _frame_natively(file_writer: Any) -> None:
    """Have this one writer's records checked by the native library: its own pure Python takes 150 ns a byte and holds the GIL.

    A writer that is built otherwise is left as it is.
    """
    for path in _RECORD_WRITERS:
        record_writer = functools.reduce(lambda part, name: getattr(part, name, None), path.split("."), file_writer)
        if type(record_writer).__name__ != "RecordWriter" or "write" in vars(record_writer):
            continue
        file = getattr(record_writer, "_writer", None)
        if hasattr(file, "write"):
            record_writer.write = lambda data, file=file: file.write(frame(data))


def _event_class(writer: Any) -> Any:
    if type(writer).__module__.partition(".")[0] == "tensorboardX":
        from tensorboardX.proto import event_pb2 as tensorboardx_event_pb2  # its FileWriter takes only its own class

        return tensorboardx_event_pb2.Event
    return event_pb2.Event


def _warn_of_second_file(directory: Path) -> None:
    own = f".{socket.gethostname()}.{os.getpid()}."
    if any(own in path.name and ".actviz" not in path.name for path in directory.glob("events.out.tfevents.*")):
        warnings.warn(
            f"this process already writes an event file in {str(directory)!r}, and TensorBoard reads only one at a time: "
            "pass that SummaryWriter to watch() instead of the directory",
            ActvizWarning,
            stacklevel=2,
        )
