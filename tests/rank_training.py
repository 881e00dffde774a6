"""What each process of a process group does in the tests of several ranks; see `ranks.run`."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy.typing as npt
import torch
import torch.distributed as dist
from ranks import Place
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

import actviz_tb
from actviz_tb.distributed import is_sharded
from actviz_tb.report import Report

STEPS = 4


class Attention(nn.Module):
    """Attention by a function, and a sum of two branches."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.qkv(x).chunk(3, -1)
        return x + self.out(nn.functional.scaled_dot_product_attention(q, k, v))


class Net(nn.Module):
    """Takes images [N, 1, 8, 8]; does without `spare` where `unused`."""

    def __init__(self, unused: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.relu = nn.ReLU(inplace=True)
        self.attention = nn.Sequential(Attention(6), nn.Dropout(0.2), Attention(6))
        self.spare = nn.Linear(6, 6)
        self.head = nn.Linear(6, 3)
        self._unused = unused

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.norm(self.conv(x))).flatten(2).transpose(1, 2)
        x = self.attention(x).mean(1)
        return self.head(x if self._unused else nn.functional.silu(self.spare(x)))


def small_net() -> nn.Module:
    """Quick to compile."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.ReLU(), nn.Linear(6, 3))


def images(rank: int, step: int = 0) -> torch.Tensor:
    return torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(1000 * step + rank))


def ddp(net: nn.Module, **options: Any) -> nn.Module:
    return nn.parallel.DistributedDataParallel(net, **options)


def sharded(net: nn.Module, **options: Any) -> nn.Module:
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    for block in (net.conv, net.attention[0], net.attention[2], net.head):
        fully_shard(block, mesh=mesh, **options)
    return fully_shard(net, mesh=mesh, **options)


KINDS: dict[str, tuple[Callable[[], nn.Module], Callable[[nn.Module], nn.Module]]] = {
    "DDP": (Net, ddp),
    "DDP, unused parameters": (lambda: Net(unused=True), lambda net: ddp(net, find_unused_parameters=True)),
    "DDP, static graph": (Net, lambda net: ddp(net, static_graph=True)),
    "DDP, compiled": (small_net, lambda net: torch.compile(ddp(net), backend="aot_eager")),
    "FSDP": (Net, sharded),
    "FSDP, root resharded": (Net, lambda net: sharded(net, reshard_after_forward=True)),
}
"""How a model is made, and how it is wrapped."""


@dataclass(frozen=True)
class Trained:
    """How a training went on one rank.

    Attributes:
        losses, state: of each step, at the end.
        told: warnings of ours.
        report: the logger's, or None.
    """

    losses: list[float]
    state: dict[str, npt.NDArray[Any]]
    told: list[str] = field(default_factory=list)
    report: Report | None = None


def train(kind: str, watched: str, directory: Path, options: dict[str, Any], on_step: Callable[..., None] | None = None) -> Trained:
    """Train a model of `KINDS`.

    Args:
        kind: which.
        watched: "not"; or the model as it is "wrapped", as it is "inside", or "before" it is wrapped.
        directory: in which each rank's logger is given a directory of its own.
        options: of `actviz_tb.watch`.
        on_step: called with the model, the logger and the step before each step.
    """
    rank = dist.get_rank()
    make, wrap = KINDS[kind]
    torch.manual_seed(0)
    net = make()
    logger = None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if watched == "before":
            logger = actviz_tb.watch(net, directory / str(rank), **options)
        model = wrap(net)
        if watched in ("wrapped", "inside"):
            logger = actviz_tb.watch(model if watched == "wrapped" else net, directory / str(rank), **options)
        torch.manual_seed(rank)  # of dropout
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        losses = []
        for step in range(STEPS):
            if on_step is not None:
                on_step(net, logger, step)
            loss = nn.functional.cross_entropy(model(images(rank, step)), torch.arange(4) % 3)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        if logger is not None:
            logger.close()
    state = {name: (t.full_tensor() if hasattr(t, "full_tensor") else t).numpy().copy() for name, t in net.state_dict().items()}
    told = [str(each.message) for each in caught if each.category is actviz_tb.ActvizWarning]
    return Trained(losses, state, told, None if logger is None else logger.report())


def train_in_turn(kind: str, directory: Path, ways: dict[str, dict[str, Any]]) -> dict[str, Trained]:
    """Train once without a logger, and once in each of `ways` (see `train`) with its options."""
    return {watched: train(kind, watched, directory / watched, options) for watched, options in {"not": {}, **ways}.items()}


def tensor_parallel(directory: Path, local: bool) -> tuple[str, Report]:
    """Log a step of a model whose layers are spread over the ranks; return the type of its output, and the report."""
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))
    plan = {"0": ColwiseParallel(use_local_output=local), "2": RowwiseParallel(use_local_output=local)}
    parallelize_module(model, init_device_mesh("cpu", (dist.get_world_size(),)), plan)
    with actviz_tb.watch(model, directory, every=1, gradients=True, probe=torch.ones(2, 4)) as logger:
        output = model(torch.arange(20.0).reshape(5, 4))
        (output.full_tensor() if hasattr(output, "full_tensor") else output).sum().backward()
    return type(output).__name__, logger.report()


def older_fsdp(directory: Path) -> tuple[bool, bool, str]:
    """Log a step of a model in FSDP's older wrapper, which needs a GPU to do more.

    Returns:
        Whether the model was sharded without the wrapper, and with it; how a limit together with a probe was refused.
    """
    cpu = torch.device("cpu")
    block = nn.Linear(2, 2)
    plain = is_sharded(block)
    model = FullyShardedDataParallel(nn.Sequential(FullyShardedDataParallel(block, device_id=cpu), nn.ReLU()), device_id=cpu)
    with actviz_tb.watch(model, directory, every=1):
        model(torch.ones(1, 2))
    try:
        actviz_tb.watch(model, directory, probe=torch.ones(1, 2), max_overhead=0.01)
    except actviz_tb.ArgumentError as error:
        return plain, is_sharded(model), str(error)
    return plain, is_sharded(model), "not refused"


def watch_first(place: Place, directory: Path, launched: bool) -> tuple[int, int]:
    """Watch before there is a process group; where `launched`, the rank is in the environment, as a launcher writes it.

    Returns:
        How many event files of this process there were before and after the training.
    """
    if launched:
        os.environ.update(RANK=str(place.rank), WORLD_SIZE=str(place.world_size))
    model, own_files = nn.Linear(2, 2), f"events.out.tfevents.*.{os.getpid()}.*"
    with actviz_tb.watch(model, directory, every=1, merge_ranks=True):
        before = len(list(directory.glob(own_files)))
        place.join()
        for _ in range(3):
            model(torch.ones(1 + place.rank, 2))
    return before, len(list(directory.glob(own_files)))


def worker_processes(directory: Path) -> list[float]:
    """Train from a DataLoader whose workers, forked from this process, run the watched model too."""
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())

    class Samples(torch.utils.data.Dataset[torch.Tensor]):
        def __len__(self) -> int:
            return 60

        def __getitem__(self, index: int) -> torch.Tensor:
            return model(torch.full((2,), float(index))).detach()

    with actviz_tb.watch(model, directory, every=1):
        loader = torch.utils.data.DataLoader(Samples(), batch_size=15, num_workers=2, multiprocessing_context="fork")
        return [model(batch).sum().item() for batch in loader]
