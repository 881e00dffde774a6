"""Train, and be killed: prints for each run the last step that was flushed before, as JSON. Run by test_kills.py.

    python tests/faults/killed.py DIRECTORY KILLS

Each run is a process of its own, forked before torch has computed anything, and is killed with SIGKILL at a random moment.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch
from torch import nn
from torch.utils.tensorboard import SummaryWriter

import actviz_tb

MOST_STEPS = 60
LONGEST_S = 0.02
"""After a step: several of them, on a machine that has nothing else to do."""


def train(directory: Path, acknowledged: int, *, own_file: bool) -> None:
    torch.set_num_threads(1)
    model = nn.Sequential(nn.Identity(), nn.ReLU())
    logger = actviz_tb.watch(model, directory if own_file else SummaryWriter(directory), every=1)
    step = 0
    while True:
        model(torch.full((2, 3, 40, 40), float(step)))
        logger.flush()
        os.write(acknowledged, b"%d\n" % step)
        step += 1


def kill_one(directory: Path, draw: random.Random, *, own_file: bool) -> int:
    """Return the last step that the process has acknowledged."""
    readable, writable = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(readable)
        train(directory, writable, own_file=own_file)
    os.close(writable)
    with open(readable) as steps:
        told = [steps.readline() for _ in range(draw.randint(1, MOST_STEPS))]
        time.sleep(draw.uniform(0, LONGEST_S))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        return int((told[-1] + steps.read()).split("\n")[-2])


def main() -> None:
    directory, kills = Path(sys.argv[1]), int(sys.argv[2])
    draw = random.Random(0)
    found = {}
    for index in range(kills):
        name = f"{'own' if index % 2 else 'writer'}{index}"
        found[name] = kill_one(directory / name, draw, own_file=bool(index % 2))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
