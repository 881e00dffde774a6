"""Frozen transformer layers of torch compute on recorded steps what they compute on others, by the same fused kernels."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from forward import assert_shows, watched
from logged import hooks_of, of_tag
from torch import Tensor, nn

import actviz_tb


def layer(**options: Any) -> nn.TransformerEncoderLayer:
    return nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, **options)


class OwnLayer(nn.TransformerEncoderLayer):
    """A user's subclass with a forward of its own around torch's."""

    def forward(self, src: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return super().forward(src, *args, **kwargs) + 1


class Headed(nn.Module):
    """A head that learns on top of an encoder."""

    def __init__(self, encoder: nn.Module, frozen: bool = True) -> None:
        super().__init__()
        self.encoder, self.head = encoder, nn.Linear(8, 2)
        if frozen:
            encoder.requires_grad_(False)
        self.train()

    def train(self, mode: bool = True) -> "Headed":
        super().train(mode)
        self.encoder.eval()
        return self

    def forward(self, x: Tensor, padding: Tensor | None = None) -> Tensor:
        if isinstance(self.encoder, nn.MultiheadAttention):
            h = self.encoder(query=x, key=x, value=x, key_padding_mask=padding)[0]
        elif isinstance(self.encoder, nn.Sequential):
            h = self.encoder(x)
        else:
            h = self.encoder(x, src_key_padding_mask=padding)
        return self.head(h.mean(1))  # type: ignore[no-any-return]  # also over what is padded


ENCODERS: dict[str, Callable[[], nn.Module]] = {
    "attention": lambda: nn.MultiheadAttention(8, 2, batch_first=True),
    "layer": layer,
    "layers": lambda: nn.Sequential(layer(), layer()),
    "encoder": lambda: nn.TransformerEncoder(layer(), 2),
    "subclass": lambda: OwnLayer(8, 2, 16, batch_first=True),
    "encoder of subclass": lambda: nn.TransformerEncoder(OwnLayer(8, 2, 16, batch_first=True), 2),
}


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("name", ENCODERS)
def test_a_model_with_a_frozen_encoder_computes_the_same_to_the_last_bit(tmp_path: Path, name: str, padded: bool) -> None:
    torch.manual_seed(0)
    model, x = Headed(ENCODERS[name]()), torch.randn(3, 5, 8)
    padding = torch.arange(5) >= torch.tensor([[5], [3], [4]]) if padded else None
    expected = model(x, padding)
    run = watched(tmp_path, model, x, padding)
    assert torch.equal(run.output, expected)
    assert hooks_of(model) == 0
    assert not torch.nn.modules.module._has_any_global_hook()


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("attention", ["encoder[0]", "encoder[1]"]),
        ("layer", ["encoder"]),
        ("layers", ["encoder.0", "encoder.1"]),
        ("encoder", ["encoder"]),
    ],
)
def test_a_fused_layer_is_recorded_by_its_output_and_what_is_inside_is_listed_as_left_out(
    tmp_path: Path, name: str, layers: list[str]
) -> None:
    model, x = Headed(ENCODERS[name]()), torch.randn(3, 5, 8)
    output = model.encoder(x, x, x)[0] if name == "attention" else model.encoder(x)
    run = watched(tmp_path, model, x)
    assert run.layers() == [*layers, "head"]
    assert run.inputs()[layers[0]] == ["input"]
    assert run.inputs()["head"] == [layers[0] if name == "attention" else layers[-1]]
    assert_shows(of_tag(tmp_path, f"actviz/maps/{layers[0] if name == 'attention' else layers[-1]}")[0], output)
    inside = {path for path, module in model.named_modules() if path.startswith("encoder.") and path not in layers}
    inside -= {path for path in inside if path.endswith("layers")}  # a ModuleList is never called
    assert run.report.skipped == dict.fromkeys(inside, "inside a frozen transformer layer, which runs as one fused kernel")
    assert run.report.never_fired == []


@pytest.mark.parametrize("change", ["training", "trainable", "not batch first", "switched off"])
def test_what_torch_does_not_fuse_is_looked_into(tmp_path: Path, change: str) -> None:
    encoder = layer()
    if change == "not batch first":
        encoder = nn.TransformerEncoderLayer(8, 2, 16)
    model = Headed(encoder, frozen=change != "trainable")
    if change == "training":
        nn.Module.train(model)
    enabled = torch.backends.mha.get_fastpath_enabled()
    try:
        torch.backends.mha.set_fastpath_enabled(change != "switched off")
        run = watched(tmp_path, model, torch.randn(3, 5, 8))
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)
    assert {"encoder.self_attn[0]", "encoder/relu", "encoder.linear2", "encoder.norm2"} <= set(run.layers())
    assert list(run.attention()) == ["encoder.self_attn"]


@pytest.mark.parametrize("name", ["attention", "layer", "layers", "encoder"])
@pytest.mark.parametrize("padded", [False, True])
def test_a_probe_looks_into_what_evaluation_would_fuse_and_records_its_attention(tmp_path: Path, name: str, padded: bool) -> None:
    model, x = Headed(ENCODERS[name](), frozen=False), torch.randn(3, 5, 8)
    nn.Module.train(model)
    padding = torch.arange(5) >= torch.tensor([[5], [3], [4]]) if padded else None
    run = watched(tmp_path, model, x, padding, probe=(x, padding) if padded else x)
    places = {
        "attention": ["encoder"],
        "layer": ["encoder.self_attn"],
        "layers": ["encoder.0.self_attn", "encoder.1.self_attn"],
        "encoder": ["encoder.layers.0.self_attn", "encoder.layers.1.self_attn"],
    }[name]
    attention = run.attention()
    assert list(attention) == places
    first = attention[places[0]]
    assert first.header["source"] == "probe"
    if padded and name != "layers":
        assert not first.arrays["high"][1].max() * (first.arrays["data"][1, :, :, 3:]).any()
    module = model.get_submodule(places[0])
    assert isinstance(module, nn.MultiheadAttention)
    with torch.no_grad():
        module.eval()
        expected = module(x, x, x, key_padding_mask=padding if name != "layers" else None, average_attn_weights=False)[1]
    assert_shows(first, expected)
    assert torch.backends.mha.get_fastpath_enabled()


def test_a_frozen_encoder_that_raises_leaves_the_mode_and_the_places_right(tmp_path: Path) -> None:
    class Tolerant(Headed):
        def forward(self, x: Tensor, padding: Tensor | None = None) -> Tensor:
            try:
                self.encoder(x[..., :7])
            except Exception:
                x = torch.tanh(x)
            return super().forward(x, padding)

    model, x = Tolerant(nn.TransformerEncoder(layer(), 1)), torch.randn(3, 5, 8)
    with actviz_tb.watch(model, tmp_path, every=1):
        model(x)
        assert torch.overrides._len_torch_function_stack() == 0
    step = of_tag(tmp_path, "actviz/step")[0]
    assert step.header["layers"] == ["tanh", "encoder", "head"]
    assert np.isfinite(step.arrays["moments"][:, 0]).all()
