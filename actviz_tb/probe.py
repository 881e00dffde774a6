"""Running a fixed batch through a model in training, and leaving no trace of it."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_map

from actviz_tb.errors import ArgumentError, ArgumentTypeError


class Probe:
    """A fixed input batch.

    Args:
        batch: a tensor (the model's first argument), a tuple or list (its positional arguments), or a mapping (its keyword
            arguments). Copied, so that later changes to it do not matter.
        labels: one a sample, or None; a list or tuple of str is a sample's tokens, and its label is they joined.
    """

    def __init__(self, batch: Any, labels: Any = None) -> None:
        tensors = [leaf for leaf in tree_flatten(batch)[0] if isinstance(leaf, Tensor)]
        if not tensors:
            raise ArgumentTypeError(
                f"probe={type(batch).__name__} has no tensor; expected the model's input batch: a tensor, a tuple of positional "
                "or a dict of keyword arguments"
            )
        if tensors[0].ndim == 0 or len(tensors[0]) == 0:
            raise ArgumentError(
                f"the probe has shape {tuple(tensors[0].shape)}; expected a batch of at least one sample along its first axis"
            )
        self.samples = len(tensors[0])
        labels = None if labels is None else list(labels)
        if labels is not None and len(labels) != self.samples:
            raise ArgumentError(f"{len(labels)} probe_labels for a probe of {self.samples} samples; expected one a sample")
        self.told = {
            "labels": None if labels is None else [_label(label) for label in labels],
            "tokens": None if labels is None or not any(map(_is_tokens, labels)) else [_tokens(label) for label in labels],
            "digest": _digest(tensors),
        }
        """What the log says of the samples, see `wire`, record ``inputs``."""
        self._batch = tree_map(lambda leaf: leaf.detach().clone() if isinstance(leaf, Tensor) else leaf, batch)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of its first tensor."""
        return tuple(self.first_tensor().shape)

    def first_tensor(self) -> Tensor:
        return next(leaf for leaf in tree_flatten(self._batch)[0] if isinstance(leaf, Tensor))

    def run(self, model: nn.Module) -> None:
        """Run the batch through `model`: evaluation mode, no gradients; random states and training flags as before afterwards."""
        parameter = next(model.parameters(), None)
        if parameter is not None and self.first_tensor().device != parameter.device:
            device = parameter.device
            self._batch = tree_map(lambda leaf: leaf.to(device) if isinstance(leaf, Tensor) else leaf, self._batch)
        devices = [self.first_tensor().device] if self.first_tensor().is_cuda else []
        with torch.no_grad(), _evaluating(model, devices):
            # A copy, as the model may change its input in place; where the batch was made in inference mode, it may change no other.
            batch = tree_map(lambda leaf: leaf.clone() if isinstance(leaf, Tensor) else leaf, self._batch)
            if isinstance(batch, Mapping):
                model(**batch)
            elif isinstance(batch, (tuple, list)):
                model(*batch)
            else:
                model(batch)


@contextmanager
def _evaluating(model: nn.Module, devices: Sequence[torch.device]) -> Iterator[None]:
    # By attribute, not by train(): models override train() to keep parts frozen.
    flags = {module: module.training for module in model.modules()}
    drawn = random.getstate(), np.random.get_state(), torch.get_rng_state(), [torch.cuda.get_rng_state(device) for device in devices]
    try:
        for module in flags:
            module.training = False
        yield
    finally:
        for module, training in flags.items():
            module.training = training
        made = [(path, module) for path, module in model.named_modules() if module not in flags]
        for path, module in made:
            module.training = model.get_submodule(path.rpartition(".")[0]).training
        if not made:  # what a model draws in its first forward, to make modules, it draws once, with a probe as without
            random.setstate(drawn[0])
            np.random.set_state(drawn[1])
            torch.set_rng_state(drawn[2])
            for device, state in zip(devices, drawn[3], strict=True):
                torch.cuda.set_rng_state(state, device)


def _digest(tensors: Sequence[Tensor]) -> str | None:
    """Return a digest of shapes, dtypes and values, by which probes of two runs are known to be the same; None: they cannot be read."""
    digest = hashlib.sha256()
    try:
        for tensor in tensors:
            digest.update(repr((tuple(tensor.shape), tensor.dtype)).encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    except (RuntimeError, TypeError, NotImplementedError):  # sparse and quantised ones have no bytes of their own
        return None
    return digest.hexdigest()[:32]


def _is_tokens(label: object) -> bool:
    return isinstance(label, (list, tuple)) and all(isinstance(token, str) for token in label)


def _tokens(label: Any) -> list[str] | None:
    return list(label) if _is_tokens(label) else None


def _label(label: Any) -> str:
    if _is_tokens(label):
        return "".join(label)
    return str(label.item()) if isinstance(label, Tensor) and label.numel() == 1 else str(label)
