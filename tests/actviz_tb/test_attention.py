"""Weights of scaled_dot_product_attention, recomputed for the shown samples, against a float64 softmax."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from attending import Array, added, assert_attends, float64
from forward import watched
from logged import of_tag
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention.bias import causal_lower_right, causal_upper_left

import actviz_tb
from actviz_tb.attention import MAX_LOGITS

NAME = "scaled_dot_product_attention"


class Attends(nn.Module):
    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.options = options

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(query, key, value, **self.options)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 2


def logits_of(query: Tensor, key: Tensor, scale: float | None = None) -> Array:
    """Return the logits of attention [..., T, S] before any mask; fewer heads of the key are each for several of the query."""
    q, k = float64(query), float64(key)
    if q.ndim > 2 and k.shape[-3] != q.shape[-3]:
        k = np.repeat(k, q.shape[-3] // k.shape[-3], -3)
    return np.asarray(q @ k.swapaxes(-1, -2) * (1 / math.sqrt(q.shape[-1]) if scale is None else scale))


def ahead(queries: int, keys: int, offset: int = 0) -> Array:
    """Return what a causal mask adds: the i-th query sees the first i + offset keys, counted from one."""
    return np.where(np.arange(keys) <= np.arange(queries)[:, None] + offset, 0.0, -math.inf)


def allowed(*shape: int) -> Tensor:
    """Return a boolean mask with something to look at in each row."""
    mask = random(*shape, seed=9) > 0
    mask[..., 0] = True
    return mask


@pytest.mark.parametrize(("queries", "keys"), [(5, 5), (5, 7), (7, 5), (1, 6), (6, 1)])
@pytest.mark.parametrize("causal", [False, True])
def test_weights_are_the_softmax_of_the_scaled_products(tmp_path: Path, queries: int, keys: int, causal: bool) -> None:
    query, key = random(3, 2, queries, 8), random(3, 2, keys, 8, seed=1)
    run = watched(tmp_path, Attends(is_causal=causal), query, key, key)
    assert_attends(run.attention()[NAME], logits_of(query, key) + (ahead(queries, keys) if causal else 0))


@pytest.mark.parametrize("number", [True, False], ids=["boolean", "float"])
@pytest.mark.parametrize("shape", [(5, 7), (1, 7), (2, 5, 7), (3, 1, 5, 7), (3, 1, 1, 7), (3, 2, 5, 7), (1, 2, 5, 1)], ids=str)
def test_a_mask_is_added_to_the_logits_and_never_changed(tmp_path: Path, shape: tuple[int, ...], number: bool) -> None:
    query, key = random(3, 2, 5, 8), random(3, 2, 7, 8, seed=1)
    mask = random(*shape, seed=2) if number else allowed(*shape)
    before, version = mask.clone(), mask._version
    run = watched(tmp_path, Attends(attn_mask=mask), query, key, key)
    assert_attends(run.attention()[NAME], logits_of(query, key) + added(mask, true_looks=True))
    assert torch.equal(mask, before)
    assert mask._version == version


@pytest.mark.parametrize("number", [-math.inf, torch.finfo(torch.float32).min, None], ids=["infinite", "smallest", "boolean"])
def test_a_query_that_may_look_at_nothing_has_no_weight_and_counts_for_no_entropy(tmp_path: Path, number: float | None) -> None:
    query, key = random(3, 2, 5, 8), random(3, 2, 7, 8, seed=1)
    mask = allowed(3, 1, 5, 7)
    mask[0, 0, 2] = False
    mask[1] = False
    given = mask if number is None else torch.zeros(mask.shape).masked_fill(~mask, number)
    run = watched(tmp_path, Attends(attn_mask=given), query, key, key)
    record = run.attention()[NAME]
    if number == torch.finfo(torch.float32).min:  # a softmax of equal numbers, all of them lost in this one
        logits = logits_of(query, key).astype(np.float32) + given.numpy()
        assert_attends(record, logits.astype(np.float64))
    else:
        assert_attends(record, logits_of(query, key) + added(mask, true_looks=True))
        assert np.isnan(record.arrays["entropy"][1]).all()
        assert np.isneginf(record.arrays["largest_logit"][1]).all()


@pytest.mark.parametrize(
    ("query", "key", "options"),
    [
        ((3, 5, 8), (3, 7, 8), {}),
        ((5, 8), (7, 8), {}),
        ((3, 2, 2, 5, 8), (3, 2, 2, 7, 8), {}),
        ((1, 2, 5, 8), (3, 2, 7, 8), {}),
        ((3, 2, 5, 8), (1, 2, 7, 8), {}),
        ((3, 4, 5, 8), (3, 1, 7, 8), {}),
        ((3, 4, 5, 8), (3, 2, 7, 8), {"enable_gqa": True}),
        ((3, 6, 5, 8), (3, 1, 7, 8), {"enable_gqa": True}),
        ((4, 5, 8), (2, 7, 8), {"enable_gqa": True}),
        ((3, 2, 4, 5, 8), (3, 2, 2, 7, 8), {"enable_gqa": True}),
    ],
    ids=str,
)
@pytest.mark.parametrize("masked", [False, True])
def test_every_shape_that_attention_takes_is_read(
    tmp_path: Path, query: tuple[int, ...], key: tuple[int, ...], options: dict[str, Any], masked: bool
) -> None:
    q, k = random(*query), random(*key, seed=1)
    mask = allowed(5, 7) if masked else None
    run = watched(tmp_path, Attends(attn_mask=mask, **options), q, k, k)
    logits = logits_of(q, k) + (0 if mask is None else added(mask, true_looks=True))
    if len(query) == 2:
        logits = logits[None, None]
    elif len(query) == 3:
        logits = logits[None] if options else logits[:, None]
    else:
        logits = logits.reshape(len(logits), -1, 5, 7)
    assert_attends(run.attention()[NAME], logits)


@pytest.mark.parametrize("masked", [False, True])
def test_a_mask_of_five_axes_is_each_heads_own(tmp_path: Path, masked: bool) -> None:
    query, key, mask = random(3, 2, 2, 5, 8), random(3, 2, 2, 7, 8, seed=1), allowed(3, 2, 2, 5, 7)
    mask = mask if masked else mask[:, :1]
    run = watched(tmp_path, Attends(attn_mask=mask), query, key, key)
    logits = logits_of(query, key) + added(mask, true_looks=True)
    assert_attends(run.attention()[NAME], logits.reshape(3, 4, 5, 7))


@pytest.mark.parametrize("scale", [0.5, 0.0, 3.0])
def test_a_scale_takes_the_place_of_the_root_of_the_width(tmp_path: Path, scale: float) -> None:
    query, key = random(3, 2, 5, 8), random(3, 2, 7, 8, seed=1)
    assert_attends(watched(tmp_path, Attends(scale=scale), query, key, key).attention()[NAME], logits_of(query, key, scale))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_are_computed_in_float32_whatever_the_type_of_the_inputs(tmp_path: Path, dtype: torch.dtype) -> None:
    query, key = random(3, 2, 5, 64).to(dtype) * 8, random(3, 2, 7, 64, seed=1).to(dtype)
    record = watched(tmp_path, Attends(), query, key, key).attention()[NAME]
    assert np.abs(logits_of(query, key)).max() > 100  # where half types cannot tell neighbours apart
    assert_attends(record, logits_of(query, key), relative=1e-4)


def test_dropout_is_left_out(tmp_path: Path) -> None:
    query, key = random(3, 2, 5, 8), random(3, 2, 7, 8, seed=1)
    assert_attends(watched(tmp_path, Attends(dropout_p=0.5), query, key, key).attention()[NAME], logits_of(query, key))


@pytest.mark.parametrize(("bias", "offset"), [(causal_upper_left(5, 7), 0), (causal_lower_right(5, 7), 2), (causal_lower_right(5, 5), 0)])
def test_torchs_causal_biases_are_understood(tmp_path: Path, bias: Tensor, offset: int) -> None:
    keys = 5 if bias.shape == (5, 5) else bias.seq_len_kv  # type: ignore[attr-defined]
    query, key = random(3, 2, 5, 8), random(3, 2, keys, 8, seed=1)
    model = Attends(attn_mask=bias)
    expected = model(query, key, key)
    run = watched(tmp_path, model, query, key, key)
    assert torch.equal(run.output, expected)
    assert_attends(run.attention()[NAME], logits_of(query, key) + ahead(5, keys, offset))


@pytest.mark.parametrize("causal", [False, True])
def test_a_long_sequence_keeps_fewer_samples_and_evenly_spaced_queries(tmp_path: Path, causal: bool) -> None:
    query, key, mask = random(3, 2, 600, 8), random(3, 2, 600, 8, seed=1), random(600, 600, seed=2)
    logits = logits_of(query, key) + (ahead(600, 600) if causal else float64(mask))
    model = Attends(is_causal=True) if causal else Attends(attn_mask=mask)
    record = watched(tmp_path, model, query, key, key, max_size=600).attention()[NAME]
    kept = MAX_LOGITS // (2 * 600)
    assert 1 < kept < 600
    assert_attends(record, logits, samples=1, queries=[index * 600 // kept for index in range(kept)])


def test_what_is_shown_keeps_to_the_limits_and_the_numbers_are_of_all_heads(tmp_path: Path) -> None:
    query, key = random(5, 8, 6, 8), random(5, 8, 10, 8, seed=1)
    record = watched(tmp_path, Attends(), query, key, key, samples=2, max_channels=4).attention()[NAME]
    assert record.header["channels"] == [0, 2, 4, 6]
    assert record.arrays["entropy"].shape == record.arrays["largest_logit"].shape == (2, 8)
    assert_attends(record, logits_of(query, key), samples=2, heads=[0, 2, 4, 6])
    small = watched(tmp_path / "small", Attends(), query, key, key, max_size=5).attention()[NAME]
    assert small.header["pool"] == [2, 2]
    assert small.arrays["data"].shape == (4, 8, 3, 5)


def test_without_a_sample_or_an_element_there_is_no_attention(tmp_path: Path) -> None:
    query = random(3, 2, 5, 8)
    assert watched(tmp_path / "samples", Attends(), query, query, query, samples=0).attention() == {}
    assert watched(tmp_path / "queries", Attends(), query[:, :, :0], query, query).attention() == {}
    assert watched(tmp_path / "off", Attends(), query, query, query, attention=False).attention() == {}


class Twice(nn.Module):
    """A block that attends twice, as a decoder's does."""

    def forward(self, x: Tensor) -> Tensor:
        h = F.scaled_dot_product_attention(x, x, x, is_causal=True)
        return F.scaled_dot_product_attention(h, x, x)


@pytest.mark.parametrize("functional", [False, True])
def test_each_call_has_its_own_record_under_its_name(tmp_path: Path, functional: bool) -> None:
    model, x = nn.Sequential(Twice(), Twice()), random(3, 2, 5, 8)
    run = watched(tmp_path, model, x, functional=functional)
    names = [f"{block}/{NAME}{call}" for block in (0, 1) for call in ("", ":1")]
    assert list(run.attention()) == names
    assert [name for name in run.layers() if NAME in name] == (names if functional else [])
    first = F.scaled_dot_product_attention(x, x, x, is_causal=True)
    assert_attends(run.attention()[f"0/{NAME}"], logits_of(x, x) + ahead(5, 5))
    assert_attends(run.attention()[f"0/{NAME}:1"], logits_of(first, x), relative=1e-4)


def test_layers_chooses_where_attention_is_recorded(tmp_path: Path) -> None:
    run = watched(tmp_path, nn.Sequential(Twice(), Twice()), random(3, 2, 5, 8), layers="1")
    assert list(run.attention()) == [f"1/{NAME}", f"1/{NAME}:1"]


def test_with_a_probe_attention_is_the_probes(tmp_path: Path) -> None:
    x, probe = random(3, 2, 5, 8), random(6, 2, 4, 8, seed=1)
    record = watched(tmp_path, Twice(), x, probe=probe).attention()[NAME]
    assert record.header["source"] == "probe"
    assert_attends(record, logits_of(probe, probe) + ahead(4, 4))


def blocks() -> nn.Module:
    torch.manual_seed(0)
    layer = nn.TransformerDecoderLayer(8, 2, 16, batch_first=True)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.layer = nn.Linear(8, 8), layer

        def forward(self, x: Tensor) -> Tensor:
            mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1])
            h = self.embed(x)
            return self.layer(h, h, tgt_mask=mask, tgt_is_causal=True)  # type: ignore[no-any-return]

    return Model()


@pytest.mark.parametrize("context", [torch.enable_grad, lambda: torch.autocast("cpu", torch.bfloat16)], ids=["plain", "autocast"])
def test_the_model_computes_the_same_to_the_last_bit_with_and_without_attention(tmp_path: Path, context: Callable[[], Any]) -> None:
    x = random(3, 5, 8)

    def trained(model: nn.Module) -> list[Tensor]:
        torch.manual_seed(1)
        with context():
            output = model(x)
        output.float().sum().backward()
        return [output, *(parameter.grad for parameter in model.parameters() if parameter.grad is not None)]

    found = [trained(blocks())]
    for attention in (False, True):
        model = blocks()
        with actviz_tb.watch(model, tmp_path / str(attention), every=1, attention=attention, on_error="raise"):
            found.append(trained(model))
    for other in found[1:]:
        assert all(torch.equal(one, two) for one, two in zip(found[0], other, strict=True))
    assert of_tag(tmp_path / "True", "actviz/attention/layer.self_attn")
    assert not of_tag(tmp_path / "False", "actviz/attention/layer.self_attn")
