"""Train a small CNN on handwritten digits, twice, and log its activations with one call.

    python examples/digits_cnn.py --logdir runs/digits
    tensorboard --logdir runs/digits

The data are scikit-learn's 1,797 handwritten digits (8 x 8 pixels, scaled to 28 x 28). The second run's learning rate is too
high: in the tab Activations, its first ReLU dies within an epoch.
"""

import argparse
import shlex
import sys
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate

import actviz_tb


class DigitsCNN(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, kernel_size=3)  # 28 x 28 -> 26 x 26
        self.relu1 = nn.ReLU()
        self.pool1 = nn.MaxPool2d(2)  # 26 x 26 -> 13 x 13
        self.fc1 = nn.Linear(16 * 13 * 13, 128)
        self.relu2 = nn.ReLU()
        self.fc2 = nn.Linear(128, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool1(self.relu1(self.conv1(x)))
        return self.fc2(self.relu2(self.fc1(x.flatten(1))))


def load_data() -> tuple[Tensor, Tensor]:
    """Return images, float32 [1797, 1, 28, 28] in 0..1, and their labels."""
    digits = load_digits()
    images = torch.from_numpy(digits.images).float()[:, None] / 16
    return interpolate(images, size=(28, 28), mode="bilinear"), torch.from_numpy(digits.target)


def probe_of_each_digit(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return one image of each digit, 0 to 9."""
    first = torch.stack([(labels == digit).nonzero()[0, 0] for digit in range(10)])
    return images[first], labels[first]


def train(logdir: Path, learning_rate: float, epochs: int) -> None:
    torch.manual_seed(0)
    images, labels = load_data()
    held_out = 297
    probe, probe_labels = probe_of_each_digit(images[:held_out], labels[:held_out])
    images, labels = images[held_out:], labels[held_out:]

    model = DigitsCNN()
    optimizer = torch.optim.SGD(model.parameters(), lr=learning_rate, momentum=0.9)
    logger = actviz_tb.watch(model, logdir, every=5, probe=probe, probe_labels=probe_labels, samples=10)
    for epoch in range(epochs):
        logger.mark(f"epoch {epoch}")
        torch.save(model.state_dict(), logdir / f"before-epoch-{epoch}.pt")
        for batch in torch.randperm(len(images)).split(60):
            loss = cross_entropy(model(images[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            accuracy = (model(probe).argmax(1) == probe_labels).float().mean()
        print(f"{logdir.name}  epoch {epoch}  loss {loss:.3f}  digits of the probe right: {accuracy:.0%}")
    logger.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--logdir", type=Path, default=Path("runs/digits"))
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--learning-rates", type=float, nargs="+", default=[0.05, 0.2])
    parser.add_argument("--no-hint", action="store_true", help="do not say how to see the log")
    arguments = parser.parse_args()
    for learning_rate in arguments.learning_rates:
        train(arguments.logdir / f"lr-{learning_rate:g}", learning_rate, arguments.epochs)
    if not arguments.no_hint:
        python = Path(sys.executable)
        python = python.relative_to(Path.cwd()) if python.is_relative_to(Path.cwd()) else python
        print(f"\nTo see it: {shlex.join([str(python), '-m', 'tensorboard.main', '--logdir', str(arguments.logdir)])}")
        print("then open http://localhost:6006/#actviz, the tab Activations: its list of findings says what went wrong, and since when")


if __name__ == "__main__":
    main()
