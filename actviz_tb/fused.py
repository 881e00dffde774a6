"""Layers of torch that compute otherwise while they are looked into.

In evaluation mode and without gradients torch's transformer layers run as one fused kernel, save while hooks lie on their modules or a
torch function mode is active. The kernel's results differ in the last bits, and at padded positions altogether. A training forward with
such a layer in it, a frozen encoder, has to compute on recorded steps what it computes on others: inside these layers no hook lies, and
no mode is active. They are recorded by their output.

Source: the conditions are those of ``torch/nn/modules/transformer.py`` and ``activation.py``, on the safe side.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn


def fused(model: nn.Module) -> frozenset[nn.Module]:
    """Return the modules of a model that may run as a fused kernel in the forward that begins."""
    return frozenset(module for module in model.modules() if _may_fuse(module))


def hookless(modules: Iterable[nn.Module]) -> frozenset[nn.Module]:
    """Return those of the modules that run fused only if they bear no hook themselves."""
    return frozenset(module for module in modules if isinstance(module, nn.TransformerEncoderLayer))


def inside(modules: Iterable[nn.Module]) -> frozenset[nn.Module]:
    """Return all modules inside those given."""
    return frozenset(each for module in modules for each in module.modules() if each is not module)


def _may_fuse(module: nn.Module) -> bool:
    # Subclasses too: their forward may call the original one.
    if isinstance(module, nn.TransformerEncoder):
        first = next(iter(module.layers), None)
        return isinstance(first, nn.TransformerEncoderLayer) and _may_fuse(first)
    if isinstance(module, nn.TransformerEncoderLayer):
        return _may_fuse(module.self_attn)
    return (
        isinstance(module, nn.MultiheadAttention)
        and not module.training
        and module.batch_first
        and torch.backends.mha.get_fastpath_enabled()
        and not any(parameter.requires_grad for parameter in module.parameters())
    )
