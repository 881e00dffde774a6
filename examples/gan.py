"""Two models that train each other, in one run: a GAN on the 8 x 8 digits of scikit-learn.

    python examples/gan.py --logdir runs/gan

Each has its own name and probe; the tab's views Propagation and Similarity are of the one whose layer is chosen.
"""

import argparse
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import softplus
from torch.utils.tensorboard import SummaryWriter

import actviz_tb

LATENT = 16


def make_generator() -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(LATENT, 128),
        nn.BatchNorm1d(128),
        nn.ReLU(),
        nn.Unflatten(1, (32, 2, 2)),
        nn.ConvTranspose2d(32, 16, 4, 2, 1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.ConvTranspose2d(16, 1, 4, 2, 1),
        nn.Tanh(),
    )


def make_discriminator() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, 1, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(16, 32, 3, 2, 1),
        nn.LeakyReLU(0.2),
        nn.Flatten(),
        nn.Linear(512, 1),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--logdir", type=Path, default=Path("runs/gan"))
    parser.add_argument("--steps", type=int, default=300)
    arguments = parser.parse_args()

    torch.manual_seed(0)
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 8 - 1  # from -1 to 1
    generator, discriminator = make_generator(), make_discriminator()
    of_generator, of_discriminator = (torch.optim.Adam(each.parameters(), 1e-3, (0.5, 0.999)) for each in (generator, discriminator))
    writer = SummaryWriter(str(arguments.logdir))
    step = 0
    options = {"every": 10, "samples": 8, "step": lambda: step}  # both count the loop's own steps
    actviz_tb.watch(generator, writer, name="generator", probe=torch.randn(8, LATENT), **options)
    actviz_tb.watch(discriminator, writer, name="discriminator", probe=images[:8], probe_labels=digits.target[:8], **options)

    for step in range(arguments.steps):
        real = images[torch.randint(len(images), (64,))]
        made = generator(torch.randn(64, LATENT))
        of_discriminator.zero_grad()
        (softplus(-discriminator(real)).mean() + softplus(discriminator(made.detach())).mean()).backward()
        of_discriminator.step()
        of_generator.zero_grad()
        loss = softplus(-discriminator(made)).mean()
        loss.backward()
        of_generator.step()
        writer.add_scalar("loss/generator", loss.item(), step)
    writer.close()
    print(f"loss {loss:.3f}; see: tensorboard --logdir {arguments.logdir}")


if __name__ == "__main__":
    main()
