"""A training loop that already has a SummaryWriter: the one-line change.

    python examples/existing_writer.py --logdir runs/existing

The activations go through the loop's own writer, into its own event file.
"""

import argparse
from pathlib import Path

import torch
from digits_cnn import DigitsCNN, load_data
from torch.nn.functional import cross_entropy
from torch.utils.tensorboard import SummaryWriter

import actviz_tb


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--logdir", type=Path, default=Path("runs/existing"))
    parser.add_argument("--steps", type=int, default=200)
    arguments = parser.parse_args()

    torch.manual_seed(0)
    images, labels = load_data()
    model = DigitsCNN()
    optimizer = torch.optim.Adam(model.parameters())
    writer = SummaryWriter(str(arguments.logdir))

    actviz_tb.watch(model, writer)  # the one line

    for step in range(arguments.steps):
        batch = torch.randint(len(images), (64,))
        loss = cross_entropy(model(images[batch]), labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        writer.add_scalar("loss", loss.item(), step)
    writer.close()
    print(f"loss {loss:.3f}; see: tensorboard --logdir {arguments.logdir}")


if __name__ == "__main__":
    main()
