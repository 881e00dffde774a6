"""A real TensorBoard process, for the tests."""

import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tensorboard_plugin.actviz import wire

WAIT_S = 120
"""For what is to come at once: only what never comes takes so long, however busy the machine."""


class TensorBoard:
    """A TensorBoard process, asked over HTTP."""

    def __init__(self, url: str, log: Path) -> None:
        self.url = url
        self.log = log

    def get(self, path: str, method: str = "GET", **query: Any) -> tuple[int, bytes]:
        url = f"{self.url}{path}" + ("?" + urllib.parse.urlencode(query) if query else "")
        try:
            with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=WAIT_S) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def json(self, route: str, **query: Any) -> Any:
        status, body = self.get(f"data/plugin/actviz/{route}", **query)
        assert status == 200, body
        return json.loads(body)

    def record(self, route: str, **query: Any) -> wire.Record:
        status, body = self.get(f"data/plugin/actviz/{route}", **query)
        assert status == 200, body
        return wire.unpack(body)

    def listing(self) -> dict[str, Any]:
        return json.loads(self.get("data/plugins_listing")[1])  # type: ignore[no-any-return]


@contextmanager
def tensorboard(log: Path, *arguments: str, script: str | None = None) -> Iterator[TensorBoard]:
    """Start a TensorBoard, and wait until its plugin, where it has ours, has read the log: it answers before, of the runs read so far."""
    program = ["-m", "tensorboard.main"] if script is None else ["-c", script]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, *program, "--port", "0", "--host", "localhost", *arguments], stderr=output, stdout=output, env=environment
        )
    try:
        eventually(lambda: process.poll() is not None or re.search(r"at http://\S+ ", log.read_text()))
        url = re.search(r"at (http://\S+) ", log.read_text())
        assert url, log.read_text()
        board = TensorBoard(url.group(1), log)
        eventually(lambda: has_read(board))
        yield board
    finally:
        process.terminate()
        process.wait(WAIT_S)


def has_read(board: TensorBoard) -> bool:
    """Whether the log was read once; true where there is nothing that would."""
    status, body = board.get("data/plugin/actviz/runs")
    return status == 404 or bool(json.loads(body)["ready"])


def eventually(question: Callable[[], Any], timeout_s: float = WAIT_S) -> Any:
    deadline = time.monotonic() + timeout_s
    while not (answer := question()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return answer
