"""Train while the disk is full for some time; run by test_full_disk.py in a mount namespace of its own.

    python tests/faults/full_disk.py DIRECTORY own|writer

The directory is on a small file system. Prints, as JSON, the steps that TensorBoard's own reader finds at each stage, and the warnings.
"""

import json
import sys
import warnings
from pathlib import Path

import torch
from torch import nn
from torch.utils.tensorboard import SummaryWriter

import actviz_tb

sys.path.append(str(Path(__file__).parents[1]))
import logged


def main() -> None:
    directory, target = Path(sys.argv[1]), sys.argv[2]
    filler = directory / "filler"
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU())
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    logger = actviz_tb.watch(model, directory / "run" if target == "own" else SummaryWriter(directory / "run"), every=1)
    found: dict[str, list[int]] = {}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for step in range(30):
            if step == 10:
                fill(filler)
            if step == 20:
                found["full"] = logged_steps(directory / "run")
                filler.unlink()
            optimizer.zero_grad()
            model(torch.randn(64, 64)).square().mean().backward()
            optimizer.step()
            logger.flush()
        logger.close()
    found["end"] = logged_steps(directory / "run")
    print(json.dumps({"steps": found, "warnings": [str(each.message) for each in caught]}))


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1024))
        except OSError:
            return


def logged_steps(directory: Path) -> list[int]:
    return list(logged.of_tag(directory, "actviz/step"))


if __name__ == "__main__":
    main()
