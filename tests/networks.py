"""Three small networks on real data: a CNN on digits, a ResNet on patches of photographs, a transformer on text."""

from __future__ import annotations

import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from sklearn.datasets import load_digits, load_sample_images
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, scaled_dot_product_attention

CONTEXT = 32
VOCABULARY = 128
Activation = Callable[[], nn.Module]


class Faulty(nn.Module):
    """What a fault can be planted in: its input becomes NaN, or its output a constant, while the flag is set."""

    def __init__(self) -> None:
        super().__init__()
        self.poisoned = False
        self.constant = False

    def given(self, x: Tensor) -> Tensor:
        return x * float("nan") if self.poisoned else x

    def put_out(self, x: Tensor) -> Tensor:
        return x.mean(0, keepdim=True).expand_as(x) if self.constant else x


class ConvBlock(Faulty):
    def __init__(self, inputs: int, outputs: int, activation: Activation) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm = nn.BatchNorm2d(outputs)
        self.act = activation()

    def forward(self, x: Tensor) -> Tensor:
        return self.put_out(self.act(self.norm(self.conv(self.given(x)))))


class DigitsCNN(nn.Module):
    """8 x 8 digits; 3 convolutions."""

    def __init__(self, activation: Activation) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, padding=1)
        self.act1 = activation()
        self.block1 = ConvBlock(8, 16, activation)
        self.pool = nn.MaxPool2d(2)
        self.block2 = ConvBlock(16, 16, activation)
        self.fc1 = nn.Linear(16 * 16, 32)
        self.act2 = activation()
        self.fc2 = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.block2(self.pool(self.block1(self.act1(self.conv1(x)))))
        return self.fc2(self.act2(self.fc1(x.flatten(1))))


class ResidualBlock(Faulty):
    def __init__(self, inputs: int, outputs: int, stride: int, activation: Activation) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.act1 = activation()
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.skip = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
        self.act2 = activation()

    def forward(self, x: Tensor) -> Tensor:
        x = self.given(x)
        y = self.bn2(self.conv2(self.act1(self.bn1(self.conv1(x)))))
        return self.put_out(self.act2(y + self.skip(x)))


class SmallResNet(nn.Module):
    """32 x 32 colour patches; which way up is it?"""

    def __init__(self, activation: Activation) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, 1)
        self.block1 = ResidualBlock(8, 8, 1, activation)
        self.block2 = ResidualBlock(8, 16, 2, activation)
        self.block3 = ResidualBlock(16, 16, 2, activation)
        self.head = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.block3(self.block2(self.block1(self.stem(x))))
        return self.head(x.mean((2, 3)))


class TransformerBlock(Faulty):
    def __init__(self, width: int, activation: Activation) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.act = activation()
        self.down = nn.Linear(4 * width, width)
        self.drop = nn.Dropout(0.1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.given(x)
        batch, length, width = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(batch, length, 3, 2, width // 2).permute(2, 0, 3, 1, 4)
        attended = scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(x.shape)
        x = x + self.out(attended)
        return self.put_out(x + self.drop(self.down(self.act(self.up(self.norm2(x))))))


class SmallTransformer(nn.Module):
    """The next character of Python's own sources."""

    def __init__(self, activation: Activation) -> None:
        super().__init__()
        self.tokens = nn.Embedding(VOCABULARY, 32)
        self.positions = nn.Parameter(0.02 * torch.randn(CONTEXT, 32))
        self.block1 = TransformerBlock(32, activation)
        self.block2 = TransformerBlock(32, activation)
        self.norm = nn.LayerNorm(32)
        self.head = nn.Linear(32, VOCABULARY)

    def forward(self, x: Tensor) -> Tensor:
        x = self.block2(self.block1(self.tokens(x) + self.positions))
        return self.head(self.norm(x))


@dataclass(frozen=True)
class Task:
    """A network with its data.

    Attributes:
        build: makes the network with an activation. batch: draws inputs and targets. optimizer: over parameter groups.
        label: what one sample is called, given its input and target; the characters of a text.
        relu, spoiled, poisoned, modal, wide: modules that the faults are planted in. poisoned_first: the poisoned block's first.
    """

    build: Callable[[Activation], nn.Module]
    batch: Callable[[torch.Generator, int], tuple[Tensor, Tensor]]
    optimizer: Callable[[list[dict[str, object]]], torch.optim.Optimizer]
    label: Callable[[Tensor, Tensor], str | list[str]]
    before_relu: str
    relu: str
    spoiled: str
    poisoned: str
    poisoned_first: str
    modal: str
    wide: str
    first_act: str


@cache
def _digits() -> tuple[Tensor, Tensor]:
    digits = load_digits()
    return torch.from_numpy(digits.images).float()[:, None] / 16, torch.from_numpy(digits.target)


def digits_batch(generator: torch.Generator, size: int) -> tuple[Tensor, Tensor]:
    images, labels = _digits()
    chosen = torch.randint(len(images), (size,), generator=generator)
    return images[chosen], labels[chosen]


@cache
def _photographs() -> Tensor:
    return torch.stack([torch.from_numpy(image.copy()) for image in load_sample_images().images]).permute(0, 3, 1, 2).float() / 127.5 - 1


def patches_batch(generator: torch.Generator, size: int) -> tuple[Tensor, Tensor]:
    """Return 32 x 32 patches, turned by as many quarters as the targets say."""
    photographs = _photographs()
    height, width = photographs.shape[2:]
    turns = torch.randint(4, (size,), generator=generator)
    patches = []
    for turn in turns.tolist():
        at = [int(torch.randint(most, (), generator=generator)) for most in (len(photographs), height - 32, width - 32)]
        patches.append(torch.rot90(photographs[at[0], :, at[1] : at[1] + 32, at[2] : at[2] + 32], turn, (1, 2)))
    return torch.stack(patches), turns


@cache
def _text() -> Tensor:
    library = Path(sysconfig.get_paths()["stdlib"])
    sources = "".join((library / name).read_text() for name in ("argparse.py", "ast.py", "inspect.py", "textwrap.py"))
    return torch.tensor([min(ord(character), VOCABULARY - 1) for character in sources])


def text_batch(generator: torch.Generator, size: int) -> tuple[Tensor, Tensor]:
    text = _text()
    starts = torch.randint(len(text) - CONTEXT - 1, (size,), generator=generator)
    windows = text[starts[:, None] + torch.arange(CONTEXT + 1)]
    return windows[:, :-1], windows[:, 1:]


def loss_of(outputs: Tensor, targets: Tensor) -> Tensor:
    return cross_entropy(outputs.float().flatten(0, -2), targets.flatten())


TASKS = {
    "digits CNN": Task(
        DigitsCNN,
        digits_batch,
        lambda groups: torch.optim.SGD(groups, lr=0.02, momentum=0.9),
        lambda image, digit: str(int(digit)),
        "fc1",
        "act2",
        "fc1",
        "block2",
        "block2.conv",
        "block1.norm",
        "block2.conv",
        "block1.act",
    ),
    "ResNet on patches": Task(
        SmallResNet,
        patches_batch,
        lambda groups: torch.optim.Adam(groups, lr=1e-3),
        lambda patch, quarters: f"{90 * int(quarters)}°",
        "block2.bn1",
        "block2.act1",
        "block2.conv2",
        "block2",
        "block2.conv1",
        "block2.bn1",
        "block3.conv1",
        "block1.act1",
    ),
    "transformer on text": Task(
        SmallTransformer,
        text_batch,
        lambda groups: torch.optim.AdamW(groups, lr=1e-3),
        lambda text, targets: [chr(code) for code in text.tolist()],
        "block1.up",
        "block1.act",
        "block1.down",
        "block2",
        "block2.norm1",
        "block1.drop",
        "block2.up",
        "block1.act",
    ),
}
