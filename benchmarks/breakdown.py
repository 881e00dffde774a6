"""Tell where the time of a logged step goes.

    python benchmarks/breakdown.py cnn

The parts of a step are timed one after the other, so that they do not compete for the cores: what the training thread does for the log, and
what the writer's thread does, here in the training thread. In training the second runs beside the backward pass.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import tempfile
import time
import warnings
from collections.abc import Callable
from statistics import median
from typing import Any

from workloads import WORKLOADS, Trainer

import actviz_tb
from actviz_tb import native
from actviz_tb.recording import Recording
from actviz_tb.writer import Job

STEPS = 60
PARTS = {"compiled statistics": (native, "summarise"), "compiled maps": (native, "maps"), "attention": (Recording, "add_attention")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workload", choices=WORKLOADS)
    workload = WORKLOADS[parser.parse_args().workload]
    warnings.simplefilter("ignore", actviz_tb.CostWarning)
    bare, watched = Trainer(workload), Trainer(workload)
    jobs: list[Job] = []
    parts_s = {title: _timed(owner, name) for title, (owner, name) in PARTS.items()}
    with tempfile.TemporaryDirectory() as directory, actviz_tb.watch(watched.model, directory, every=1) as logger:
        logger._recorder._submit = jobs.append
        profile, bare_s, watched_s, written_s = cProfile.Profile(), [], [], []
        for step in range(STEPS):
            bare_s.append(_seconds(bare.step))
            for seconds in parts_s.values():
                seconds.append(0.0)
            watched_s.append(_seconds(watched.step))
            (job,) = jobs
            jobs.clear()
            if step % 2:  # a profile costs time itself
                profile.runcall(lambda job=job: logger._writer._sink.write(job()))
            else:
                written_s.append(_seconds(lambda job=job: logger._writer._sink.write(job())))
    print(f"bare step                          {median(bare_s) * 1e3:8.2f} ms")
    print(f"watched step, nothing written      {median(watched_s) * 1e3:8.2f} ms, of which:")
    for title, seconds in parts_s.items():
        print(f"    {title:31}{median(seconds) * 1e3:8.2f} ms")
    print(f"encoding and writing               {median(written_s) * 1e3:8.2f} ms, of which:")
    pstats.Stats(profile).sort_stats("tottime").print_stats(10)


def _timed(owner: Any, name: str) -> list[float]:
    """Have each call of a function add its time to the last entry of a list."""
    spent, function = [0.0], getattr(owner, name)

    def timed(*arguments: Any, **options: Any) -> Any:
        started = time.perf_counter()
        try:
            return function(*arguments, **options)
        finally:
            spent[-1] += time.perf_counter() - started

    setattr(owner, name, timed)
    return spent


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
