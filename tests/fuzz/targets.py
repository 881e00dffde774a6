"""What is fuzzed: event files of any content, and requests with any query string. Each raises on what must not happen.

Input bytes choose their way through `Choices`, so that a fuzzer reaches what lies behind checksums and names.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import small_log
import synthetic_log
from served import Site
from synthetic_log import RunWriter
from tensorboard.compat.proto import event_pb2
from werkzeug.test import Client

from tensorboard_plugin.actviz import eventfile, wire

FILE_NAME = "events.out.tfevents.1764000000.fuzz.1.0"
TAGS = [
    *(f"actviz/{kind}{model}" for kind in ("step", "model", "session", "inputs") for model in ("", "/a", "/")),
    "actviz/mark",
    "actviz/gradients",
    *(f"actviz/{kind}/a" for kind in wire.LAYER_KINDS),
    "actviz/maps/",
    "actviz/newer/a",
    "loss",
]
QUERIES = {
    "run": [".", ".", "a", "", "..", "//etc/hostname", "%00"],
    "other_run": [".", ".."],
    "model": ["", "a", "b"],
    "other_model": ["", "a"],
    "layer": ["a", "b", "", "../a"],
    "other_layer": ["a", "b"],
    "step": ["0", "3", "-1", "9" * 30, "1e3", "nan"],
    "other_step": ["0", "3"],
    "from": ["0", "3", "-" + "9" * 18, "x"],
    "to": ["0", "3", "9" * 18],
    "columns": ["1", "2", "4096", "99999999999"],
    "since": ["0", "x", "0.0.0"],
    "of": ["activations", "gradients", "both"],
    "stat": ["mean", "zero", "absmax"],
    "estimator": ["biased", "unbiased"],
    "sample": ["0", "99", "-1"],
    "measure": ["rms", "histogram", "maps", "cka"],
    "rules": ["dead", "jump,dead", ""],
    "history": ["4", "1000", "4.5"],
    "jump": ["1.1", "1e6", "1e400", "nan"],
}


REST = "run=.&layer=a&step=0&stat=mean&other_run=.&other_layer=a&other_step=1"
"""What a request needs that the input has not said."""


class Choices:
    """Bytes as a sequence of choices; zero where they end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def below(self, count: int) -> int:
        byte = self._data[self._at] if self else 0
        self._at += 1
        return byte % count

    def take(self, count: int) -> bytes:
        taken = self._data[self._at : self._at + count]
        self._at += count
        return taken


def event_file(data: bytes) -> None:
    """Serve a log whose one file has this content: damage is told, and no request fails in another way than the documented ones.

    The first byte says whether the rest is the file itself, or chosen events, framed with the right checksums.
    """
    choices = Choices(data)
    content = choices.take(len(data)) if choices.below(4) == 0 else b"".join(map(eventfile.frame, _events(choices)))
    with _directory() as directory:
        (directory / FILE_NAME).write_bytes(content)
        site = Site(directory)
        for notice in site.store.problems():
            raise AssertionError(f"the index failed: {notice}")
        for route in site.applications:
            if not route.startswith("/static"):
                for query in ("", "columns=4&step=1&of=gradients"):
                    _ask(site, route, f"{query}&{REST}")


def _events(choices: Choices) -> Iterator[bytes]:
    while choices:
        tag, step = TAGS[choices.below(len(TAGS))], choices.below(4)
        match choices.below(4):
            case 0:
                yield choices.take(choices.below(256))
            case 1:
                yield wire.record_event(tag, choices.take(choices.below(256)), step, 1.0).SerializeToString()
            case 2:
                header = choices.take(choices.below(256))
                arrays = choices.take(choices.below(256))
                container = b"ACTV" + len(header).to_bytes(4, "little") + header + arrays
                yield wire.record_event(tag, container, step, 1.0).SerializeToString()
            case _:
                event = bytearray(_SEEDS[choices.below(len(_SEEDS))])
                for _ in range(choices.below(4)):
                    event[(choices.below(256) << 8 | choices.below(256)) % len(event)] ^= 1 << choices.below(8)
                yield bytes(event)


def request(data: bytes) -> None:
    """Send a request for any route with any query string to a whole log, and to one that is damaged."""
    choices = Choices(data)
    site = _sites()[choices.below(2)]
    routes = sorted(route for route in site.applications if not route.startswith("/static"))
    route = routes[choices.below(len(routes))]
    parts = []
    while choices:
        name = sorted(QUERIES)[choices.below(len(QUERIES))]
        if choices.below(3):
            values = QUERIES[name]
            parts.append(f"{name}={quote(values[choices.below(len(values))])}")
        else:
            parts.append(f"{name}={quote(choices.take(choices.below(32)))}")
    if choices.below(2):
        parts.append(quote(data, safe="=&%"))
    _ask(site, route, "&".join([*parts, REST]))  # of several values of one parameter the first one counts


def _ask(site: Site, route: str, query: str) -> None:
    response = Client(site.applications[route]).get("/", query_string=query)
    if response.status_code in (200, 304):
        return
    answer = json.loads(response.data)
    assert set(answer) == {"code", "message"}, answer
    assert answer["code"] != "internal", (route, query, answer)


@contextmanager
def _directory() -> Iterator[Path]:
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as directory:
        yield Path(directory)


def _seeds() -> list[bytes]:
    """Return the events of a small log, one of each tag."""
    with _directory() as directory:
        writer = RunWriter(directory)
        synthetic_log.write_start(writer)
        small_log.write(writer, 0, 3)
        writer.close()
        data = writer.path.read_bytes()
    events: dict[str, bytes] = {}
    position = 0
    while position < len(data):
        length = int.from_bytes(data[position : position + 8], "little")
        event = data[position + 12 : position + 12 + length]
        values = event_pb2.Event.FromString(event).summary.value
        events.setdefault(values[0].tag if values else "", event)
        position += length + 16
    return list(events.values())


_SEEDS = _seeds()
_made: list[Site] = []
_directories: list[tempfile.TemporaryDirectory[str]] = []  # removed when the process ends


def _sites() -> list[Site]:
    if not _made:
        for damaged in (False, True):
            _directories.append(tempfile.TemporaryDirectory())
            directory = Path(_directories[-1].name)
            writer = RunWriter(directory)
            synthetic_log.write_start(writer)
            small_log.write(writer, 0, 1, 3)
            writer.close()
            if damaged:
                small_log.flip(writer, small_log.where(writer, "actviz/maps/a", 1) + 200)
                small_log.flip(writer, small_log.where(writer, "actviz/step", 3) + 3)
            _made.append(Site(directory))
    return _made


TARGETS: dict[str, Callable[[bytes], None]] = {"events": event_file, "requests": request}
