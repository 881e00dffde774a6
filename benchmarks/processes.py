"""What this process and those that it started use. Where there is no /proc the latter count as nothing."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

_PARENT, _USER_TICKS, _SYSTEM_TICKS = 1, 11, 12
"""Fields of /proc/<pid>/stat, counted after the command's name."""


def _descendants(pid: int) -> Iterator[tuple[Path, list[str]]]:
    processes = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            processes.append((path, (path / "stat").read_text().rpartition(")")[2].split()))
        except OSError:  # it has ended
            continue
    found = {pid}
    while more := [each for each in processes if int(each[1][_PARENT]) in found and int(each[0].name) not in found]:
        found |= {int(path.name) for path, _ in more}
        yield from more


def children_cpu_s() -> float:
    """Return the CPU time of the processes that this one started and that still run; the clock ticks every 10 ms."""
    ticks = sum(int(stat[_USER_TICKS]) + int(stat[_SYSTEM_TICKS]) for _, stat in _descendants(os.getpid()))
    return ticks / os.sysconf("SC_CLK_TCK")


def peak_bytes() -> int:
    """Return the largest resident size that this process had, and those that it started and that still run."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    for path, _ in _descendants(os.getpid()):
        for line in (path / "status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                peak += int(line.split()[1]) * 1024
    return peak


def size_bytes(directory: Path) -> int:
    """Return the size of all files in a directory."""
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file() and not path.is_symlink())
