"""Small models round one layer that can be anything."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from logged import hooks_of
from torch import Tensor, nn

import actviz_tb


class Function(nn.Module):
    """A layer that applies a function."""

    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(x)


class Around(nn.Module):
    """A linear layer, one that applies a function, and one that takes what `use` makes of the function's output: all [n, 4].

    Args:
        use: None where the function's output is not used.
    """

    def __init__(self, function: Callable[[Tensor], Any], use: Callable[[Any], Tensor] | None = None) -> None:
        super().__init__()
        self.before, self.odd, self.after = nn.Linear(4, 4), Function(function), nn.Linear(4, 4)
        self.use = use

    def forward(self, x: Tensor) -> Tensor:
        x = self.before(x)
        output = self.odd(x)
        return self.after(x if self.use is None else self.use(output))


def batch(rows: int = 5, seed: int = 1) -> Tensor:
    """Return a batch [rows, 4]."""
    return torch.randn(rows, 4, generator=torch.Generator().manual_seed(seed))


def trained(make: Callable[[], nn.Module], directory: Path | None = None, steps: int = 3, **options: Any) -> list[Tensor]:
    """Train a model that `make` makes, from the same seed at each call, and return all outputs, gradients, parameters and buffers.

    Args:
        make: called after seeding.
        directory: where the model is watched with `options`; None: it is not watched.
    """
    torch.manual_seed(3)
    model = make()
    own = hooks_of(model)
    logger = None if directory is None else actviz_tb.watch(model, directory, every=1, **options)
    optimizer: torch.optim.Optimizer | None = None
    found = []
    for step in range(steps):
        output = model(batch(seed=step))
        if optimizer is None:  # lazy modules have parameters from here on
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        optimizer.zero_grad()
        output.square().mean().backward()
        optimizer.step()
        found += [output.detach().clone(), *(each.grad.clone() for each in model.parameters() if each.grad is not None)]
    if logger is not None:
        logger.close()
        assert hooks_of(model) <= own  # lazy modules drop theirs
    return [*found, *(tensor.clone() for tensor in model.state_dict().values()), torch.get_rng_state()]


def identical(one: list[Tensor], other: list[Tensor]) -> bool:
    """Say whether two results of `trained` are the same bit for bit."""
    return [each.numpy().tobytes() for each in one] == [each.numpy().tobytes() for each in other]
