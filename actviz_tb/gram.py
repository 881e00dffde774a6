"""Gram matrices of the probe's outputs: all that similarity between layers, steps and runs needs later."""

from __future__ import annotations

import torch
from torch import Tensor

MAX_SAMPLES = 64
"""The matrix is of so many probe samples at most; its cost grows with their square."""
_ROUNDING = 4 * torch.finfo(torch.float32).eps
"""What a mean of equal float32 numbers may miss them by, as a share of them."""


def centred_gram(activation: Tensor, samples: int) -> Tensor | None:
    """Return float32 [n, n]: inner products of the first n samples' flattened outputs, their mean over the samples taken off.

    With X the n x p matrix of outputs and H = I - 1/n, this is H X X^T H, as linear CKA (Kornblith et al. 2019) and PCA need it.
    Exactly zero where all samples have the same output: else the rounding of the mean would pass for a direction.

    Args:
        activation: first axis: samples; floating point, detached.
        samples: of the probe; an output with another number along its first axis has no such matrix: None.
    """
    if activation.ndim < 2 or len(activation) != samples or samples < 2:
        return None
    x = activation[:MAX_SAMPLES].reshape(min(samples, MAX_SAMPLES), -1).float()
    mean = x.mean(0)
    x = x - mean
    gram = torch.mm(x, x.T)
    return gram.masked_fill(gram.trace() <= len(x) * mean.square().sum() * _ROUNDING**2, 0)
