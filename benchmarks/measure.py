"""Measures one contestant on one workload, beside the bare step, in a process of its own. Started by run.py.

Two models alike are trained in turn, a step of each, one bare and one with the contestant; the order alternates, so that a drift of the
machine's speed falls on both. A round is as many pairs of steps as hold one logged step; its ratio is that of its sums. Both models are
made anew now and then: where their memory happens to lie can favour one of them.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import processes
from contestants import Contestant
from registry import ENTRIES, Entry
from workloads import WORKLOADS, Trainer, Workload

REMAKE_S, REMAKE_ROUNDS = 10.0, 50


@dataclass(frozen=True, slots=True)
class Result:
    """Times are of a step, medians over rounds; the interval is the 95% one of the median ratio."""

    bare_ms: float
    ms: float
    ratio: float
    ratio_low: float
    ratio_high: float
    cpu_ratio: float
    bytes_per_logged_step: float
    peak_bytes: int
    rounds: int


@dataclass(slots=True)
class Side:
    """What the rounds of one of the two took, all its threads and helpers included in the CPU time."""

    wall_s: list[float] = field(default_factory=list)
    cpu_s: float = 0.0


@dataclass(slots=True)
class Budget:
    """When it is enough: after so many rounds, or if that is None after so many seconds, but not before `least` rounds."""

    rounds: int | None
    seconds: float
    least: int
    started: float = field(default_factory=time.perf_counter)

    def is_spent(self, done: int) -> bool:
        if self.rounds is not None:
            return done >= self.rounds
        return done >= self.least and time.perf_counter() - self.started >= self.seconds


class Match:
    """Collects rounds of one contestant against the bare step."""

    def __init__(self, workload: Workload, entry: Entry, budget: Budget) -> None:
        self.bare, self.watched = Side(), Side()
        self.workload, self.entry, self.budget = workload, entry, budget
        self.makes = self.logged = self.written_bytes = self.peak_bytes = 0

    def play(self) -> Result:
        while not self.budget.is_spent(len(self.bare.wall_s)):
            with TemporaryDirectory() as scratch:
                self._play_with_new_models(Path(scratch))
            self.makes += 1
        ratios = [watched / bare for bare, watched in zip(self.bare.wall_s, self.watched.wall_s, strict=True)]
        low, high = interval(ratios)
        return Result(
            bare_ms=median(self.bare.wall_s) / self.entry.cycle * 1e3,
            ms=median(self.watched.wall_s) / self.entry.cycle * 1e3,
            ratio=median(ratios),
            ratio_low=low,
            ratio_high=high,
            cpu_ratio=self.watched.cpu_s / self.bare.cpu_s,
            bytes_per_logged_step=self.written_bytes / self.logged,
            peak_bytes=self.peak_bytes,
            rounds=len(ratios),
        )

    def _play_with_new_models(self, scratch: Path) -> None:
        entry = self.entry
        trainers = [Trainer(self.workload), Trainer(self.workload)]
        watched = entry.attach(trainers.pop(self.makes % 2), scratch)
        bare = watched.beside(trainers.pop())
        for _ in range(entry.skip):
            watched.log_next()
            timed_step(watched)
        skipped_bytes = processes.size_bytes(scratch)
        warm_up = 0 if entry.skip else max(1, min(5, round(0.1 / self.workload.step_s)))
        for _ in range(warm_up):
            timed_step(watched)
        for _ in range(max(warm_up, 1)):
            timed_step(bare)

        made = time.perf_counter()
        helpers_s = processes.children_cpu_s()
        rounds = 0
        while not self.budget.is_spent(len(self.bare.wall_s)):
            if rounds >= REMAKE_ROUNDS and time.perf_counter() - made >= REMAKE_S and entry.peer is None:
                break
            self._play_round(bare, watched)
            rounds += 1
        self.watched.cpu_s += processes.children_cpu_s() - helpers_s
        self.peak_bytes = processes.peak_bytes()
        watched.close()
        self.logged += warm_up + rounds
        self.written_bytes += processes.size_bytes(scratch) - skipped_bytes

    def _play_round(self, bare: Contestant, watched: Contestant) -> None:
        sides = [(bare, self.bare), (watched, self.watched)]
        first = len(self.bare.wall_s)
        for _, side in sides:
            side.wall_s.append(0.0)
        for pair in range(first, first + self.entry.cycle):
            for contestant, side in sides if pair % 2 else reversed(sides):
                wall_s, cpu_s = timed_step(contestant)
                side.wall_s[-1] += wall_s
                side.cpu_s += cpu_s


def timed_step(contestant: Contestant) -> tuple[float, float]:
    """Train one step and wait until what it logs is written; return the seconds that took, and the CPU time of all threads."""
    contestant.prepare()
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    contestant.trainer.step()
    contestant.after_step()
    contestant.drain()
    wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
    contestant.settle()
    return wall_s, cpu_s


def interval(values: list[float], resamples: int = 1000) -> tuple[float, float]:
    """Return the 95% interval of the median, by bootstrap."""
    draw = random.Random(0)
    medians = sorted(median(draw.choices(values, k=len(values))) for _ in range(resamples))
    return medians[resamples // 40], medians[-resamples // 40]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workload", choices=WORKLOADS)
    parser.add_argument("contestant", choices=ENTRIES)
    parser.add_argument("result", type=Path, help="JSON file to write")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--least", type=int, required=True)
    given = parser.parse_args()
    budget = Budget(given.rounds, given.seconds, given.least)
    result = Match(WORKLOADS[given.workload], ENTRIES[given.contestant], budget).play()
    given.result.write_text(json.dumps(asdict(result)))


if __name__ == "__main__":
    main()
