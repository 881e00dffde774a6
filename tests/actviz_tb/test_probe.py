"""A probe runs through the model in training, and the training goes on as if it had not."""

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from logged import of_tag
from torch import Tensor, nn

import actviz_tb


class Noise(nn.Module):
    """Draws random numbers in evaluation too."""

    def __init__(self, draw: Callable[[], float]) -> None:
        super().__init__()
        self.draw = draw

    def forward(self, x: Tensor) -> Tensor:
        return x + self.draw()


class MadeLate(nn.Module):
    """Makes a part of itself in its first forward, in the mode it is in, as BigBird of transformers does for short texts."""

    def __init__(self) -> None:
        super().__init__()
        self.made: nn.Module | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.made is None:
            self.made = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5)).train(self.training)
        return nn.functional.dropout(self.made(x), 0.5, self.training)


MODELS: dict[str, Callable[[], nn.Module]] = {
    "torch's random numbers": lambda: Noise(lambda: torch.rand(()).item()),
    "numpy's random numbers": lambda: Noise(lambda: float(np.random.rand())),
    "Python's random numbers": lambda: Noise(random.random),
    "lazy parameters": lambda: nn.Sequential(nn.Dropout(0.5), nn.LazyLinear(5), nn.Dropout(0.5), nn.LazyBatchNorm1d()),
    "a part made in the first forward": MadeLate,
    "a part made in the first forward of a frozen part": lambda: MadeLate().eval(),
}


@pytest.mark.parametrize("kind", MODELS)
def test_training_is_the_same_to_the_last_bit_with_a_probe_and_without(tmp_path: Path, kind: str) -> None:
    results = []
    for probe in (None, torch.ones(2, 4)):
        random.seed(0)
        np.random.seed(0)
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 4), MODELS[kind]())
        with actviz_tb.watch(model, tmp_path / str(probe is None), every=1, probe=probe, on_error="raise"):
            outputs = [model(torch.ones(3, 4)) for _ in range(3)]
        modes = torch.tensor([module.training for module in model.modules()])
        results.append([*outputs, *model.state_dict().values(), modes])
    for without, with_probe in zip(*results, strict=True):
        assert torch.equal(without, with_probe)


def test_a_digest_is_equal_for_the_same_probe_alone(tmp_path: Path) -> None:
    tokens = torch.randint(0, 100, (3, 5))
    changed = tokens.clone()
    changed[2, 4] += 1
    probes = {
        "one": tokens,
        "same": tokens.T.contiguous().T,
        "changed": changed,
        "shaped": tokens.reshape(5, 3),
        "typed": tokens.int(),
        "sparse": tokens.to_sparse(),
    }
    digests = {}
    for name, probe in probes.items():
        model = nn.Sequential(Densified(), nn.Embedding(200, 4))
        with actviz_tb.watch(model, tmp_path / name, every=1, probe=probe, on_error="raise"):
            model(tokens)
        digests[name] = of_tag(tmp_path / name, "actviz/inputs")[0].header["digest"]
    assert digests["sparse"] is None
    assert digests["same"] == digests["one"]
    assert len({digests[name] for name in ("one", "changed", "shaped", "typed")}) == 4


class Densified(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.to_dense() if x.is_sparse else x
