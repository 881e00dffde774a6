"""Measure what logging costs a training step on a CUDA device.

    python benchmarks/gpu.py
    python benchmarks/gpu.py --workloads gpt12 --contestants bare tenth --seconds 60

Two models alike are trained in turn, blocks of ten steps of each, one bare and one watched; a block's time ends when the device is
done and this process has written what it logs. Figures are medians over pairs of blocks. The training is as it is on such devices:
bfloat16 by autocast, fused AdamW, convolutions in channels_last. It enqueues its steps without waiting for the device; "tenth-read" asks
for the loss of each step, so that the device idles while the host is busy with logging. "MB above bare" is the peak of the device's
memory. The first block, in which the kernels are compiled, is not in the ratio.
"""

from __future__ import annotations

import argparse
import gc
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from measure import interval
from torch import Tensor, nn
from workloads import ResNet50, Transformer

import actviz_tb

STEPS = 10


@dataclass(frozen=True, slots=True)
class Workload:
    """A model and its batch, of which `rows` are taken in a trial without a GPU."""

    title: str
    model: Callable[[], nn.Module]
    batch: Callable[[], tuple[Tensor, Tensor]]


WORKLOADS = {
    "r50": Workload(
        "ResNet-50, 224x224, batch 256",
        lambda: ResNet50().to(memory_format=torch.channels_last),
        lambda: (torch.randn(256, 3, 224, 224).to(memory_format=torch.channels_last), torch.randint(1000, (256,))),
    ),
    "gpt12": Workload(
        "transformer, 12 layers, d=768, T=1024, batch 16",
        lambda: Transformer(layers=12, width=768, heads=12, length=1024, tokens=50304),
        lambda: (torch.randint(50304, (16, 1024)), torch.randint(50304, (16 * 1024,))),
    ),
}
CONTESTANTS: dict[str, dict[str, Any]] = {
    "bare": {},
    "idle": {"every": 10**9},
    "tenth": {"every": STEPS},
    "tenth-read": {"every": STEPS},
    "nomaps": {"every": STEPS, "samples": 0},
    "every": {"every": 1},
    "recorder": {"every": 10**9, "recorder": 20},
}
"""Options of `watch`; none: nothing is watched."""


class Trainer:
    """A model in training on the device."""

    def __init__(self, workload: Workload, batch: tuple[Tensor, Tensor], *, reads_loss: bool) -> None:
        torch.manual_seed(0)
        self.model = workload.model().cuda()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4, fused=True)
        self.batch, self.reads_loss = batch, reads_loss
        self.logger: actviz_tb.ActivationLogger | None = None

    def block(self) -> float:
        """Train ten steps; return the seconds until the device is done and all is written."""
        x, target = self.batch
        started = time.perf_counter()
        for _ in range(STEPS):
            with torch.autocast("cuda", torch.bfloat16):
                loss = nn.functional.cross_entropy(self.model(x), target)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            if self.reads_loss:
                loss.item()
        torch.cuda.synchronize()
        if self.logger is not None:
            self.logger.flush()
        return time.perf_counter() - started


def measure(workload: Workload, contestant: str, seconds: float, directory: str) -> str:
    """Return a row of the table."""
    batch = tuple(part.cuda() for part in workload.batch())
    bare, watched = (Trainer(workload, batch, reads_loss=contestant == "tenth-read") for _ in range(2))
    if options := CONTESTANTS[contestant]:
        # Every tenth step is one in the middle of a block, after some that are under way.
        watched.logger = actviz_tb.watch(watched.model, directory, step=STEPS // 2, **options)
    bare.block()
    first_s = watched.block()
    peaks = []
    for trainer in (bare, watched):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        trainer.block()
        peaks.append(torch.cuda.max_memory_allocated())
    pairs: list[tuple[float, float]] = []
    ends = time.perf_counter() + seconds
    while time.perf_counter() < ends or len(pairs) < 3:
        if len(pairs) % 2:
            pairs.append((bare.block(), watched.block()))
        else:
            pairs.append((watched.block(), bare.block())[::-1])
    ratios = [second / first for first, second in pairs]
    low, high = interval(ratios)
    cells = [f"{median(first for first, _ in pairs) / STEPS * 1e3:.2f}", f"{median(ratios):.4f}", f"{low:.4f} to {high:.4f}"]
    cells += [f"{(peaks[1] - peaks[0]) / 1e6:.0f}", f"{first_s:.1f}", str(len(pairs))]
    if watched.logger is not None:
        watched.logger.close()
    return " | ".join([contestant, *cells])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=list(WORKLOADS))
    parser.add_argument("--contestants", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS))
    parser.add_argument("--seconds", type=float, default=20.0, help="of measuring each")
    given = parser.parse_args()
    if not torch.cuda.is_available():
        parser.error("there is no CUDA device; benchmarks/run.py measures on the CPU")
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}", flush=True)
    for name in given.workloads:
        print(f"\n{WORKLOADS[name].title}\n")
        print("| | bare step, ms | ratio | 95% interval | MB above bare | first block, s | pairs |")
        print("|---|---:|---:|---:|---:|---:|---:|")
        for contestant in given.contestants:
            with tempfile.TemporaryDirectory() as directory:
                print(f"| {measure(WORKLOADS[name], contestant, given.seconds, directory)} |", flush=True)
            gc.collect()
            torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
