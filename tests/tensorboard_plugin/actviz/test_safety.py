"""Nothing but the log's own records leaves through a request, whatever is asked for."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import http_examples
import pytest
import small_log
from http_examples import Example
from served import Site

SECRET = "the secret that is not in the log"
HOSTILE = [
    "//etc/hostname",
    "/etc/hostname",
    "../../../../../../../../etc/hostname",
    "../secret.txt",
    "..\\secret.txt",
    "%2e%2e/secret.txt",
    "lr-0.1/../../secret.txt",
    "C:\\Windows\\win.ini",
    "C:/Windows/win.ini",
    "\\\\server\\share\\file",
    "file:///etc/hostname",
    "s3://bucket/key",
    "~root/.profile",
    "secret.txt\0",
    "\0",
    "<script>alert(1)</script>",
    "$(cat /etc/hostname)",
    "{0.__class__}",
    "%s%n",
]
ANSWERED = [each for each in http_examples.examples(http_examples.PATH.read_text()) if each.answer.startswith("200")]

_opened: ContextVar[list[str] | None] = ContextVar("opened", default=None)


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if event in ("open", "os.listdir", "os.scandir", "glob.glob", "subprocess.Popen", "socket.connect"):
        places = _opened.get()
        if places is not None:
            places.append(f"{event} {arguments[0]!r}")


sys.addaudithook(_hook)


@contextmanager
def opened() -> Iterator[list[str]]:
    """Collect what this thread opens, lists, starts and connects to.

    Other threads are other tests' business, and so is what the garbage collector finds meanwhile, such as a temporary directory to empty.
    """
    places: list[str] = []
    token = _opened.set(places)
    gc.disable()
    try:
        yield places
    finally:
        gc.enable()
        _opened.reset(token)


@pytest.mark.parametrize("example", ANSWERED, ids=lambda example: example.request)
def test_no_parameter_leads_out_of_the_log(example_log: Path, example: Example) -> None:
    (example_log.parent / "secret.txt").write_text(SECRET)
    site = Site(example_log)
    site.get(example.route, **example.query)  # imports what the route needs
    with opened() as places:
        assert site.get(example.route, **example.query).status_code == 200
    assert all(place.startswith(f"open {str(example_log)!r}"[:-1]) for place in places), places
    for name in example.query:
        for value in HOSTILE:
            with opened() as places:
                response = site.get(example.route, **example.query | {name: value})
            assert response.status_code in ((200, 400, 404) if name == "since" else (400, 404)), (name, value)
            assert SECRET.encode() not in response.data
            assert response.mimetype in ("application/json", "application/octet-stream")
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert all(place.startswith(f"open {str(example_log)!r}"[:-1]) for place in places), (name, value, places)


def test_the_record_of_what_is_opened_sees_a_file(tmp_path: Path) -> None:
    with opened() as places:
        (tmp_path / "file").write_text("")
        os.listdir(str(tmp_path))
    assert places == [f"open {str(tmp_path / 'file')!r}", f"os.listdir {str(tmp_path)!r}"]


def test_a_link_to_another_file_shows_none_of_it(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text(SECRET * 10)
    small_log.write_run(tmp_path / "log" / "run", 0)
    (tmp_path / "log" / "linked").mkdir()
    (tmp_path / "log" / "linked" / "events.out.tfevents.1.x").symlink_to(secret)
    (tmp_path / "log" / "run" / "secret.txt").symlink_to(secret)
    site = Site(tmp_path / "log")
    (other,) = site.json("runs")["other"]
    assert other["run"] == "linked"
    assert other["note"].startswith("damaged record")
    for route in site.applications:
        for run in ("linked", "run"):
            response = site.get(route[1:], run=run, layer="a", step=0, stat="mean")
            assert SECRET.encode() not in response.data


def test_a_linked_run_is_followed_as_tensorboard_does(tmp_path: Path) -> None:
    small_log.write_run(tmp_path / "elsewhere", 0, 1)
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "run").symlink_to(tmp_path / "elsewhere")
    assert [run["steps"] for run in Site(tmp_path / "log").json("runs")["runs"]] == [2]
