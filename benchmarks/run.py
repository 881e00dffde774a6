"""Measure what logging activations costs a training step, for this library and for others.

    make bench                                          # everything; installs the others into build/peers first
    python benchmarks/run.py --workloads cnn --contestants every wandb --markdown results.md
    python benchmarks/run.py --idle                     # only the hooks while nothing is due, for longer

Each contestant runs in a process of its own, beside a bare model: a step of one, a step of the other, in alternating order. A step's time
includes the wait until this process has written what it logs. Figures are medians over rounds; a round of "every 10th step" is ten steps,
so its figure is their mean. CPU time is that of all threads and helper processes, as a ratio to the bare step's. Memory is the
peak of the resident size above that of a process that trains two bare models. The row "bare" is the bare step against itself: the noise.

All log every leaf module at every step; this library with its defaults, so blocks, functions and attention as well. By hand, with wandb,
and here: statistics, a histogram and a picture of 4 samples x 16 channels a layer, cells at most 64 x 64, sequences 128 x 128. The other
tools do what they can: fastai, trainscope and smdebug statistics (fastai also histograms, but no files), torchinstruments statistics and
histograms, delve the saturation of convolutional and linear layers. This library's first 8 logged steps, which hold more pictures for
the stock Images tab than later ones, are left out.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import table
from measure import Result
from registry import ENTRIES, Entry
from workloads import WORKLOADS

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / "build" / "peers"
LIMIT_S = 900.0


class Failure(Exception):
    """A contestant could not be measured; says why."""


def measure(workload: str, contestant: str, budget: list[str]) -> Result:
    """Measure in a new process."""
    entry = ENTRIES[contestant]
    paths = [str(ROOT)]
    if entry.peer:
        paths.insert(0, str(_installed(entry.peer)))
    with tempfile.TemporaryDirectory() as scratch:
        written = Path(scratch, "result.json")
        command = [sys.executable, str(ROOT / "benchmarks" / "measure.py"), workload, contestant, str(written), *budget]
        try:
            process = subprocess.run(
                command,
                cwd=scratch,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=LIMIT_S,
            )
        except subprocess.TimeoutExpired:
            raise Failure(f"took more than {LIMIT_S / 60:.0f} minutes") from None
        if process.returncode:
            lines = process.stderr.strip().splitlines() or [f"ended with status {process.returncode}"]
            raise Failure(lines[-1].replace(f"{ROOT}{os.sep}", ""))
        return Result(**json.loads(written.read_text()))


def _installed(peer: str) -> Path:
    directory, log = PEERS / peer, PEERS / f"{peer}.log"
    if directory.is_dir():
        return directory
    if not log.exists():
        raise Failure("not installed; `make bench` does it")
    errors = [line for line in log.read_text().splitlines() if line.startswith("ERROR")]
    raise Failure(f"could not be installed: {errors[-1] if errors else log.name}")


def _budget(entry: Entry, given: argparse.Namespace) -> list[str]:
    if given.rounds is not None:
        return ["--rounds", str(given.rounds), "--seconds", "0", "--least", "1"]
    if given.quick:
        return ["--seconds", "1", "--least", "1"]
    return ["--seconds", "90" if given.idle else str(entry.seconds), "--least", "3"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=list(WORKLOADS), metavar="NAME", help=", ".join(WORKLOADS))
    parser.add_argument("--contestants", nargs="+", choices=ENTRIES, metavar="NAME", help=", ".join(ENTRIES))
    parser.add_argument("--idle", action="store_true", help="bare and idle only, 90 s each")
    parser.add_argument("--rounds", type=int, help="so many each, in place of the time set for each contestant")
    parser.add_argument("--quick", action="store_true", help="a second each: whether it runs, not what it costs")
    parser.add_argument("--markdown", type=Path, help="also write the tables to this file")
    given = parser.parse_args()
    if given.rounds is not None and given.rounds < 1:
        parser.error("--rounds: at least 1")

    results: dict[tuple[str, str], Result] = {}
    failures: dict[tuple[str, str], str] = {}
    for workload in given.workloads:
        for contestant in given.contestants or (["bare", "idle"] if given.idle else ENTRIES):
            try:
                result = measure(workload, contestant, _budget(ENTRIES[contestant], given))
                results[workload, contestant] = result
                told = f"{result.ratio:.4f}"
            except Failure as failure:
                failures[workload, contestant] = told = str(failure)
            print(f"{workload} {contestant}: {told}", file=sys.stderr, flush=True)

    text = table.report(results, failures, shlex.join(["python", *sys.argv]))
    print(text, end="")
    if given.markdown:
        given.markdown.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
