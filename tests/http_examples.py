"""The examples of ``http_api.md``: called, written down, and compared.

An example is a block that begins with ``GET route?query``; the rest of the block is the answer to it, from the log of
`synthetic_extras.write_examples`. After a change of the API,

    python tests/http_examples.py

writes the answers anew; read the difference before committing it.
"""

from __future__ import annotations

import io
import json
import math
import re
import tempfile
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import numpy as np
import synthetic_extras
from PIL import Image
from werkzeug.test import Client

from tensorboard_plugin.actviz import routes, wire
from tensorboard_plugin.actviz.store import Store

PATH = Path(routes.__file__).parent / "http_api.md"
BLOCK = re.compile(r"^    GET (\S+)\n((?:    .*\n)*)", re.MULTILINE)
EPOCH = "00000000"
_WIDTH = 130
_VALUES = 6
_LINES = 5
_REVISION = re.compile(r"\b[0-9a-f]{8}(?=\.[0-9]+\b)")

Get = Callable[[str], tuple[int, dict[str, str], bytes]]


@dataclass(frozen=True)
class Example:
    """A request, and the answer as it is written down."""

    request: str
    answer: str

    @property
    def route(self) -> str:
        return self.request.partition("?")[0]

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(self.request.partition("?")[2]))


def examples(document: str) -> list[Example]:
    """Return the examples of a document."""
    return [Example(match[1], textwrap.dedent(match[2]).rstrip("\n")) for match in BLOCK.finditer(document)]


def written(request: str, get: Get) -> str:
    """Call a request, and return its answer as the document writes it."""
    status, headers, body = get(_with_epochs(request, get))
    mimetype = headers["Content-Type"].partition(";")[0]
    shown = [f"{status} {mimetype}", headers["Cache-Control"], *(["ETag"] if "ETag" in headers else [])]
    if "Content-Disposition" in headers:
        shown.append(headers["Content-Disposition"])
    return "\n".join([", ".join(shown), *_BODIES[mimetype](body)])


def same(documented: str, real: str) -> bool:
    """Say whether two answers are the same, numbers up to rounding."""
    one, other = documented.split("\n", 1), real.split("\n", 1)
    return one[0] == other[0] and _same(_parsed(one[1]), _parsed(other[1]))


def client(directory: Path) -> Get:
    """Return a caller of the routes, over a log that is read once."""
    store = Store({str(directory): None})
    store.refresh()
    applications = routes.Routes(store, str(directory)).applications()

    def get(request: str) -> tuple[int, dict[str, str], bytes]:
        route, _, query = request.partition("?")
        response = Client(applications[f"/{route}"]).get("/", query_string=query)
        return response.status_code, dict(response.headers), response.data

    return get


def _with_epochs(request: str, get: Get) -> str:
    """Put the tokens' first halves in, which each process makes up anew."""
    if EPOCH not in request:
        return request
    if request.startswith("changes"):
        token = json.loads(get("changes")[2])["token"]
    else:
        (run,) = re.findall(r"run=([^&]*)", request)
        token = next(each["revision"] for each in json.loads(get("runs")[2])["runs"] if each["run"] == run)
    return request.replace(EPOCH, token.partition(".")[0])


def _steady(value: Any, name: str = "") -> Any:
    """Return an answer's JSON without what differs from call to call."""
    if isinstance(value, dict):
        return {each: _steady(item, each) for each, item in value.items()}
    if isinstance(value, list):
        return [_steady(item) for item in value]
    if name == "logdir":
        return "runs"
    if name == "checked_ago_s":
        return 0.5
    if name == "poll_interval_s":  # longer where a look at the log takes long
        return 1.0
    if name in ("revision", "since", "token") and isinstance(value, str):
        return _REVISION.sub(EPOCH, value)
    return value


def _layout(value: Any, indent: int = 0) -> str:
    """Return JSON in as few lines as fit."""
    text = json.dumps(value, ensure_ascii=False)
    if indent + len(text) <= _WIDTH or not isinstance(value, dict | list) or not value:
        return text
    pad = " " * (indent + 1)
    if isinstance(value, dict):
        items = []
        for name, item in value.items():
            label = f"{json.dumps(name, ensure_ascii=False)}: "
            items.append(label + _layout(item, indent + 1 + len(label)))
        return "{" + _filled(items, indent + 1) + "}"
    if all(not isinstance(item, dict | list) for item in value):
        return "[" + textwrap.fill(text[1:-1], _WIDTH - indent, subsequent_indent=pad, break_long_words=False) + "]"
    return "[" + f",\n{pad}".join(_layout(item, indent + 1) for item in value) + "]"


def _filled(items: list[str], indent: int) -> str:
    """Return items with commas between, as many a line as fit; those of several lines by themselves."""
    lines: list[list[str]] = []
    for item in items:
        line = lines[-1] if lines else None
        if line and not any("\n" in each for each in (item, *line)) and indent + len(", ".join([*line, item])) < _WIDTH:
            line.append(item)
        else:
            lines.append([item])
    return (",\n" + " " * indent).join(", ".join(line) for line in lines)


def _json(body: bytes) -> list[str]:
    return [_layout(_steady(json.loads(body)))]


def _array(name: str, array: Any) -> str:
    names = {dtype: short for short, dtype in wire.DTYPES.items()}
    first = [f"{value:.5g}" for value in array.ravel()[:_VALUES].tolist()]
    more = ["..."] if array.size > _VALUES else []
    return " ".join([f"{name} {names[array.dtype.str.replace('|', '<')]} {list(array.shape)}:", *first, *more])


def _container(body: bytes) -> list[str]:
    if body.startswith(b"\x93NUMPY"):
        return [_array("NPY", np.load(io.BytesIO(body), allow_pickle=False))]
    record = wire.unpack(body)
    header = {"version": record.header["version"], "kind": record.kind, **record.header}
    return [_layout(_steady(header)), *(_array(name, array) for name, array in record.arrays.items())]


def _csv(body: bytes) -> list[str]:
    lines = body.decode().splitlines()
    return [*lines[:_LINES], *([f"... {len(lines)} lines"] if len(lines) > _LINES else [])]


def _png(body: bytes) -> list[str]:
    with Image.open(io.BytesIO(body)) as image:
        return [f"{image.format} {image.mode} {image.width} x {image.height}"]


_BODIES: dict[str, Callable[[bytes], list[str]]] = {
    "application/json": _json,
    "application/octet-stream": _container,
    "text/csv": _csv,
    "image/png": _png,
}


def _parsed(body: str) -> list[Any]:
    """Return the JSON that a body begins with, and the rest word by word; numbers as numbers."""
    value: Any = None
    if body.startswith("{"):
        value, end = json.JSONDecoder().raw_decode(body)
        body = body[end:]
    return [value, [_word(word) for word in re.split(r"[\s,]+", body)]]


def _word(word: str) -> Any:
    try:
        return float(word)
    except ValueError:
        return word


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return isinstance(other, dict) and list(one) == list(other) and all(_same(one[name], other[name]) for name in one)
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-4, abs_tol=1e-6) or (math.isnan(one) and math.isnan(other))
    return type(one) is type(other) and bool(one == other)


def main() -> None:
    """Write the document's answers anew."""
    with tempfile.TemporaryDirectory() as directory:
        synthetic_extras.write_examples(Path(directory))
        get = client(Path(directory))
        renew = lambda match: textwrap.indent(f"GET {match[1]}\n{written(match[1], get)}\n", "    ")  # noqa: E731
        PATH.write_text(BLOCK.sub(renew, PATH.read_text()))


if __name__ == "__main__":
    main()
