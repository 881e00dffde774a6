"""Which runs a log directory has, named as TensorBoard names them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

from tensorboard.compat import tf

from tensorboard_plugin.actviz.sources import is_remote

_URI = re.compile(r"[a-zA-Z][0-9a-zA-Z.]*://")
_EVENT_FILE_MARK = "tfevents"
_EMPTY_PROFILE_SUFFIX = ".profile-empty"


@dataclass(frozen=True, slots=True)
class RunFiles:
    """The event files of one run.

    Attributes:
        run: its name, ``.`` for the log directory itself.
        paths: in the order in which TensorBoard reads them.
    """

    run: str
    paths: tuple[str, ...]


def parse_logdir(logdir: str | None, logdir_spec: str | None) -> dict[str, str | None]:
    """Return the name of each directory to look in, by its path; None for a directory whose runs have no common name.

    >>> parse_logdir(None, "a:/logs/1,/logs/2")
    {'/logs/1': 'a', '/logs/2': None}

    Args:
        logdir, logdir_spec: TensorBoard's flags of that name; the first wins.

    Source: ``LocalDataIngester`` and ``_parse_event_files_spec`` of tensorboard.backend.event_processing.data_ingester.
    """
    if logdir:
        return {os.path.expanduser(logdir): None}
    directories: dict[str, str | None] = {}
    for item in (logdir_spec or "").split(","):
        name: str | None = None
        path = item
        if ":" in item and not _URI.match(item) and item[0] != "/" and not os.path.splitdrive(item)[0]:
            name, _, path = item.partition(":")
        if path:
            directories[path if _URI.match(path) else os.path.realpath(os.path.expanduser(path))] = name
    return directories


def find_runs(directories: dict[str, str | None]) -> list[RunFiles]:
    """Return the runs below the directories, by name; none for a directory that does not exist.

    Raises:
        OSError, or the file system's own error: a remote directory cannot be listed.
    """
    runs: dict[str, RunFiles] = {}
    for top, name in directories.items():
        for directory, files in _walk(top):
            events = sorted(file for file in files if _EVENT_FILE_MARK in file)
            if not events:
                continue
            run = os.path.relpath(directory, top)
            if name:
                run = os.path.join(name, run)
            paths = tuple(os.path.join(directory, file) for file in events if not file.endswith(_EMPTY_PROFILE_SUFFIX))
            runs[run] = RunFiles(run, paths)
    return [runs[run] for run in sorted(runs)]


def _walk(top: str) -> Iterator[tuple[str, list[str]]]:
    """Yield each directory with the names of its files, symbolic links followed."""
    if is_remote(top):
        if tf.io.gfile.exists(top):
            for directory, _, files in tf.io.gfile.walk(top):
                yield directory, [os.path.basename(file) for file in files]
        return
    for directory, subdirectories, files in os.walk(top, followlinks=True):
        yield directory, files
        # TensorBoard's Python loader follows a link to a parent some forty levels deep; its Rust loader does not.
        subdirectories[:] = [name for name in subdirectories if not _leads_up(directory, name)]


def _leads_up(directory: str, name: str) -> bool:
    path = os.path.join(directory, name)
    if not os.path.islink(path):
        return False
    target = os.path.realpath(path)
    here = os.path.realpath(directory)
    return here == target or here.startswith(target.rstrip(os.sep) + os.sep)
