"""What attention weights are, in float64 numpy and independent of torch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from forward import assert_shows
from torch import Tensor, nn

from tensorboard_plugin.actviz import wire

Array = npt.NDArray[np.float64]


def float64(tensor: Tensor) -> Array:
    return tensor.detach().double().numpy()


def softmax(logits: Array) -> Array:
    """Of the last axis; zero where there is nothing to look at."""
    largest = logits.max(-1, keepdims=True)
    raised = np.exp(logits - np.where(np.isfinite(largest), largest, 0))
    total = raised.sum(-1, keepdims=True)
    return np.divide(raised, total, out=np.zeros_like(raised), where=total > 0)


def added(mask: Tensor, true_looks: bool) -> Array:
    """Return a mask as what it adds to the logits."""
    if mask.dtype.is_floating_point:
        return float64(mask)
    looks = mask.numpy() if true_looks else ~mask.numpy()
    return np.where(looks, 0.0, -math.inf)


def entropies(weights: Array) -> Array:
    """Return each head's entropy in nats [N, H]: the mean over the queries that look at anything."""
    found = np.full(weights.shape[:2], math.nan)
    for index in np.ndindex(*found.shape):
        rows = [row[row > 0] for row in weights[index] if row.any()]
        if rows:
            found[index] = np.mean([-(row * np.log(row)).sum() for row in rows])
    return found


def multi_head_logits(
    module: nn.MultiheadAttention, query: Tensor, key: Tensor, key_padding_mask: Tensor | None = None, attn_mask: Tensor | None = None
) -> Array:
    """Return the logits [N, H, T, S] of a MultiheadAttention called with inputs in its own order of axes."""
    q, k = float64(query), float64(key)
    if q.ndim == 2:
        q, k = q[None], k[None]
    elif not module.batch_first:
        q, k = q.swapaxes(0, 1), k.swapaxes(0, 1)
    count, heads, width = len(q), module.num_heads, module.embed_dim
    if module.in_proj_weight is not None:
        of_query, of_key = float64(module.in_proj_weight[:width]), float64(module.in_proj_weight[width : 2 * width])
    else:
        of_query, of_key = float64(module.q_proj_weight), float64(module.k_proj_weight)
    q, k = q @ of_query.T, k @ of_key.T
    if module.in_proj_bias is not None:
        q, k = q + float64(module.in_proj_bias[:width]), k + float64(module.in_proj_bias[width : 2 * width])
    given = k.shape[1]
    if module.bias_k is not None:
        k = np.concatenate([k, np.repeat(float64(module.bias_k), count, 0)], 1)
    if module.add_zero_attn:
        k = np.concatenate([k, np.zeros((count, 1, width))], 1)
    q, k = (part.reshape(count, -1, heads, width // heads).swapaxes(1, 2) for part in (q, k))
    logits = q @ k.swapaxes(-1, -2) / math.sqrt(width // heads)
    if attn_mask is not None:
        mask = added(attn_mask, true_looks=False)
        logits[..., :given] += mask.reshape(count, heads, *mask.shape[1:]) if mask.ndim == 3 else mask
    if key_padding_mask is not None:
        logits[..., :given] += added(key_padding_mask, true_looks=False).reshape(count, 1, 1, given)
    return np.asarray(logits)


def assert_attends(record: wire.Record, logits: Array, samples: int = 4, relative: float = 1e-5, **kept: Any) -> None:
    """The record is of the attention with these logits [N, H, T, S], for the first samples; `kept`: queries, heads where not all."""
    assert record.header["shape"] == list(logits.shape)
    queries, heads = kept.get("queries"), kept.get("heads")
    assert record.header["queries"] == queries
    logits = logits[:samples]
    logits = logits if queries is None else logits[:, :, queries]
    weights = softmax(logits)
    assert_shows(record, weights if heads is None else weights[:, heads])
    np.testing.assert_allclose(record.arrays["entropy"], entropies(weights), rtol=relative, atol=relative)
    np.testing.assert_allclose(record.arrays["largest_logit"], logits.max((-2, -1)), rtol=relative, atol=relative)
