"""Attention weights of the shown samples: recomputed from what attention was called with, or as a module returns them.

Fused kernels never hold the weights; they are softmax(q k^T * scale + mask), here in float32 and without dropout.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from actviz_tb import maps
from actviz_tb.maps import Limits, Maps
from actviz_tb.statistics import Scratch
from actviz_tb.transfer import Array

ATTENDING = frozenset(("scaled_dot_product_attention", "multi_head_attention_forward", "softmax"))
"""Plain names of the functions that `of_call` knows."""
MAX_LOGITS = 1 << 19
"""So many logits a layer are recomputed: first fewer samples are kept, then evenly spaced queries."""
_PROOF_TOLERANCE = 1e-2
"""Of a sum of weights in bfloat16, which add up to 1."""
_LOGITS, _WEIGHTS = 2, 3  # numbers of work buffers; `statistics` has 0 and 1, for other threads at the same time
_NO_WEIGHT = -1e4
"""A logit so far below the largest has the weight 0 in float32."""


@dataclass(frozen=True, slots=True)
class Attention:
    """Attention of the first samples at one place.

    Attributes:
        maps: weights as maps of T queries x S keys, a channel a head.
        entropy: of a query's weights, in nats, mean over the queries that look at anything, float32 [samples, heads]; NaN without any.
        largest_logit: before the softmax, masked ones aside, float32 [samples, heads]; NaN where the weights alone are known.
        shape: (N, H, T, S) of the whole call.
        queries: indices of the queries kept, None when all are.
        proof: whether these are weights, as a tensor, for which nothing waits; None: they are.
    """

    maps: Maps
    entropy: Tensor
    largest_logit: Tensor
    shape: tuple[int, ...]
    queries: tuple[int, ...] | None
    proof: Tensor | None = None

    def parts(self) -> tuple[Tensor | Array, ...]:
        return (*self.maps.parts(), self.entropy, self.largest_logit, *(() if self.proof is None else (self.proof,)))


@dataclass(frozen=True, slots=True)
class Call:
    """An attention call.

    Attributes:
        query: [N, H, T, E].
        key: [N, G, S, E]; H is a multiple of G.
        mask: what is added to the logits, broadcastable to [N, H, T, S]; None: nothing.
        causal: the i-th query sees the first i keys.
        scale: of the products.
        samples: how many there were; N may be fewer.
    """

    query: Tensor
    key: Tensor
    mask: Tensor | None
    causal: bool
    scale: float
    samples: int


def of_call(
    kind: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], limits: Limits, scratch: Scratch
) -> Attention | None:
    """Return the attention of a function's call, None where it is not one that attends.

    Args:
        args, kwargs: the call's; tensors of numbers have at least one element.
        kind: the function's plain name: `scaled_dot_product_attention`, `multi_head_attention_forward`, or a `softmax` over the last axis
            of (N, H, T, S), or of (N, T, T) for a single head, as modules do that compute the weights themselves.
        scratch: work buffers.
    """
    if kind == "scaled_dot_product_attention":
        return compute(_scaled_dot_product(*args, **kwargs), limits, scratch)
    if kind == "multi_head_attention_forward":
        return compute(_multi_head(inspect.signature(function).bind(*args, **kwargs).arguments, limits.samples), limits, scratch)
    logits, axis = _softmax(*args, **kwargs)
    square = logits.ndim == 3 and logits.shape[1] == logits.shape[2] > 1
    if (logits.ndim != 4 and not square) or axis not in (-1, logits.ndim - 1):
        return None
    logits = logits[:, None] if square else logits
    shape = tuple(logits.shape)
    samples, kept = _kept(shape, limits)
    return _summarise(_thinned(logits[:samples], 2, kept).float(), shape, limits, kept, scratch)


def of_returned(weights: Tensor, lengths: Collection[int], limits: Limits) -> Attention | None:
    """Return the attention whose weights a module put out as a part of its output; None for a part that holds something else.

    Weights are (N, H, T, S) or (N, T, S), not negative, and add up to 1 over the last axis. Whether they do is known at once on the CPU;
    elsewhere it is left to `Attention.proof`, since asking would have to wait for the device.

    Args:
        weights: detached.
        lengths: sizes of the module's inputs. S is one of them in (N, T, S), else it may be classes that a softmax chose from.
    """
    if weights.ndim not in (3, 4) or weights.shape[-1] < 2:
        return None
    if weights.ndim == 3 and weights.shape[-1] not in lengths:
        return None
    weights = weights if weights.ndim == 4 else weights[:, None]
    shape = tuple(weights.shape)
    samples, kept = _kept(shape, limits)
    shown = _thinned(weights[:samples], 2, kept).float()
    sums = shown.sum(-1)
    proof = (shown >= 0).all() & (((sums - 1).abs() <= _PROOF_TOLERANCE) | (sums == 0)).all() & (sums > 0).any()
    if proof.device.type == "cpu" and not proof:
        return None
    unknown = torch.full(shown.shape[:2], math.nan, device=shown.device)
    entropy = torch.special.entr(shown).sum((-2, -1)) / (sums > 0).sum(-1)
    return _kept_of(shown, entropy, unknown, shape, limits, kept, proof)


def compute(call: Call, limits: Limits, scratch: Scratch) -> Attention:
    """Recompute the weights of the first samples."""
    heads = max(each.shape[1] for each in (call.query, call.key, call.mask) if each is not None)
    queries, keys = call.query.shape[2], call.key.shape[2]
    shape = (call.samples, heads, queries, keys)
    samples, kept = _kept(shape, limits)
    query, key = _thinned(call.query[:samples], 2, kept).float(), call.key[:samples].float()
    if 1 < key.shape[1] < heads:
        key = key.repeat_interleave(heads // key.shape[1], 1)
    grid = (max(len(query), len(key)), max(query.shape[1], key.shape[1]), query.shape[2], keys)
    logits = torch.matmul(query * call.scale, key.transpose(-2, -1), out=scratch.shaped(grid, query.device, _LOGITS))
    if call.mask is not None:
        mask = call.mask[:samples]
        logits = logits + (mask if mask.shape[2] == 1 else _thinned(mask, 2, kept)).float()
    if call.causal:
        ahead = torch.full((queries, keys), -math.inf, device=logits.device).triu(1)
        logits = logits.add_(_thinned(ahead, 0, kept))
    return _summarise(logits, shape, limits, kept, scratch)


def _kept(shape: tuple[int, ...], limits: Limits) -> tuple[int, tuple[int, ...] | None]:
    """Return how many samples, and which queries (None: all), are recomputed of logits [N, H, T, S]."""
    count, heads, queries, keys = shape
    samples = max(1, min(limits.samples, count, MAX_LOGITS // (heads * queries * keys)))
    kept = maps.evenly(queries, max(1, MAX_LOGITS // (samples * heads * keys)))
    return samples, None if len(kept) == queries else kept


def _thinned(tensor: Tensor, axis: int, kept: tuple[int, ...] | None) -> Tensor:
    return tensor if kept is None else maps.thinned(tensor, axis, len(kept))


def _summarise(logits: Tensor, shape: tuple[int, ...], limits: Limits, queries: tuple[int, ...] | None, scratch: Scratch) -> Attention:
    """Return the attention of logits [samples, H, T, S]; a query that may look at nothing has no weight.

    With z = logit - largest, the entropy sum(-w log w) is sum(-w z) - log(max(w)), both positive: one logarithm a query, not one a weight.
    """
    largest = logits.amax(-1, keepdim=True)
    looking = ~torch.isneginf(largest)
    below = torch.sub(logits, largest, out=scratch.like(logits, _LOGITS)).clamp_(min=_NO_WEIGHT)
    weights = torch.softmax(below, -1, out=scratch.like(logits, _WEIGHTS))
    entropy = -below.mul_(weights).sum(-1, keepdim=True) - weights.amax(-1, keepdim=True).log()
    if logits.device.type != "cpu" or not looking.all():
        weights.masked_fill_(~looking, 0.0)
        entropy = torch.where(looking, entropy, 0.0)
    return _kept_of(weights, entropy.sum((-2, -1)) / looking.sum((-2, -1)), largest.amax((-2, -1)), shape, limits, queries)


def _kept_of(
    weights: Tensor,
    entropy: Tensor,
    largest_logit: Tensor,
    shape: tuple[int, ...],
    limits: Limits,
    queries: tuple[int, ...] | None,
    proof: Tensor | None = None,
) -> Attention:
    found = maps.extract(weights, "channels", 1, limits)
    assert found is not None
    return Attention(found, entropy, largest_logit, shape, queries, proof)


def _softmax(input: Tensor, dim: object = None, *rest: Any, **options: Any) -> tuple[Tensor, object]:
    """Read the arguments of ``torch.softmax``, ``torch.nn.functional.softmax`` or ``Tensor.softmax``."""
    return input, dim


def _scaled_dot_product(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Call:
    mask = attn_mask
    if mask is not None:
        if hasattr(mask, "_materialize"):  # of torch.nn.attention.bias, which holds no values
            mask = mask._materialize(query.device)
        mask = _added(~mask if mask.dtype == torch.bool else mask)
        mask = mask.expand(*(1,) * (query.ndim - mask.ndim), *mask.shape)
        if query.ndim > 4:
            mask = mask.expand(*query.shape[:-2], *mask.shape[-2:])
        mask = _four(mask, enable_gqa)
    query, key = _four(query, enable_gqa), _four(key, enable_gqa)
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    return Call(query, key, mask, is_causal, scale, max(len(query), len(key), 0 if mask is None else len(mask)))


def _four(tensor: Tensor, headed: bool) -> Tensor:
    """Return the tensor as [N, H, ..., ...]; of three axes the first is the heads where the call has some, else the samples."""
    if tensor.ndim == 2:
        return tensor[None, None]
    if tensor.ndim == 3:
        return tensor[None] if headed else tensor[:, None]
    return tensor.flatten(1, -3)


def _multi_head(arguments: dict[str, Any], samples: int) -> Call:
    """Read the arguments of `torch.nn.functional.multi_head_attention_forward`: query [T, N, E], key [S, N, E]."""
    query, key, heads = arguments["query"], arguments["key"], arguments["num_heads"]
    if query.ndim == 2:
        query, key = query[:, None], key[:, None]
    count, width = query.shape[1:]
    query, key = query[:, :samples], key[:, :samples]
    if arguments.get("use_separate_proj_weight"):
        weights = arguments["q_proj_weight"], arguments["k_proj_weight"]
    else:
        weights = arguments["in_proj_weight"][:width], arguments["in_proj_weight"][width : 2 * width]
    bias = arguments["in_proj_bias"]
    biases = (None, None) if bias is None else (bias[:width].float(), bias[width : 2 * width].float())
    # In float32, since under autocast the input may be of another type than the weights.
    query = nn.functional.linear(query.float(), weights[0].float(), biases[0])
    key = nn.functional.linear(key.float(), weights[1].float(), biases[1])
    if arguments.get("bias_k") is not None:
        key = torch.cat([key, arguments["bias_k"].float().expand(1, *key.shape[1:])])
    query, key = (part.reshape(*part.shape[:-1], heads, -1).permute(1, 2, 0, 3) for part in (query, key))
    if arguments.get("static_k") is not None:
        key = arguments["static_k"].reshape(-1, heads, *arguments["static_k"].shape[1:])[:samples]
    if arguments.get("add_zero_attn"):
        key = torch.cat([key, key.new_zeros(*key.shape[:2], 1, key.shape[3])], 2)
    attn_mask, padding = arguments.get("attn_mask"), arguments.get("key_padding_mask")
    # A hint that the mask is causal, which torch believes where it then needs no mask.
    causal = bool(arguments.get("is_causal")) and padding is None and not arguments.get("need_weights", True)
    added = []
    if attn_mask is not None and not causal:
        added.append(_added(attn_mask).reshape(-1, heads if attn_mask.ndim == 3 else 1, *attn_mask.shape[-2:]))
    if padding is not None:
        added.append(_added(padding).reshape(-1, 1, 1, padding.shape[-1]))
    mask: Tensor | None = None
    for each in added:
        # Keys that were appended (bias_k, add_zero_attn) may always be looked at.
        each = nn.functional.pad(each[:samples], (0, key.shape[2] - each.shape[-1]))
        mask = each if mask is None else mask + each
    return Call(query, key, mask, causal, 1 / math.sqrt(query.shape[-1]), count)


def _added(mask: Tensor) -> Tensor:
    """Return a mask, of numbers or True where there is nothing to look at, as what is added to the logits."""
    if mask.dtype != torch.bool:
        return mask.float()
    return torch.zeros(mask.shape, device=mask.device).masked_fill(mask, -math.inf)
