"""Weights of nn.MultiheadAttention in every mode, against float64 numpy."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from attending import assert_attends, multi_head_logits, softmax
from forward import watched
from logged import of_tag
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

QUERIES, KEYS, BATCH, WIDTH, HEADS = 5, 7, 3, 8, 2


class Calls(nn.Module):
    """Calls attention with the arguments that it was made with."""

    def __init__(self, attention: nn.MultiheadAttention, **arguments: Any) -> None:
        super().__init__()
        self.attention, self.arguments = attention, arguments

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Any:
        return self.attention(query, key, value, **self.arguments)[0]


def made(**options: Any) -> nn.MultiheadAttention:
    torch.manual_seed(0)
    module = nn.MultiheadAttention(WIDTH, HEADS, **{"batch_first": True, **options})
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.7)
    return module


def inputs(module: nn.MultiheadAttention, queries: int = QUERIES, keys: int = KEYS) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(1)
    tensors = torch.randn(BATCH, queries, WIDTH), torch.randn(BATCH, keys, module.kdim), torch.randn(BATCH, keys, module.vdim)
    return tensors if module.batch_first else tuple(each.transpose(0, 1) for each in tensors)  # type: ignore[return-value]


MODULES: dict[str, dict[str, Any]] = {
    "plain": {},
    "sequence first": {"batch_first": False},
    "no bias": {"bias": False},
    "own widths": {"kdim": 6, "vdim": 4},
    "own widths, no bias": {"kdim": 6, "vdim": 4, "bias": False},
    "bias for keys": {"add_bias_kv": True},
    "zero attention": {"add_zero_attn": True},
    "both": {"add_bias_kv": True, "add_zero_attn": True, "batch_first": False},
    "dropout": {"dropout": 0.4},
}
PADDING = torch.arange(KEYS) >= torch.tensor([[7], [4], [5]])
PLANE = torch.rand(QUERIES, KEYS, generator=torch.Generator().manual_seed(2)) > 0.7
VOLUME = torch.rand(BATCH * HEADS, QUERIES, KEYS, generator=torch.Generator().manual_seed(3)) > 0.7
PLANE[:, 0] = VOLUME[:, :, 0] = False
MASKS: dict[str, dict[str, Tensor]] = {
    "none": {},
    "padding": {"key_padding_mask": PADDING},
    "padding, numbers": {"key_padding_mask": torch.randn(BATCH, KEYS, generator=torch.Generator().manual_seed(4))},
    "plane": {"attn_mask": PLANE},
    "plane, numbers": {"attn_mask": torch.randn(QUERIES, KEYS, generator=torch.Generator().manual_seed(5))},
    "volume": {"attn_mask": VOLUME},
    "volume, numbers": {"attn_mask": torch.randn(VOLUME.shape, generator=torch.Generator().manual_seed(6))},
    "padding and volume": {"key_padding_mask": PADDING, "attn_mask": VOLUME},
    "padding and plane": {"key_padding_mask": PADDING, "attn_mask": PLANE},
}


@pytest.mark.parametrize("weights", [{"need_weights": False}, {}, {"average_attn_weights": False}], ids=["none", "mean", "all"])
@pytest.mark.parametrize("masks", MASKS)
@pytest.mark.parametrize("name", ["plain", "both"])
def test_masks_of_every_kind_are_understood_and_never_changed(tmp_path: Path, name: str, masks: str, weights: dict[str, bool]) -> None:
    module = made(**MODULES[name])
    query, key, value = inputs(module)
    before = {mask: tensor.clone() for mask, tensor in MASKS[masks].items()}
    run = watched(tmp_path, Calls(module, **MASKS[masks], **weights), query, key, value, stock_tabs=False)
    assert list(run.attention()) == ["attention"]
    assert_attends(run.attention()["attention"], multi_head_logits(module, query, key, **MASKS[masks]))
    assert all(torch.equal(tensor, MASKS[masks][mask]) for mask, tensor in before.items())


@pytest.mark.parametrize("weights", [{"need_weights": False}, {}], ids=["none", "mean"])
@pytest.mark.parametrize("name", MODULES)
def test_modules_of_every_kind_are_understood(tmp_path: Path, name: str, weights: dict[str, bool]) -> None:
    module = made(**MODULES[name])
    query, key, value = inputs(module)
    run = watched(tmp_path, Calls(module, key_padding_mask=PADDING, **weights), query, key, value)
    assert_attends(run.attention()["attention"], multi_head_logits(module, query, key, key_padding_mask=PADDING))


def test_the_reference_is_what_torch_returns() -> None:
    for name, options in MODULES.items():
        module = made(**options).eval()
        query, key, value = inputs(module)
        for masks in MASKS.values():
            found = module(query, key, value, average_attn_weights=False, **masks)[1]
            expected = softmax(multi_head_logits(module, query, key, **masks))
            np.testing.assert_allclose(found.detach().numpy(), expected, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("need_weights", [False, True])
@pytest.mark.parametrize("padded", [False, True])
def test_a_causal_hint_is_understood(tmp_path: Path, need_weights: bool, padded: bool) -> None:
    module = made()
    query, key, value = inputs(module, keys=QUERIES)
    mask, padding = torch.ones(QUERIES, QUERIES, dtype=torch.bool).triu(1), PADDING[:, :QUERIES] if padded else None
    model = Calls(module, attn_mask=mask, is_causal=True, key_padding_mask=padding, need_weights=need_weights)
    run = watched(tmp_path, model, query, key, value)
    assert_attends(run.attention()["attention"], multi_head_logits(module, query, key, padding, mask))


@pytest.mark.parametrize(("need_weights", "padded"), [(False, False), (False, True), (True, False)])
def test_a_hint_that_is_not_true_is_believed_where_torch_believes_it(tmp_path: Path, need_weights: bool, padded: bool) -> None:
    module = made()
    query, key, value = inputs(module, keys=QUERIES)
    padding = PADDING[:, :QUERIES] if padded else None
    nothing, causal = torch.zeros(QUERIES, QUERIES, dtype=torch.bool), torch.ones(QUERIES, QUERIES, dtype=torch.bool).triu(1)
    options = {"is_causal": True, "need_weights": need_weights, "key_padding_mask": padding}
    run = watched(tmp_path, Calls(module, attn_mask=nothing, **options), query, key, value)
    believed = causal if not need_weights and not padded else nothing
    assert torch.equal(run.output, module(query, key, value, attn_mask=believed, **options)[0])
    assert_attends(run.attention()["attention"], multi_head_logits(module, query, key, padding, believed))


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_an_input_without_a_batch_axis_is_one_sample(tmp_path: Path, batch_first: bool, masked: bool) -> None:
    module = made(batch_first=batch_first)
    query, key, value = (each[:, 0] if not batch_first else each[0] for each in inputs(module))
    masks = {"key_padding_mask": PADDING[1], "attn_mask": VOLUME[:HEADS]} if masked else {}
    run = watched(tmp_path, Calls(module, **masks), query, key, value)
    assert_attends(run.attention()["attention"], multi_head_logits(module, query, key, **masks))


def test_only_the_shown_samples_are_recomputed(tmp_path: Path) -> None:
    module = made()
    query, key, value = inputs(module)
    run = watched(tmp_path, Calls(module, key_padding_mask=PADDING, attn_mask=VOLUME), query, key, value, samples=2)
    logits = multi_head_logits(module, query, key, key_padding_mask=PADDING, attn_mask=VOLUME)
    assert_attends(run.attention()["attention"], logits, samples=2)

    def products(samples: int) -> int:
        with FlopCounterMode(display=False) as counter:
            watched(tmp_path / str(samples), Calls(module), *inputs(module), samples=samples, functional=False)
        return int(counter.get_total_flops())

    none, one, three = products(0), products(1), products(3)
    assert one - none == (three - none) // 3 > 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_a_module_of_another_type_are_computed_in_float32(tmp_path: Path, dtype: torch.dtype) -> None:
    module = made().to(dtype)
    query, key, value = (each.to(dtype) for each in inputs(module))
    run = watched(tmp_path, Calls(module), query, key, value)
    assert_attends(run.attention()["attention"], multi_head_logits(module, query, key))


def test_under_autocast_the_input_may_be_of_another_type_than_the_weights(tmp_path: Path) -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.before, self.attention = nn.Linear(WIDTH, WIDTH), made()

        def forward(self, x: Tensor) -> Tensor:
            with torch.autocast("cpu", torch.bfloat16):
                self.seen = self.before(x)
                return self.attention(self.seen, self.seen, self.seen)[0]  # type: ignore[no-any-return]

    model, x = Model(), torch.randn(BATCH, QUERIES, WIDTH)
    run = watched(tmp_path, model, x)
    assert model.seen.dtype == torch.bfloat16
    assert_attends(run.attention()["attention"], multi_head_logits(model.attention, model.seen, model.seen))


class Shared(nn.Module):
    """One attention for two calls, and a function of it for a third."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = made()

    def forward(self, x: Tensor, y: Tensor) -> Any:
        a = self.attention(x, x, x)[0]
        b = self.attention(x, y, y, need_weights=False)[0]
        own = self.attention
        return a.transpose(0, 1) + b.transpose(0, 1) + self.by_function(x.transpose(0, 1), own)

    def by_function(self, x: Tensor, own: nn.MultiheadAttention) -> Tensor:
        weights = own.in_proj_weight, own.in_proj_bias, own.bias_k, own.bias_v, False, 0.0, own.out_proj.weight, own.out_proj.bias
        return F.multi_head_attention_forward(x, x, x, WIDTH, HEADS, *weights)[0]


def test_each_call_has_its_own_record_and_a_bare_function_is_its_modules(tmp_path: Path) -> None:
    model, x, y = nn.Module(), torch.randn(BATCH, QUERIES, WIDTH), torch.randn(BATCH, KEYS, WIDTH)
    model.block = Shared()
    model.forward = lambda x, y: model.block(x, y)  # type: ignore[method-assign, assignment, operator]
    run = watched(tmp_path, model, x, y)
    assert list(run.attention()) == ["block.attention", "block.attention:1", "block"]
    logits = multi_head_logits(model.block.attention, x, x)  # type: ignore[union-attr, arg-type]
    assert_attends(run.attention()["block.attention"], logits)
    assert_attends(run.attention()["block"], logits)
    assert_attends(run.attention()["block.attention:1"], multi_head_logits(model.block.attention, x, y))  # type: ignore[union-attr, arg-type]


TRANSFORMERS: dict[str, Callable[[], nn.Module]] = {
    "encoder": lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(WIDTH, HEADS, 16, batch_first=True), 2),
    "decoder": lambda: nn.TransformerDecoder(nn.TransformerDecoderLayer(WIDTH, HEADS, 16, batch_first=True), 2),
    "both": lambda: nn.Transformer(WIDTH, HEADS, 1, 1, 16, batch_first=True),
}
PLACES = {
    "encoder": ["layers.0.self_attn", "layers.1.self_attn"],
    "decoder": [f"layers.{index}.{name}" for index in (0, 1) for name in ("self_attn", "multihead_attn")],
    "both": ["encoder.layers.0.self_attn", "decoder.layers.0.self_attn", "decoder.layers.0.multihead_attn"],
}


@pytest.mark.parametrize("with_probe", [False, True])
@pytest.mark.parametrize("name", TRANSFORMERS)
def test_every_attention_of_torchs_transformers_is_recorded(tmp_path: Path, name: str, with_probe: bool) -> None:
    model, x = TRANSFORMERS[name](), torch.randn(BATCH, QUERIES, WIDTH)
    given = (x,) if name == "encoder" else (torch.randn(BATCH, KEYS, WIDTH), torch.randn(BATCH, KEYS, WIDTH))
    run = watched(tmp_path, model, *given, probe=given if with_probe else None)
    assert list(run.attention()) == PLACES[name]
    for place in PLACES[name]:
        record = of_tag(tmp_path, f"actviz/attention/{place}")[0]
        assert record.header["source"] == ("probe" if with_probe else "train")
        length = given[0].shape[1]
        assert record.header["shape"] == [BATCH, HEADS, length, length]
