"""Find a Chromium or Chrome for the browser tests, and get one where there is none.

python tests/browser.py      # prints its path, or says what was tried and what to do
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

VARIABLE = "ACTVIZ_CHROMIUM"
FIREFOX_VARIABLE = "ACTVIZ_FIREFOX"
NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome", "microsoft-edge")
FIREFOX_NAMES = ("firefox-esr", "firefox")
APPLICATIONS = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)
PACKAGE_MANAGERS = (
    (("apt-get", "update", "-qq"), ("apt-get", "install", "-y", "-qq", "chromium")),
    (("dnf", "install", "-y", "-q", "chromium"),),
    (("apk", "add", "--quiet", "chromium"),),
)
DOWNLOAD_TIMEOUT_S = 300
INSTALL_TIMEOUT_S = 900
VERSION_TIMEOUT_S = 60


class NoBrowserError(RuntimeError):
    """No browser was found, and none could be had; says what was tried."""


def installed() -> str | None:
    """Return the path of an installed browser, or None."""
    given = os.environ.get(VARIABLE)
    if given:
        if shutil.which(given) is None:
            raise NoBrowserError(f"{VARIABLE}={given!r} is no program; name a Chromium or Chrome, or unset it")
        return given
    path = _first_that_runs((*map(shutil.which, NAMES), *APPLICATIONS))
    if path is not None:
        return path
    path = _of_playwright()
    return path if path is not None and Path(path).exists() else None


def firefox() -> str | None:
    """Return the path of an installed Firefox, or None."""
    given = os.environ.get(FIREFOX_VARIABLE)
    return _first_that_runs(map(shutil.which, [given] if given else FIREFOX_NAMES))


def _first_that_runs(paths: Iterable[str | None]) -> str | None:
    # Ubuntu's chromium-browser and firefox are stubs that only say to install the snap.
    return next((path for path in paths if path is not None and _run((path, "--version"), VERSION_TIMEOUT_S) is None), None)


def obtain(report: Callable[[str], None]) -> str:
    """Return the path of a browser: an installed one, else Playwright's, else the system's package.

    Raises:
        NoBrowserError: none could be had.
    """
    found = installed()
    if found is not None:
        return found
    tried = [f"{VARIABLE} is not set", f"none of {', '.join(NAMES)} on the PATH runs"]
    for command, failure in _attempts(report):
        if failure is not None:
            tried.append(f"{' '.join(command)}: {failure}")
        found = installed()
        if found is not None:
            return found
    head = "The browser tests need Chromium or Chrome, and none could be had:"
    raise NoBrowserError("\n".join([head, *(f"  {each}" for each in tried), _ADVICE]))


_ADVICE = (
    f"Install one (Debian, Ubuntu: apt install chromium), or name one: {VARIABLE}=/path/to/chrome make test\n"
    "To leave these tests out: make test PYTEST_ARGS=\"-m 'not browser and not slow'\" NO_BROWSER=1"
)


def _attempts(report: Callable[[str], None]) -> Iterator[tuple[tuple[str, ...], str | None]]:
    download = (sys.executable, "-m", "playwright", "install", "chromium")
    report("no Chromium found; asking Playwright for one")
    yield download, _run(download, DOWNLOAD_TIMEOUT_S)
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    for commands in PACKAGE_MANAGERS:
        if shutil.which(commands[0][0]) is None:
            continue
        if not root:
            yield commands[-1], "needs root"
            continue
        report(f"asking {commands[0][0]} for chromium")
        for command in commands:
            yield command, _run(command, INSTALL_TIMEOUT_S)


def _run(command: tuple[str, ...], timeout_s: int) -> str | None:
    """Return what went wrong, or None. Ends the command's children too when it takes too long."""
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    pipe, none = subprocess.PIPE, subprocess.DEVNULL
    try:
        process = subprocess.Popen(
            command, stdin=none, stdout=pipe, stderr=subprocess.STDOUT, text=True, env=environment, start_new_session=True
        )
    except OSError as error:
        return str(error)
    try:
        output, _ = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        return f"not done after {timeout_s} s"
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    if process.returncode == 0:
        return None
    lines = output.strip().splitlines()
    errors = dict.fromkeys(line for line in lines if line.startswith(("Error", "E:")))
    return "; ".join(errors) or (lines[-1] if lines else f"exit status {process.returncode}")


def _of_playwright() -> str | None:
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return None
    with sync_playwright() as playwright:
        return str(playwright.chromium.executable_path)


if __name__ == "__main__":
    try:
        print(obtain(lambda message: print(message, file=sys.stderr)))
    except NoBrowserError as error:
        sys.exit(str(error))
