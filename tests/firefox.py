"""Playwright's way to a stock Firefox; as a program, what stands between the two.

Over WebDriver BiDi, Playwright drives the user's own Firefox, but asks one thing of every page that Firefox (153) does not know yet, and
gives up there. The program starts Firefox and passes on all that they say, but answers that one command itself. With a Firefox that knows
it, the program can go.

python tests/firefox.py FIREFOX [ARGUMENTS]      # called by Playwright
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Playwright
    from websockets.sync.server import ServerConnection

UNKNOWN = "emulation.setMediaFeaturesOverride"
LAUNCH_TIMEOUT_MS = 60_000


def launch(playwright: Playwright, path: str, directory: Path) -> Browser:
    """Start a headless Firefox; what it downloads lies in `directory`, under its own name."""
    program = directory / "firefox.sh"
    program.write_text(f'#!/bin/sh\nexec {shlex.join([sys.executable, __file__, path])} "$@"\n')
    program.chmod(0o700)
    return playwright.firefox.launch(channel="moz-firefox", executable_path=program, downloads_path=directory, timeout=LAUNCH_TIMEOUT_MS)


def between(command: list[str]) -> int:
    """Start Firefox and, once it listens, listen in its place; return its exit status."""
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        heard = re.search(r"WebDriver BiDi listening on (ws://\S+)", line)
        told = line.replace(heard[1], listen(heard[1])) if heard else line
        print(told, end="", file=sys.stderr, flush=True)
    return process.wait()


def listen(url: str) -> str:
    """Return the address at which the Firefox at `url` can be reached through this process."""
    from websockets.sync.server import serve

    server = serve(lambda asking: converse(asking, url), "127.0.0.1", 0, max_size=None, compression=None, ping_interval=None)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"ws://127.0.0.1:{server.socket.getsockname()[1]}"


def converse(asking: ServerConnection, url: str) -> None:
    """Pass on all that Playwright and Firefox say to each other, but for the command that Firefox does not know."""
    from websockets.sync.client import connect

    assert asking.request is not None
    with connect(url + asking.request.path, max_size=None, compression=None, ping_interval=None, proxy=None) as firefox:

        def answer() -> None:
            for message in firefox:
                asking.send(message)
            asking.close()

        threading.Thread(target=answer, daemon=True).start()
        for message in asking:
            command = json.loads(message)
            if command["method"] == UNKNOWN:
                asking.send(json.dumps({"type": "success", "id": command["id"], "result": {}}))
            else:
                firefox.send(message)


if __name__ == "__main__":
    sys.exit(between(sys.argv[1:]))
