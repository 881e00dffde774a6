"""Attention that modules compute themselves: by a softmax, or by whatever they return."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from attending import assert_attends, entropies, float64, softmax
from forward import assert_shows, watched
from torch import Tensor, nn
from torch.nn import functional as F

from actviz_tb import attention
from actviz_tb.maps import Limits
from actviz_tb.recording import PendingRecording, PendingStatistics


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 2


class Calls(nn.Module):
    """Calls a function on what it is given."""

    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(x)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: torch.softmax(x, -1),
        lambda x: torch.softmax(x, 3),
        lambda x: torch.softmax(input=x, dim=-1),
        lambda x: torch.softmax(x, -1, torch.float64),
        lambda x: torch.special.softmax(x, -1),
        lambda x: F.softmax(x, -1),
        lambda x: F.softmax(x, dim=-1, dtype=torch.float32),
        lambda x: F.softmax(input=x, dim=3),
        lambda x: x.softmax(-1),
        lambda x: x.softmax(dim=-1, dtype=torch.float32),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_softmax_over_the_keys_is_attention_however_it_is_called(
    tmp_path: Path, function: Callable[[Tensor], Tensor], dtype: torch.dtype
) -> None:
    logits = random(3, 2, 5, 7).to(dtype)
    run = watched(tmp_path, nn.Sequential(Calls(function)), logits)
    assert list(run.attention()) == ["0/softmax"]
    assert_attends(run.attention()["0/softmax"], float64(logits))


def test_a_softmax_layer_is_attention_under_its_own_name(tmp_path: Path) -> None:
    logits = random(3, 2, 5, 7)
    run = watched(tmp_path, nn.Sequential(nn.Identity(), nn.Softmax(dim=-1), nn.Softmax(dim=3)), logits)
    assert list(run.attention()) == ["1", "2"]
    assert_attends(run.attention()["1"], float64(logits))


@pytest.mark.parametrize("number", [-math.inf, -1e4, torch.finfo(torch.float32).min])
def test_masked_logits_get_no_weight(tmp_path: Path, number: float) -> None:
    logits, causal = random(3, 2, 5, 5), torch.ones(5, 5, dtype=torch.bool).triu(1)
    run = watched(tmp_path, Calls(lambda x: F.softmax(x.masked_fill(causal, number), -1)), logits)
    record = run.attention()["softmax"]
    assert_attends(record, np.where(causal.numpy(), number, float64(logits)))
    shown = record.arrays["low"][..., None, None] + record.arrays["data"]
    assert (shown[..., causal.numpy()] == 0).all()


def test_one_head_of_self_attention_needs_no_axis_for_it(tmp_path: Path) -> None:
    logits = random(3, 5, 5)
    run = watched(tmp_path, Calls(lambda x: torch.softmax(x, -1)), logits)
    assert_attends(run.attention()["softmax"], float64(logits)[:, None])


@pytest.mark.parametrize(
    ("shape", "axis"), [((3, 2, 5, 5), 1), ((3, 2, 5, 5), -2), ((3, 5, 5), 1), ((3, 5, 10), -1), ((5, 5), -1), ((3, 1, 1), -1)], ids=str
)
def test_other_softmaxes_are_not_taken_for_attention(tmp_path: Path, shape: tuple[int, ...], axis: int) -> None:
    assert watched(tmp_path, Calls(lambda x: torch.softmax(x, axis)), random(*shape)).attention() == {}


def test_each_softmax_has_the_name_of_its_record(tmp_path: Path) -> None:
    def block(x: Tensor) -> Tensor:
        gates = torch.softmax(x.mean((2, 3)), -1)
        return torch.softmax(x, -1) * gates[..., None, None]

    run = watched(tmp_path, nn.Sequential(Calls(block)), random(3, 2, 5, 7))
    assert run.layers() == ["0/softmax", "0/softmax:1", "0"]
    assert list(run.attention()) == ["0/softmax:1"]


def test_a_long_sequence_keeps_fewer_samples_and_queries(tmp_path: Path) -> None:
    logits = random(3, 2, 600, 500)
    kept = attention.MAX_LOGITS // (2 * 500)
    run = watched(tmp_path, Calls(lambda x: torch.softmax(x, -1)), logits, max_size=600)
    assert_attends(run.attention()["softmax"], float64(logits), samples=1, queries=[index * 600 // kept for index in range(kept)])


class Weighs(nn.Module):
    """Attention without a softmax: returns its output and its weights."""

    def __init__(self, form: Callable[[Tensor, Tensor], Any] = lambda output, weights: (output, weights), heads: int = 2) -> None:
        super().__init__()
        self.form, self.heads, self.project = form, heads, nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Any:
        h = self.project(x)
        if self.heads:
            h = h.unflatten(-1, (self.heads, -1)).transpose(1, 2)
        raised = (h @ h.mT).exp()
        weights = raised / raised.sum(-1, keepdim=True)
        return self.form(x, weights)


def weights_of(module: Weighs, x: Tensor) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the weights [N, H, T, T] that the module gives, in float64."""
    h = float64(x) @ float64(module.project.weight).T + float64(module.project.bias)
    h = h.reshape(len(x), x.shape[1], max(module.heads, 1), -1).swapaxes(1, 2)
    return softmax(h @ h.swapaxes(-1, -2))


@dataclass
class Output:
    hidden: Tensor
    attentions: tuple[Tensor, ...]


@pytest.mark.parametrize("heads", [0, 2])
@pytest.mark.parametrize(
    ("form", "name"),
    [
        (lambda output, weights: (output, weights), "0[1]"),
        (lambda output, weights: {"hidden": output, "weights": weights}, "0.weights"),
        (lambda output, weights: Output(output, (weights,)), "0.attentions[0]"),
        (lambda output, weights: [weights.bfloat16()], "0[0]"),
    ],
    ids=["tuple", "mapping", "dataclass", "half"],
)
def test_weights_that_a_module_returns_are_attention_under_the_name_of_the_part(
    tmp_path: Path, form: Callable[[Tensor, Tensor], Any], name: str, heads: int
) -> None:
    model, x = nn.Sequential(Weighs(form, heads)), random(3, 5, 8) / 4
    run = watched(tmp_path, model, x, samples=2)
    assert list(run.attention()) == [name]
    assert name in run.layers()
    record, expected = run.attention()[name], weights_of(model[0], x)  # type: ignore[arg-type]
    half = "weights" not in name and name == "0[0]"
    assert record.header["shape"] == list(expected.shape)
    assert_shows(record, torch.tensor(expected[:2]).bfloat16() if half else expected[:2])
    np.testing.assert_allclose(record.arrays["entropy"], entropies(expected[:2]), rtol=1e-2 if half else 1e-5)
    assert np.isnan(record.arrays["largest_logit"]).all()


def test_weights_of_a_module_that_is_mapped_over_the_samples_are_of_all_of_them(tmp_path: Path) -> None:
    class Mapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = Weighs(heads=0)

        def forward(self, x: Tensor) -> Tensor:
            return torch.func.vmap(self.attention)(x)[0]  # type: ignore[no-any-return]

    model, x = Mapped(), random(3, 5, 8) / 4
    run = watched(tmp_path, model, x)
    assert list(run.attention()) == ["attention[1]"]
    assert_shows(run.attention()["attention[1]"], weights_of(model.attention, x))


def test_weights_that_a_block_passes_on_are_recorded_once(tmp_path: Path) -> None:
    class Passes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention, self.norm = Weighs(), nn.LayerNorm(8)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            output, weights = self.attention(x)
            return self.norm(output), weights

    assert list(watched(tmp_path, nn.Sequential(Passes()), random(3, 5, 8) / 4).attention()) == ["0.attention[1]"]


def test_weights_of_a_softmax_are_recorded_where_they_are_made_and_not_again_where_they_are_returned(tmp_path: Path) -> None:
    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.project = nn.Linear(8, 8)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            h = self.project(x).unflatten(-1, (2, -1)).transpose(1, 2)
            weights = F.softmax(h @ h.mT, -1)
            return x + (weights @ h).transpose(1, 2).flatten(2), weights

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList([Layer(), Layer()])

        def forward(self, x: Tensor) -> dict[str, Any]:
            attentions = []
            for layer in self.layers:
                x, weights = layer(x)
                attentions.append(weights)
            return {"hidden": x, "attentions": tuple(attentions)}

    assert list(watched(tmp_path, Model(), random(3, 5, 8)).attention()) == ["layers.0/softmax", "layers.1/softmax"]


@pytest.mark.parametrize(
    "output",
    [
        lambda x: (x, torch.rand(3, 2, 5, 5)),
        lambda x: (x, torch.full((3, 2, 5, 4), 0.25) - torch.tensor([1.0, -1, 0, 0])),
        lambda x: (x, torch.zeros(3, 2, 5, 5)),
        lambda x: (x, torch.full((3, 2, 5, 5), math.nan)),
        lambda x: (x, torch.ones(3, 2, 5, 1)),
        lambda x: (x, x.mean(-1, keepdim=True).expand(3, 5, 10).softmax(-1)),
        lambda x: (x, torch.ones(3, 2, 5, 4, dtype=torch.long)),
        lambda x: (x, torch.full((5, 4), 0.25)),
        lambda x: torch.full((3, 2, 5, 4), 0.25),
    ],
    ids=["sums", "negative", "nothing", "nan", "one key", "classes", "whole numbers", "no samples", "a bare output"],
)
def test_other_parts_of_an_output_are_not_taken_for_weights(tmp_path: Path, output: Callable[[Tensor], Any]) -> None:
    assert watched(tmp_path, nn.Sequential(Calls(output)), random(3, 5, 8)).attention() == {}


def test_rows_without_any_weight_are_queries_that_look_at_nothing(tmp_path: Path) -> None:
    def masked(x: Tensor) -> tuple[Tensor, Tensor]:
        weights = torch.full((3, 2, 5, 4), 0.25)
        weights[:, :, 3] = 0
        return x, weights

    record = watched(tmp_path, nn.Sequential(Calls(masked)), random(3, 5, 8)).attention()["0[1]"]
    np.testing.assert_allclose(record.arrays["entropy"], math.log(4), rtol=1e-6)


def test_what_was_not_proved_at_once_is_dropped_once_the_device_has_answered() -> None:
    found = attention.of_returned(torch.full((3, 2, 5, 4), 0.25), (), Limits(4, 16, 64))
    assert found is not None
    proofs = {"proved": torch.tensor(True), "refuted": torch.tensor(False), "recomputed": None}
    kept = {name: replace(found, proof=proof) for name, proof in proofs.items()}
    host = PendingRecording(PendingStatistics({}), {}, {}, {}, kept).to_host()
    assert list(host.attention) == ["proved", "recomputed"]
    np.testing.assert_allclose(host.attention["recomputed"].entropy, math.log(4), rtol=1e-6)
