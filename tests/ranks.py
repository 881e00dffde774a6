"""Running a function in several processes that form a process group."""

from __future__ import annotations

import multiprocessing
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

LIMIT_S = 100.0
"""After so long a process counts as hung. A process group waits for half an hour, unless told otherwise."""

# Forked from a server that has imported torch, a process is there in a moment; a fresh interpreter takes seconds to import it.
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["actviz_tb.logger", "torch._dynamo", "torch.distributed.fsdp", "torch.distributed.tensor.parallel"])


@dataclass(frozen=True)
class Place:
    """A process's place among the others.

    Attributes:
        rank, world_size: which of how many.
        meeting: the file by which they find each other.
    """

    rank: int
    world_size: int
    meeting: Path

    def join(self) -> None:
        """Form the process group."""
        dist.init_process_group("gloo", init_method=f"file://{self.meeting}", rank=self.rank, world_size=self.world_size)


def run(function: Callable[..., Any], world_size: int, directory: Path, *arguments: object, join: bool = True) -> list[Any]:
    """Call ``function(*arguments)`` in each process of a process group; return what each of them returned.

    Args:
        function: at the top level of a module that the processes can import.
        world_size: how many processes.
        directory: for the file by which they find each other.
        join: False: leave it to the function, which gets a `Place` as its first argument, to form the process group.

    Returns:
        Results in the order of ranks; of one that raised its traceback, a string; of a killed one None.
    """
    meeting = directory / f"meeting-{time.monotonic_ns()}"
    processes, pipes = [], []
    for rank in range(world_size):
        receive, send = _context.Pipe(duplex=False)
        process = _context.Process(target=_rank, args=(send, function, arguments, Place(rank, world_size, meeting), join))
        process.start()
        send.close()
        processes.append(process)
        pipes.append(receive)
    deadline_s = time.monotonic() + LIMIT_S
    try:
        return [_received(pipe, deadline_s) for pipe in pipes]
    finally:
        for process in processes:
            process.kill()
            process.join()


def _received(pipe: Connection, deadline_s: float) -> Any:
    if not wait([pipe], max(0.0, deadline_s - time.monotonic())):
        raise AssertionError(f"a rank has not come to its end in {LIMIT_S} s")
    try:
        return pipe.recv()
    except EOFError:
        return None


def _rank(send: Connection, function: Callable[..., Any], arguments: tuple[Any, ...], place: Place, join: bool) -> None:
    torch.set_num_threads(1)
    try:
        if join:
            place.join()
        send.send(function(*(() if join else (place,)), *arguments))
    except BaseException:
        send.send(traceback.format_exc())
    threading.Event().wait()  # until `run` has heard from all: one that ended now would break the others' connections
