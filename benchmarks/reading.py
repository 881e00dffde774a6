"""Measure a TensorBoard process on large logs: start, memory, latency; and beside it TensorBoard's own data provider with all steps kept.

    make bench-reading                                  # 1 GB, with TensorBoard's own, and 10 GB (5 minutes, 12 GB of disk)
    python benchmarks/reading.py --logs 1GB --provider  # that log alone
    python benchmarks/reading.py --logs runs grow       # 500 runs; a run that grows for ten minutes

Each figure is of a process of its own, with a warm page cache. Start and memory are above those of the same process with an empty log
directory. Every map that is fetched is compared with what was logged.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import re
import statistics
import subprocess
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import table

from tensorboard_plugin.actviz import eventfile, wire

API = "/data/plugin/actviz/"
PROVIDER = Path(__file__).with_name("provider_board.py")
FETCHED, CLIENTS, CLIENTS_S = 1000, 8, 5.0
GROWING_LAYERS, GROWING_S = 9, 600.0
IDLE_S = 60.0


@dataclass(frozen=True, slots=True)
class Log:
    """A log to be made: as many maps as layers x steps, of so many bytes each."""

    layers: int
    steps: int
    map_bytes: int


LOGS = {"1GB": Log(50, 1000, 20_000), "10GB": Log(200, 5000, 10_000)}


class LogWriter:
    """Writes steps of made-up records, fast: each layer's container is made once, and only what tells the steps apart is changed."""

    def __init__(self, directory: Path, layers: int, map_bytes: int, channels: int = 16) -> None:
        directory.mkdir(parents=True)
        self._file = open(directory / "events.out.tfevents.1764000000.large.1.0", "wb")  # noqa: SIM115 - closed by close()
        self._layers = [f"layer{index}" for index in range(layers)]
        generator = np.random.default_rng(0)
        data = generator.integers(0, 255, (4, channels, map_bytes // (4 * channels) // 16, 16), dtype=np.uint8)
        names = ("data", "low", "high", "mean")
        fields = {"source": "train", "layout": "channels", "shape": [64, channels, 32, 32], "samples": [0, 1, 2, 3], "pool": [1, 1]}
        self._maps = []
        for index, layer in enumerate(self._layers):
            low = np.full((4, channels), index, np.float32)
            arrays = {"data": data, "low": low, "high": low + 1, "mean": low}
            self._maps.append(bytearray(wire.pack("maps", {"layer": layer, **fields, "channels": list(range(channels))}, arrays, names)))
        bins = np.arange(-60, 60, dtype=np.int16)
        profile = {name: np.zeros(channels, np.float32) for name in ("channel_mean", "channel_max", "channel_zero")}
        histogram = {"bins": bins, "counts": generator.integers(1, 999, len(bins)).astype(np.uint32), **profile}
        self._histograms = [wire.pack("layer", {"layer": layer, "sampled_every": 1}, histogram, tuple(histogram)) for layer in self._layers]
        self._counts = np.full((layers, len(wire.COUNTS)), 1000, np.int64)
        self._write("actviz/session", wire.pack("session", {"source": "train"}), 0)

    def step(self, step: int, *, histograms: bool = True) -> None:
        """Write a step; the last value of ``mean`` in the maps tells its number."""
        for index, layer in enumerate(self._layers):
            container = self._maps[index]
            container[-4:] = np.float32(step).tobytes()
            self._write(f"actviz/maps/{layer}", bytes(container), step)
            if histograms:
                self._write(f"actviz/layer/{layer}", self._histograms[index], step)
        moments = np.full((len(self._layers), len(wire.MOMENTS)), step, np.float32)
        self._write("actviz/step", wire.pack("step", {"layers": self._layers}, {"counts": self._counts, "moments": moments}), step)

    def _write(self, tag: str, container: bytes, step: int) -> None:
        event = wire.record_event(tag, container, step, 1764000000.0 + step)
        self._file.write(eventfile.frame(event.SerializeToString()))

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()


class Board:
    """A TensorBoard process."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, started_s: float) -> None:
        self.process = process
        self.port = port
        self.started_s = started_s

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("localhost", self.port, timeout=600)

    def get(self, connection: http.client.HTTPConnection, path: str, **query: Any) -> bytes:
        connection.request("GET", f"{path}?{urllib.parse.urlencode(query)}")
        response = connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise RuntimeError(f"{path} {query}: {response.status} {body[:200]!r}")
        return body

    def megabytes(self, *, children: bool = False) -> float:
        """Return what is resident of the process; with `children`, of those that it started as well."""
        pids = [self.process.pid]
        if children:
            pids += map(int, Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split())
        texts = [Path(f"/proc/{pid}/status").read_text() for pid in pids]
        return sum(int(re.search(r"VmRSS:\s+(\d+)", text)[1]) for text in texts) / 1e3  # type: ignore[index]

    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def board(logdir: Path, *arguments: str, script: Path | None = None) -> Iterator[Board]:
    """Start TensorBoard, and yield it once it answers."""
    program = ["-m", "tensorboard.main"] if script is None else [str(script)]
    with TemporaryDirectory() as scratch:
        output = Path(scratch) / "out"
        started_s = time.perf_counter()
        with output.open("w") as file:
            command = [sys.executable, *program, "--logdir", str(logdir), "--port", "0", "--host", "localhost", *arguments]
            process = subprocess.Popen(command, stdout=file, stderr=file, env=os.environ | {"PYTHONUNBUFFERED": "1"})
        try:
            while not (found := re.search(r"at http://\S+:(\d+)/ ", output.read_text())):
                if process.poll() is not None:
                    raise RuntimeError(output.read_text())
                time.sleep(0.02)
            yield Board(process, int(found[1]), started_s)
        finally:
            process.terminate()
            process.wait(60)


def until(question: Callable[[], bool], pause_s: float = 0.02) -> float:
    """Wait, and return the time at which it held; asking takes at most a tenth of the waiting."""
    while True:
        asked_s = time.perf_counter()
        if question():
            return time.perf_counter()
        time.sleep(max(pause_s, 9 * (time.perf_counter() - asked_s)))


def check_map(container: bytes, layer: int, step: int) -> None:
    arrays = wire.unpack(container).arrays
    if arrays["low"][0, 0] != layer or arrays["mean"][-1, -1] != np.float32(step):
        raise RuntimeError(f"asked for layer {layer} of step {step}, got layer {arrays['low'][0, 0]} of step {arrays['mean'][-1, -1]}")


def percentiles(seconds: list[float]) -> str:
    cuts = statistics.quantiles(seconds, n=100)
    return f"{cuts[49] * 1e3:.2f} / {cuts[94] * 1e3:.2f} / {max(seconds) * 1e3:.1f}"


def fetch(found: Board, log: Log, get: Callable[[http.client.HTTPConnection, int, int], bytes]) -> tuple[list[float], float]:
    """Return the seconds that single maps took one client, and how many maps a second several clients got."""

    def one(connection: http.client.HTTPConnection, draw: random.Random) -> float:
        layer, step = draw.randrange(log.layers), draw.randrange(log.steps)
        started = time.perf_counter()
        container = get(connection, layer, step)
        seconds = time.perf_counter() - started
        check_map(container, layer, step)
        return seconds

    connection, draw = found.connect(), random.Random(0)
    singly = [one(connection, draw) for _ in range(FETCHED)]
    counts = [0] * CLIENTS
    until_s = time.perf_counter() + CLIENTS_S

    def client(index: int) -> None:
        connection, draw = found.connect(), random.Random(index)
        while time.perf_counter() < until_s:
            one(connection, draw)
            counts[index] += 1

    threads = [threading.Thread(target=client, args=(index,)) for index in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return singly, sum(counts) / CLIENTS_S


def measure_ours(directory: Path, log: Log, empty: Path) -> list[str]:
    """Return the table's cells."""
    with board(empty) as nothing:
        connection = nothing.connect()
        base_s = until(lambda: json.loads(nothing.get(connection, f"{API}runs"))["ready"]) - nothing.started_s
        others_base = [_timed(lambda: nothing.get(connection, "/data/plugins_listing")) for _ in range(50)]
        base_megabytes = nothing.megabytes()
    with board(directory) as found:
        connection = found.connect()
        others: list[float] = []

        def is_whole() -> bool:
            others.append(_timed(lambda: found.get(connection, "/data/plugins_listing")))
            answer = json.loads(found.get(connection, f"{API}runs"))
            return bool(answer["ready"] and answer["runs"] and answer["runs"][0]["steps"] == log.steps)

        until(is_whole, 0.2)
        overview = wire.unpack(found.get(connection, f"{API}stats", run="run", stat="mean", columns=1000))
        start_s = time.perf_counter() - found.started_s - base_s
        if len(overview.header["layers"]) != log.layers:
            raise RuntimeError("the overview lacks layers")
        megabytes = found.megabytes() - base_megabytes
        singly, rate = fetch(
            found, log, lambda connection, layer, step: found.get(connection, f"{API}maps", run="run", layer=f"layer{layer}", step=step)
        )
        megabytes = max(megabytes, found.megabytes() - base_megabytes)
    print(f"other tabs' list, ms p50 / p95 / max: empty {percentiles(others_base)}; while loading {percentiles([*others, *others[-1:]])}")
    return [f"{start_s:.2f}", f"{megabytes:.0f}", percentiles(singly), f"{rate:.0f}"]


def measure_provider(directory: Path, log: Log, empty: Path, load_fast: str) -> list[str]:
    """Return the table's cells of TensorBoard's data provider, all steps kept."""
    arguments = ("--load_fast", load_fast, "--samples_per_plugin", "actviz=0")

    def count(found: Board) -> int:
        return int(found.get(found.connect(), "/data/plugin/provided/count"))

    with board(empty, *arguments, script=PROVIDER) as nothing:
        count(nothing)
        base_s, base_megabytes = time.perf_counter() - nothing.started_s, nothing.megabytes(children=True)
    with board(directory, *arguments, script=PROVIDER) as found:
        until(lambda: count(found) == log.layers * log.steps, 0.2)
        start_s = time.perf_counter() - found.started_s - base_s
        singly, rate = fetch(
            found,
            log,
            lambda connection, layer, step: found.get(connection, "/data/plugin/provided/map", tag=f"actviz/maps/layer{layer}", step=step),
        )
        megabytes = found.megabytes(children=True) - base_megabytes
    return [f"{start_s:.2f}", f"{megabytes:.0f}", percentiles(singly), f"{rate:.0f}"]


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def measure_log(name: str, scratch: Path, provider: bool) -> None:
    log = LOGS[name]
    directory, empty = scratch / name, scratch / "empty"
    empty.mkdir(exist_ok=True)
    writer = LogWriter(directory / "run", log.layers, log.map_bytes)
    for step in range(log.steps):
        writer.step(step)
    writer.close()
    (path,) = (directory / "run").iterdir()
    records = log.steps * (2 * log.layers + 1)
    print(f"\n{name}: {log.layers} layers x {log.steps} steps, {path.stat().st_size / 1e9:.2f} GB, {records} records\n")
    with path.open("rb") as file:  # into the page cache
        while file.read(1 << 24):
            pass
    rows = {"actviz_tb": measure_ours(directory, log, empty)}
    if provider:
        rows["data provider, --load_fast=true"] = measure_provider(directory, log, empty, "true")
        rows["data provider, --load_fast=false"] = measure_provider(directory, log, empty, "false")
    print("\n| | start, s | MB | one map, ms p50 / p95 / max | maps a second, 8 clients |\n| --- | ---: | ---: | ---: | ---: |")
    for title, cells in rows.items():
        print(f"| {title} | {' | '.join(cells)} |")
    path.unlink()


def measure_runs(scratch: Path, runs: int = 500) -> None:
    for index in range(runs):
        writer = LogWriter(scratch / "runs" / f"run{index:03}", 4, 2048)
        for step in range(3):
            writer.step(step)
        writer.close()
    (scratch / "none").mkdir()
    with board(scratch / "none") as nothing:
        connection = nothing.connect()
        base_s = until(lambda: json.loads(nothing.get(connection, f"{API}runs"))["ready"]) - nothing.started_s
    with board(scratch / "runs") as found:
        connection = found.connect()
        start_s = until(lambda: len(json.loads(found.get(connection, f"{API}runs"))["runs"]) == runs) - found.started_s - base_s
        again_s = [_timed(lambda: found.get(connection, f"{API}runs")) for _ in range(20)]
    print(f"\n{runs} runs are listed {start_s:.2f} s after an empty directory is; again in {statistics.median(again_s) * 1e3:.0f} ms\n")


def measure_growth(scratch: Path, seconds: float = GROWING_S) -> None:
    """A step of nine maps and its statistics each second; asked for twenty times a second."""
    writer = LogWriter(scratch / "growing" / "run", GROWING_LAYERS, 20_000)
    waits = []
    with board(scratch / "growing") as found:
        connection = found.connect()
        for step in range(int(seconds)):
            begun = time.perf_counter()
            writer.step(step, histograms=False)
            writer.flush()
            flushed = time.perf_counter()

            def is_served(step: int = step) -> bool:
                runs = json.loads(found.get(connection, f"{API}runs"))["runs"]
                return bool(runs) and runs[0]["last_step"] == step

            waits.append(until(is_served, 0.05) - flushed)
            check_map(found.get(connection, f"{API}maps", run="run", layer="layer3", step=step), 3, step)
            time.sleep(max(0.0, begun + 1 - time.perf_counter()))
        print(f"\n{len(waits)} new steps, a second apart, were served after, ms p50 / p95 / max: {percentiles(waits)}")
        time.sleep(IDLE_S)
        before = found.cpu_s()
        time.sleep(IDLE_S)
        idle = (found.cpu_s() - before) / IDLE_S
    with board(scratch / "growing", script=PROVIDER) as without:
        time.sleep(IDLE_S)
        before = without.cpu_s()
        time.sleep(IDLE_S)
        base = (without.cpu_s() - before) / IDLE_S
    writer.close()
    print(f"then, when nobody asks: {idle:.2%} of a core; TensorBoard without the plugin {base:.2%}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--logs", nargs="+", choices=[*LOGS, "runs", "grow"], default=list(LOGS))
    parser.add_argument("--provider", action="store_true", help="also measure TensorBoard's data provider (minutes a GB)")
    given = parser.parse_args()
    print(table.machine())
    with TemporaryDirectory() as scratch:
        for name in given.logs:
            if name == "runs":
                measure_runs(Path(scratch))
            elif name == "grow":
                measure_growth(Path(scratch))
            else:
                measure_log(name, Path(scratch), given.provider)


if __name__ == "__main__":
    main()
