"""The four models that are measured, each with one batch and a training step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


class SmallCNN(nn.Module):
    """Three convolutions and a head, as in a beginner's article."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3)
        self.relu = nn.ReLU()
        self.pool = nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(16, 32, 3)
        self.fc1 = nn.Linear(32 * 5 * 5, 128)
        self.fc2 = nn.Linear(128, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.relu(self.conv1(x)))
        x = self.pool(self.relu(self.conv2(x)))
        return self.fc2(self.relu(self.fc1(x.flatten(1))))


class BasicBlock(nn.Module):
    def __init__(self, before: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        changes = stride != 1 or before != channels
        self.downsample = nn.Sequential(nn.Conv2d(before, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)) if changes else None

    def forward(self, x: Tensor) -> Tensor:
        skipped = x if self.downsample is None else self.downsample(x)
        x = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        x += skipped
        return self.relu(x)


class ResNet18(nn.Module):
    """He et al. 2015; `small` leaves out what halves the size twice at the start, for 32 x 32."""

    def __init__(self, classes: int, *, small: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False) if small else nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.Identity() if small else nn.MaxPool2d(3, 2, 1)
        sizes = [(64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2)]
        self.layers = nn.ModuleList(nn.Sequential(BasicBlock(a, b, s), BasicBlock(b, b, 1)) for a, b, s in sizes)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(512, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for layer in self.layers:
            x = layer(x)
        return self.fc(self.avgpool(x).flatten(1))


class Bottleneck(nn.Module):
    def __init__(self, before: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, 4 * channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * channels)
        self.relu = nn.ReLU(inplace=True)
        changes = stride != 1 or before != 4 * channels
        self.downsample = (
            nn.Sequential(nn.Conv2d(before, 4 * channels, 1, stride, bias=False), nn.BatchNorm2d(4 * channels)) if changes else None
        )

    def forward(self, x: Tensor) -> Tensor:
        skipped = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.bn3(self.conv3(self.relu(self.bn2(self.conv2(x)))))
        x += skipped
        return self.relu(x)


class ResNet50(nn.Module):
    """He et al. 2015, with the stride in the 3x3 convolution."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self.conv1, self.bn1, self.relu = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        layers, before = [], 64
        for channels, blocks, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
            rest = [Bottleneck(4 * channels, channels, 1) for _ in range(blocks - 1)]
            layers.append(nn.Sequential(Bottleneck(before, channels, stride), *rest))
            before = 4 * channels
        self.layers, self.avgpool, self.fc = nn.ModuleList(layers), nn.AdaptiveAvgPool2d(1), nn.Linear(2048, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for layer in self.layers:
            x = layer(x)
        return self.fc(self.avgpool(x).flatten(1))


class Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.gelu, self.down = nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.qkv(self.norm1(x)).chunk(3, -1))
        attended = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.out(attended.transpose(1, 2).flatten(2))
        return x + self.down(self.gelu(self.up(self.norm2(x))))


class Transformer(nn.Module):
    """A decoder as GPT's."""

    def __init__(self, layers: int = 6, width: int = 384, heads: int = 6, length: int = 256, tokens: int = 256) -> None:
        super().__init__()
        self.embedding = nn.Embedding(tokens, width)
        self.position = nn.Parameter(torch.randn(length, width) * 0.02)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, tokens)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embedding(x) + self.position[: x.shape[1]]
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x)).flatten(0, 1)


@dataclass(frozen=True, slots=True)
class Workload:
    """A model, its batch, and about how long a bare step takes on two cores."""

    title: str
    model: Callable[[], nn.Module]
    batch: Callable[[], tuple[Tensor, Tensor]]
    step_s: float


def _images(count: int, channels: int, size: int, classes: int) -> tuple[Tensor, Tensor]:
    return torch.randn(count, channels, size, size), torch.randint(classes, (count,))


WORKLOADS = {
    "cnn": Workload("small CNN, 28x28, batch 64", SmallCNN, lambda: _images(64, 1, 28, 10), 0.01),
    "r32": Workload("ResNet-18, 32x32, batch 64", lambda: ResNet18(10, small=True), lambda: _images(64, 3, 32, 10), 1.2),
    "r224": Workload("ResNet-18, 224x224, batch 4", lambda: ResNet18(1000, small=False), lambda: _images(4, 3, 224, 1000), 0.3),
    "gpt": Workload(
        "transformer, 6 layers, d=384, T=256, batch 4",
        Transformer,
        lambda: (torch.randint(256, (4, 256)), torch.randint(256, (4 * 256,))),
        0.5,
    ),
}


class Trainer:
    """One model in training; `step` is what is timed."""

    def __init__(self, workload: Workload) -> None:
        torch.manual_seed(0)
        self.model = workload.model()
        self.batch = workload.batch()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=1e-3, momentum=0.9)
        self.after_backward: Callable[[Tensor], object] = lambda loss: None
        """For tools that want to be called with the loss before the optimizer's step."""

    def step(self) -> None:
        x, target = self.batch
        self.optimizer.zero_grad()
        loss = functional.cross_entropy(self.model(x), target)
        loss.backward()
        self.after_backward(loss)
        self.optimizer.step()
