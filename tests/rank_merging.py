"""What each process does in the tests of merged statistics; see `ranks.run`."""

from __future__ import annotations

import os
import signal
import warnings
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from rank_training import STEPS, Net, Trained, ddp, train
from ranks import Place
from torch import nn
from torch.distributed.distributed_c10d import _set_pg_timeout
from torch.profiler import ProfilerActivity, profile

import actviz_tb


def timeout_of(group: Any) -> timedelta:
    return group._get_backend(torch.device("cpu")).options._timeout  # type: ignore[no-any-return]


class Values(nn.Module):
    """Layers whose outputs are known by their inputs."""

    def __init__(self, calls_extra: bool) -> None:
        super().__init__()
        self.same = nn.Identity()
        self.extra = nn.ReLU()
        self.tanh = nn.Tanh()
        self._calls_extra = calls_extra

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.same(x)
        if self._calls_extra:
            self.extra(x)
        return self.tanh(x)


def log_shares(directory: Path, shares: list[torch.Tensor], calls: list[bool]) -> None:
    """Log one step of the global batch `shares`, one a rank; `calls`: which ranks call the layer `extra`."""
    rank = dist.get_rank()
    model = Values(calls[rank])
    with actviz_tb.watch(model, directory, every=1, merge_ranks=True, functional=False):
        model(shares[rank])


def count_collectives(directory: Path) -> tuple[list[int], list[int]]:
    """Return how many collectives each step of a DDP training had, without a logger, and with one at each second step."""
    found = []
    for watched in (False, True):
        torch.manual_seed(0)
        model = ddp(nn.Linear(3, 2))
        logger = actviz_tb.watch(model, directory, every=2, merge_ranks=True) if watched else None
        counts = []
        for _ in range(STEPS):
            with profile(activities=[ProfilerActivity.CPU]) as profiled:
                model(torch.ones(2, 3)).sum().backward()
            counts.append(sum(event.name.startswith("gloo:") for event in profiled.events()))
        if logger is not None:
            logger.close()
        found.append(counts)
    return found[0], found[1]


def train_with_an_absentee(directory: Path, how: str) -> Trained:
    """Train DDP with merged statistics of each step; from step 2 on rank 1 is "paused", or "killed" in mid-forward.

    Rank 0 waits for it a short while, and only then: on a busy machine they may well come seconds apart.
    """
    loggers = []

    def on_step(model: Net, logger: actviz_tb.ActivationLogger, step: int) -> None:
        loggers.append(logger)
        if step == 2 and dist.get_rank() == 1 and how == "paused":
            logger.pause()
        elif step == 2 and dist.get_rank() == 1:
            model.conv.register_forward_hook(lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        elif step == 2 and how == "paused":
            group = logger._recorder._options.merger._group
            assert timeout_of(group) * 2 == timeout_of(dist.group.WORLD)
            _set_pg_timeout(timedelta(seconds=2), group)

    try:
        return train("DDP", "wrapped", directory, {"every": 1, "merge_ranks": True}, on_step)
    except RuntimeError:
        loggers[0].close()
        raise


def watch_again(directory: Path) -> list[str]:
    """As in a notebook, whose cell runs twice: the second logger takes over, on every rank. Return the warnings."""
    model = nn.Linear(2, 2)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            logger = actviz_tb.watch(model, directory, merge_ranks=True)
            for _ in range(2):
                model(torch.ones(1, 2))
        logger.close()
    return [str(each.message) for each in caught]


def watch_alone(directory: Path) -> str:
    """Rank 0 alone asks for merged statistics."""
    if dist.get_rank():
        return ""
    _set_pg_timeout(timedelta(seconds=4))
    try:
        actviz_tb.watch(nn.Linear(2, 2), directory, merge_ranks=True)
    except actviz_tb.ActvizError as error:
        return f"{type(error).__name__}: {error}"
    return "no error"


def merge_alone(place: Place, directory: Path, on_error: Any) -> tuple[str, float]:
    """Rank 0 alone asks for merged statistics, before there is a process group.

    Returns:
        What rank 0 is told, and a sum over the ranks by the training's own group afterwards.
    """
    model = nn.Linear(2, 2)
    with actviz_tb.watch(model, directory / str(place.rank), every=1, merge_ranks=place.rank == 0, on_error=on_error):
        place.join()
        patience = timeout_of(dist.group.WORLD)
        if place.rank == 0:
            _set_pg_timeout(timedelta(seconds=4))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            told = []
            for _ in range(2):
                try:
                    model(torch.ones(1, 2))
                except actviz_tb.LoggingError as error:
                    told.append(str(error))
    _set_pg_timeout(patience)
    total = torch.ones(1)
    dist.all_reduce(total)
    return " ".join(told + [str(each.message) for each in caught]), total.item()
