"""Small models round one layer that can be anything."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


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
