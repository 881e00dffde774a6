"""Modules whose output a torch.autograd.Function makes: what it computes inside is no part of the graph, what it returns is."""

from pathlib import Path
from typing import Any

import logged
import numpy as np
import pytest
import torch
from torch import Tensor, nn

import actviz_tb


class Tanh(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = torch.tanh(x)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        return gradients[0] * (1 - y**2)


class OwnTanh(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return Tanh.apply(x)


class First(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None


class OfTwo(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Linear(3, 5), nn.Linear(3, 5)

    def forward(self, x: Tensor) -> Tensor:
        return First.apply(self.one(x), self.other(x))


def test_the_gradient_of_a_custom_functions_output_is_recorded(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(3, 5), OwnTanh())
    weights = torch.linspace(-1.0, 3.0, 20).reshape(4, 5)
    with actviz_tb.watch(model, tmp_path, every=1, gradients=True, on_error="raise") as logger:
        (model(torch.randn(4, 3)) * weights).sum().backward()
    _, moments = logged.counts_and_moments(tmp_path, "1", kind="gradients")
    assert moments["mean"] == pytest.approx(float(np.mean(weights.numpy(), dtype=np.float64)), rel=1e-6)
    assert (moments["min"], moments["max"]) == (-1.0, 3.0)
    assert list(logger.report().skipped) == ["gradient of 1/tanh"]  # inside the function, where nothing has a gradient


def test_an_output_for_which_a_custom_function_has_no_gradient_is_told_of(tmp_path: Path) -> None:
    model = OfTwo()
    with actviz_tb.watch(model, tmp_path, every=1, gradients=True, on_error="raise") as logger:
        model(torch.randn(4, 3)).sum().backward()
    assert logged.counts_and_moments(tmp_path, "one", kind="gradients")[1]["mean"] == 1.0
    assert logger.report().skipped == {"gradient of other": "no gradient reached it"}
