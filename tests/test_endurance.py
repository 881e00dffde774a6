"""Long runs: nothing grows, and nothing is left behind."""

import contextlib
import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from logged import hooks_of, of_tag
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

import actviz_tb

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="asks Linux for descriptors and memory")


class Small(nn.Module):
    """A little of everything that is recorded."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.relu = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True)
        self.attention, self.head = nn.MultiheadAttention(4, 2, batch_first=True), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.norm(self.conv(x))).flatten(2).transpose(1, 2)
        x = x + self.attention(x, x, x)[0]
        return self.head(nn.functional.gelu(x).mean(1))


EVERYTHING: dict[str, Any] = {"gradients": True, "probe": torch.ones(2, 1, 8, 8), "samples": 2, "max_channels": 2, "max_size": 8}


def train(model: nn.Module, steps: int) -> None:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.randn(4, 1, 8, 8)).square().mean().backward()
        optimizer.step()


def held() -> set[object]:
    """Return this process's threads, and its descriptors with what they lead to."""
    found: set[object] = set(threading.enumerate())
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # that of the listing itself
            found.add((descriptor, os.readlink(f"/proc/self/fd/{descriptor}")))
    return found


@pytest.mark.parametrize("target", ["directory", "writer"])
def test_after_close_no_descriptor_thread_or_hook_is_left(tmp_path: Path, target: str) -> None:
    model, before = Small(), held()
    for run in range(3):
        directory = tmp_path / str(run)
        writer = SummaryWriter(str(directory)) if target == "writer" else None
        logger = actviz_tb.watch(model, writer or directory, every=1, **EVERYTHING)
        train(model, 50)
        assert hooks_of(model) == 1  # the gate
        logger.close()
        assert hooks_of(model) == 0
        if writer is not None:
            writer.close()
        assert logger.report().steps == 50
        assert held() <= before  # garbage of other tests may go meanwhile


def script(body: str, *arguments: str) -> str:
    code = "import os, resource, sys, torch, actviz_tb\nfrom torch import nn\n" + textwrap.dedent(body)
    result = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=3000, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_1500_modules_need_few_descriptors(tmp_path: Path) -> None:
    body = """
        model = nn.Sequential(*(nn.Linear(2, 2) if index % 2 else nn.Tanh() for index in range(1500)))
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        with actviz_tb.watch(model, sys.argv[1], every=1, samples=1, stock_tabs=False, on_error="raise"):
            model(torch.ones(1, 2))
    """
    script(body, str(tmp_path))
    assert len(of_tag(tmp_path, "actviz/step")[0].header["layers"]) == 1500


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_10000_logged_steps_leave_the_memory_flat(tmp_path: Path) -> None:
    body = """
        import gc
        sys.path.insert(0, sys.argv[2])
        import test_endurance
        def resident():
            gc.collect()
            return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() / 2**20
        torch.set_num_threads(1)
        model = test_endurance.Small()
        logger = actviz_tb.watch(model, sys.argv[1], every=1, on_error="raise", **test_endurance.EVERYTHING)
        found = []
        for _ in range(10):
            test_endurance.train(model, 1000)
            logger.flush()
            found.append(resident())
        print(*found, logger.report().steps)
    """
    *resident, steps = map(float, script(body, str(tmp_path), str(Path(__file__).parent)).split())
    print(f"resident after each 1,000 logged steps, MB: {resident}")
    assert steps == 10_000
    assert max(resident[1:]) <= resident[0] * 1.05
