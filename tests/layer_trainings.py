"""Small real trainings, one for each kind of output that the Layer view shows; each returns what is needed to check it."""

from __future__ import annotations

import copy
import inspect
import string
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import actviz_tb

Batch = Callable[[int], tuple[Tensor, Tensor]]
"""So many inputs, and what they should give."""
EVERY = 2
TOKENS = 24
HEADS = 4


@dataclass(frozen=True)
class Trained:
    """A training that was watched.

    Attributes:
        probe: the samples shown. before: the model before each logged step, by step.
    """

    probe: Tensor
    before: dict[int, nn.Module]


class Causal(nn.Module):
    """Self-attention by torch's fused function."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (part.unflatten(-1, (HEADS, -1)).transpose(1, 2) for part in self.qkv(x).chunk(3, -1))
        mixed = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return x + mixed.transpose(1, 2).flatten(2)


class TextModel(nn.Module):
    """A transformer over characters: one layer of MultiheadAttention, one of scaled_dot_product_attention."""

    def __init__(self, letters: int, length: int, width: int = 32) -> None:
        super().__init__()
        self.embed = nn.Embedding(letters, width)
        self.place = nn.Parameter(torch.randn(length, width) * 0.1)
        self.attend = nn.MultiheadAttention(width, HEADS, batch_first=True)
        self.causal = Causal(width)
        self.head = nn.Linear(width, letters)

    def attended(self, tokens: Tensor) -> Tensor:
        """Return what the MultiheadAttention is called with."""
        out: Tensor = self.embed(tokens) + self.place
        return out

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.attended(tokens)
        x = x + self.attend(x, x, x, need_weights=False)[0]
        out: Tensor = self.head(self.causal(x))
        return out


def train_text(target: Path, steps: int = 12, length: int = TOKENS) -> Trained:
    """Train on the source of the standard library, character by character."""
    torch.manual_seed(0)
    source = inspect.getsource(string)
    letters = sorted(set(source))
    codes = torch.tensor([letters.index(letter) for letter in source])
    starts = (200, 900, 1500)
    probe = torch.stack([codes[start : start + length] for start in starts])
    model = TextModel(len(letters), length)
    labels = [list(source[start : start + length]) for start in starts]
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)
    before = {}
    with actviz_tb.watch(model, target, every=EVERY, probe=probe, probe_labels=labels, samples=3):
        for step in range(steps):
            if step % EVERY == 0:
                before[step] = copy.deepcopy(model)
            at = torch.randint(0, len(codes) - length - 1, (8,))
            given, wanted = (torch.stack([codes[start + by : start + by + length] for start in at.tolist()]) for by in (0, 1))
            descend(model(given).flatten(0, 1), wanted.flatten(), optimiser)
    return Trained(probe, before)


def train_volume(target: Path, steps: int = 6) -> Trained:
    """Train a Conv3d network to tell balls from boxes."""
    torch.manual_seed(0)
    axis = torch.linspace(-1, 1, 10)
    grid = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"))

    def batch(count: int) -> tuple[Tensor, Tensor]:
        offset = grid[None] - (torch.rand(count, 3, 1, 1, 1) * 0.8 - 0.4)
        kinds = torch.randint(0, 2, (count,))
        balls, boxes = offset.square().sum(1).sqrt() < 0.5, offset.abs().amax(1) < 0.4
        return torch.where(kinds[:, None, None, None] == 0, balls, boxes).float()[:, None], kinds

    model = nn.Sequential(nn.Conv3d(1, 6, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(6, 2))
    return fit(model, target, batch, steps)


def train_signal(target: Path, steps: int = 6) -> Trained:
    """Train a Conv1d network to tell sines from squares."""
    torch.manual_seed(0)
    time = torch.linspace(0, 6.28, 48)

    def batch(count: int) -> tuple[Tensor, Tensor]:
        kinds = torch.randint(0, 2, (count,))
        wave = torch.sin((torch.rand(count, 1) * 3 + 2) * time)
        return torch.where(kinds[:, None] == 0, wave, wave.sign())[:, None], kinds

    model = nn.Sequential(nn.Conv1d(1, 5, 7, padding=3), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(5, 2))
    return fit(model, target, batch, steps)


DIES, REVIVES = 8, 16
DEAD, REVIVED = range(2, 6), range(4, 6)
"""Channels that a large negative bias kills at the step DIES, and those that it leaves again at REVIVES."""


def train_dying(target: Path, steps: int = 24, scale: float = 1.0, probed: bool = True) -> Trained:
    """Train a small CNN some of whose channels die, and some of those revive; without a probe where not `probed`."""
    torch.manual_seed(0)
    images, kinds = torch.randn(32, 1, 12, 12) * scale, torch.randint(0, 3, (32,))
    model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(800, 3))
    bias = model[0].bias
    assert isinstance(bias, nn.Parameter)

    def between(step: int) -> None:
        with torch.no_grad():
            for at, channels, by in ((DIES, DEAD, -100 * scale), (REVIVES, REVIVED, 100 * scale)):
                if step == at:
                    bias[list(channels)] += by

    return fit(model, target, lambda count: (images[:count], kinds[:count]), steps, between, probed)


def fit(
    model: nn.Module,
    target: Path,
    batch: Batch,
    steps: int,
    between: Callable[[int], None] = lambda step: None,
    probed: bool = True,
) -> Trained:
    """Train, watched with a probe of four samples, or with none; `between` is called before each step."""
    probe, kinds = batch(4)
    options: dict[str, Any] = {"probe": probe, "probe_labels": [f"kind {kind}" for kind in kinds]} if probed else {}
    optimiser = torch.optim.SGD(model.parameters(), 0.02)
    before = {}
    with actviz_tb.watch(model, target, every=EVERY, samples=4, **options):
        for step in range(steps):
            between(step)
            if step % EVERY == 0:
                before[step] = copy.deepcopy(model)
            given, wanted = batch(32)
            descend(model(given), wanted, optimiser)
    return Trained(probe, before)


def descend(logits: Tensor, wanted: Tensor, optimiser: torch.optim.Optimizer) -> None:
    optimiser.zero_grad()
    nn.functional.cross_entropy(logits, wanted).backward()
    optimiser.step()


def outputs(trained: Trained, step: int, depth: int) -> np.ndarray:
    """Return what the first `depth` modules of a sequence put out for the probe before a step, float64."""
    model = trained.before[step]
    assert isinstance(model, nn.Sequential)
    with torch.no_grad():
        return np.asarray(copy.deepcopy(model[:depth]).double()(trained.probe.double()).numpy())
