"""Attention weights, recomputed for the shown samples from what attention was called with.

Fused kernels never hold the weights; they are softmax(q k^T * scale + mask), here in float32 and without dropout.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from actviz_tb import maps
from actviz_tb.maps import Limits, Maps

MAX_LOGITS = 1 << 19
"""So many logits a layer are recomputed: first fewer samples are kept, then evenly spaced queries."""


FUNCTIONS = ("scaled_dot_product_attention", "multi_head_attention_forward", "softmax")
"""Plain names of the functions that may attend, see `of_call`."""


@dataclass(frozen=True, slots=True)
class Attention:
    """Attention of the first samples at one place.

    Attributes:
        maps: weights as maps of T queries x S keys, a channel a head.
        entropy: of a query's weights, in nats, mean over the queries, float32 [samples, heads].
        largest_logit: before the softmax, masked ones aside, float32 [samples, heads].
        shape: (N, H, T, S) of the whole call.
        queries: indices of the queries kept, None when all are.
    """

    maps: Maps
    entropy: Tensor
    largest_logit: Tensor
    shape: tuple[int, ...]
    queries: tuple[int, ...] | None

    def tensors(self) -> tuple[Tensor, ...]:
        return (*self.maps.tensors(), self.entropy, self.largest_logit)


@dataclass(frozen=True, slots=True)
class Call:
    """An attention call: query [N, H, T, E], key [N, H, S, E], mask (added to the logits) broadcastable to [N, H, T, S] or None."""

    query: Tensor
    key: Tensor
    mask: Tensor | None
    causal: bool
    scale: float

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return (*self.query.shape[:3], self.key.shape[2])


def of_call(name: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], limits: Limits) -> Attention | None:
    """Return the attention of a function's call, None where it is not one that attends.

    Args:
        name: the function's plain name: `scaled_dot_product_attention`, `multi_head_attention_forward`, or a `softmax` of
            (N, H, T, S) over its last axis, as modules do that compute the weights themselves.
    """
    if name == "scaled_dot_product_attention":
        return compute(_scaled_dot_product(*args, **kwargs), limits)
    if name == "multi_head_attention_forward":
        return compute(_multi_head(inspect.signature(function).bind(*args, **kwargs).arguments), limits)
    if name == "softmax":
        logits, axis = (*args, kwargs.get("dim"))[:2] if args else (kwargs["input"], kwargs.get("dim"))
        if logits.ndim == 4 and axis in (-1, 3) and logits.numel():
            return _subset(logits, limits)
    return None


def compute(call: Call, limits: Limits) -> Attention | None:
    """Recompute the weights of the first samples; None where the call has no element."""
    count, heads, queries, keys = call.shape
    if not count * heads * queries * keys:
        return None
    samples, kept = _kept(call.shape, limits)
    rows = queries if kept is None else len(kept)
    query = maps.thinned(call.query[:samples], 2, rows)
    logits = (query.float() * call.scale) @ call.key[:samples].float().transpose(-2, -1)
    if call.mask is not None:
        mask = call.mask.expand(count, heads, queries, keys)[:samples]
        logits = logits + maps.thinned(mask, 2, rows).float()
    if call.causal:
        ahead = torch.ones(queries, keys, dtype=torch.bool, device=logits.device).triu(1)
        logits = logits.masked_fill(maps.thinned(ahead, 0, rows), -math.inf)
    return summarise(logits, call.shape, limits, kept)


def _subset(logits: Tensor, limits: Limits) -> Attention:
    samples, kept = _kept(tuple(logits.shape), limits)
    shown = logits[:samples] if kept is None else maps.thinned(logits[:samples], 2, len(kept))
    return summarise(shown.float(), tuple(logits.shape), limits, kept)


def _kept(shape: tuple[int, ...], limits: Limits) -> tuple[int, tuple[int, ...] | None]:
    """Return how many samples, and which queries (None: all), are recomputed of logits [N, H, T, S]."""
    count, heads, queries, keys = shape
    samples = max(1, min(limits.samples, count, MAX_LOGITS // (heads * queries * keys)))
    kept = maps.evenly(queries, max(1, MAX_LOGITS // (samples * heads * keys)))
    return samples, None if len(kept) == queries else kept


def summarise(logits: Tensor, shape: tuple[int, ...], limits: Limits, queries: tuple[int, ...] | None = None) -> Attention:
    """Return maps, entropy and largest logit of logits [samples, H, T, S]; a query that may look at nothing has no weight."""
    weights = torch.softmax(logits, -1)
    if logits.device.type != "cpu" or bool(torch.isneginf(logits).any()):
        weights = weights.masked_fill(torch.isneginf(logits).all(-1, keepdim=True), 0.0)
    entropy = torch.special.entr(weights).sum(-1).mean(-1)
    found = maps.extract(weights, "channels", 1, limits)
    assert found is not None
    return Attention(found, entropy, logits.amax((-2, -1)), shape, queries)


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
    if enable_gqa:
        key = key.repeat_interleave(query.shape[-3] // key.shape[-3], -3)
    mask = None
    if attn_mask is not None:
        mask = _added(~attn_mask if attn_mask.dtype == torch.bool else attn_mask)
        while mask.ndim < query.ndim:
            mask = mask[None]
        mask = _four(mask.expand(*query.shape[:-2], *mask.shape[-2:]))
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    return Call(_four(query), _four(key), mask, is_causal, scale)


def _four(tensor: Tensor) -> Tensor:
    """Return the tensor as [N, H, ..., ...]: one head where it has none, one sample where it has neither."""
    if tensor.ndim == 2:
        return tensor[None, None]
    if tensor.ndim == 3:
        return tensor[:, None]
    return tensor.flatten(1, -3)


def _multi_head(arguments: dict[str, Any]) -> Call:
    """Read the arguments of `torch.nn.functional.multi_head_attention_forward`: query [T, N, E], key [S, N, E]."""
    query, key, heads = arguments["query"], arguments["key"], arguments["num_heads"]
    if query.ndim == 2:
        query, key = query[:, None], key[:, None]
    width = query.shape[-1]
    bias = arguments["in_proj_bias"]
    if arguments.get("use_separate_proj_weight"):
        weights = arguments["q_proj_weight"], arguments["k_proj_weight"]
    else:
        weights = arguments["in_proj_weight"][:width], arguments["in_proj_weight"][width : 2 * width]
    biases = (None, None) if bias is None else (bias[:width], bias[width : 2 * width])
    query = nn.functional.linear(query, weights[0], biases[0])
    key = nn.functional.linear(key, weights[1], biases[1])
    if arguments.get("bias_k") is not None:
        key = torch.cat([key, arguments["bias_k"].expand(1, *key.shape[1:])])
    query, key = (part.reshape(*part.shape[:-1], heads, -1).permute(1, 2, 0, 3) for part in (query, key))
    if arguments.get("static_k") is not None:
        key = arguments["static_k"].reshape(-1, heads, *arguments["static_k"].shape[1:])
    if arguments.get("add_zero_attn"):
        key = torch.cat([key, key.new_zeros(*key.shape[:2], 1, key.shape[3])], 2)
    queries = query.shape[2]
    keys = key.shape[2]
    attn_mask, padding = arguments.get("attn_mask"), arguments.get("key_padding_mask")
    added = []
    if attn_mask is not None:
        added.append(_added(attn_mask).reshape(-1, heads if attn_mask.ndim == 3 else 1, queries, attn_mask.shape[-1]))
    if padding is not None:
        added.append(_added(padding).reshape(-1, 1, 1, padding.shape[-1]))
    mask: Tensor | None = None
    for each in added:
        # Keys that were appended (bias_k, add_zero_attn) may always be looked at.
        each = nn.functional.pad(each, (0, keys - each.shape[-1]))
        mask = each if mask is None else mask + each
    causal = bool(arguments.get("is_causal")) and attn_mask is None
    return Call(query, key, mask, causal, 1 / math.sqrt(query.shape[-1]))


def _added(mask: Tensor) -> Tensor:
    """Return a mask, of numbers or True where there is nothing to look at, as what is added to the logits."""
    if mask.dtype != torch.bool:
        return mask.float()
    return torch.zeros(mask.shape, device=mask.device).masked_fill(mask, -math.inf)
