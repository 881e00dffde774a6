"""A small GAN whose two models, with a probe each, write to one run."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

import actviz_tb

STEPS = 5
FROZEN_AT = 3
NAMES = ("generator", "discriminator")
LATENT = [f"latent {index}" for index in range(6)]
PICTURES = [f"picture {index}" for index in range(8)]


def make(name: str) -> nn.Sequential:
    torch.manual_seed(NAMES.index(name))
    if name == "generator":
        return nn.Sequential(nn.Linear(5, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 64), nn.Unflatten(1, (1, 8, 8)))
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(108, 1))


def probe(name: str) -> Tensor:
    return torch.randn((6, 5) if name == "generator" else (8, 1, 8, 8), generator=torch.Generator().manual_seed(NAMES.index(name)))


def train(directory: Path, watched: Sequence[str], steps: range = range(STEPS), probed: Sequence[str] = NAMES) -> None:
    """Train as one does a GAN: each step the discriminator on a real and a made batch, then the generator through the discriminator."""
    generator, discriminator = make("generator"), make("discriminator")
    models = {"generator": generator, "discriminator": discriminator}
    optimizers = [torch.optim.SGD(model.parameters(), 0.01) for model in models.values()]
    labels = {"generator": LATENT, "discriminator": PICTURES}
    batches, at = torch.Generator().manual_seed(9), steps.start
    with SummaryWriter(str(directory)) as writer, ExitStack() as loggers:
        for name in watched:
            fixed = {"probe": probe(name), "probe_labels": labels[name]} if name in probed else {}
            loggers.enter_context(actviz_tb.watch(models[name], writer, every=1, name=name, step=lambda: at, **fixed))
        for at in steps:
            generator.train()
            if at == FROZEN_AT:
                generator[1].eval()
            real, z = torch.randn(8, 1, 8, 8, generator=batches), torch.randn(8, 5, generator=batches)
            for optimizer in optimizers:
                optimizer.zero_grad()
            made = generator(z)
            loss = nn.functional.softplus(-discriminator(real)).mean() + nn.functional.softplus(discriminator(made.detach())).mean()
            loss.backward()
            optimizers[1].step()
            nn.functional.softplus(-discriminator(made)).mean().backward()
            optimizers[0].step()
