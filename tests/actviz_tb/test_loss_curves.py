"""A seeded training is the same to the last bit with and without watching, whatever is recorded."""

from pathlib import Path
from typing import Any

import pytest
import torch
from logged import records
from torch import Tensor, nn

import actviz_tb
from actviz_tb import native

STEPS = 50


class Model(nn.Module):
    """Convolution, BatchNorm, in-place ReLU, both kinds of attention, dropout by module and by function, skip connections, an LSTM."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.relu = nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(inplace=True)
        self.attention = nn.MultiheadAttention(8, 2, dropout=0.1, batch_first=True)
        self.layer_norm, self.project = nn.LayerNorm(8), nn.Linear(8, 24)
        self.lstm, self.dropout, self.head = nn.LSTM(8, 8, batch_first=True), nn.Dropout(0.3), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.norm(self.conv(x))).flatten(2).transpose(1, 2)
        x = x + self.attention(x, x, x, need_weights=False)[0]
        query, key, value = self.project(self.layer_norm(x)).unflatten(-1, (3, 2, 4)).permute(2, 0, 3, 1, 4)
        attended = nn.functional.scaled_dot_product_attention(query, key, value, dropout_p=0.1 if self.training else 0.0)
        x = x + nn.functional.dropout(nn.functional.gelu(attended.transpose(1, 2).flatten(2)), 0.2, self.training)
        return self.head(self.dropout(self.lstm(x)[0].mean(1)))


def batch(seed: int, rows: int = 6) -> Tensor:
    return torch.randn(rows, 1, 6, 6, generator=torch.Generator().manual_seed(seed))


def training(directory: Path | None = None, steps: int = STEPS, **options: Any) -> tuple[list[float], dict[str, bytes]]:
    """Return the losses, and all that is left: parameters, buffers, gradients, the optimizer's momenta, the random state."""
    torch.manual_seed(11)
    model = Model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
    logger = None if directory is None else actviz_tb.watch(model, directory, on_error="raise", **options)
    losses = []
    for step in range(steps):
        loss = nn.functional.cross_entropy(model(batch(step)), torch.arange(6) % 3)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if step % 20 == 19:
            model.eval()
            with torch.no_grad():
                losses.append(model(batch(1000 + step)).sum().item())
            model.train()
    if logger is not None:
        logger.close()
    left = {**model.state_dict(), "random state": torch.get_rng_state()}
    for name, parameter in model.named_parameters():
        left[f"gradient of {name}"], left[f"momentum of {name}"] = parameter.grad, optimizer.state[parameter]["momentum_buffer"]
    return losses, {name: tensor.detach().numpy().tobytes() for name, tensor in left.items()}


@pytest.fixture(scope="module")
def unwatched() -> tuple[list[float], dict[str, bytes]]:
    return training()


EVERYTHING: dict[str, Any] = {
    "every": 1,
    "gradients": True,
    "attention": True,
    "functional": True,
    "stock_tabs": True,
    "probe": batch(7, 4),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "by default": {},
    "everything at every step": EVERYTHING,
    "everything now and then": EVERYTHING | {"every": 7},
    "of the training batch": EVERYTHING | {"probe": None},
    "some layers, no maps": {"every": 1, "layers": ["attention", "l*"], "samples": 0, "gradients": True},
    "a limit on the cost": EVERYTHING | {"max_overhead": 0.05},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_losses_and_all_that_a_training_leaves_are_the_same_to_the_last_bit(
    tmp_path: Path, unwatched: tuple[list[float], dict[str, bytes]], options: dict[str, Any]
) -> None:
    assert training(tmp_path, **options) == unwatched


def test_nor_does_it_matter_whether_there_is_compiled_code(
    tmp_path: Path, unwatched: tuple[list[float], dict[str, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(native, "available", lambda: False)
    assert training(tmp_path, **EVERYTHING) == unwatched


def test_everything_is_recorded_meanwhile(tmp_path: Path) -> None:
    training(tmp_path, steps=2, **EVERYTHING)
    found = records(tmp_path)
    assert {tag.split("/")[1] for tag, _, _ in found} == {
        *("session", "model", "inputs", "step", "layer", "maps", "gradients", "gradient", "gram", "attention")
    }
    attended = {tag.removeprefix("actviz/attention/") for tag, _, _ in found if tag.startswith("actviz/attention/")}
    assert attended == {"attention", "scaled_dot_product_attention"}
    assert [step for tag, step, _ in found if tag == "actviz/step"] == [0, 1]
