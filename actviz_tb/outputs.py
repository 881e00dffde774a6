"""A module's output as named tensors, whatever structure it has."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

_MAX_DEPTH = 8


def tensors(output: object, suffix: str = "", depth: int = 0) -> Iterator[tuple[str, Tensor]]:
    """Yield (suffix, tensor) for each tensor in an output, in order.

    The suffix is ``""`` for a bare tensor, ``[i]`` for the i-th part of a list or tuple, ``.key`` for an entry of a mapping,
    a named tuple or a dataclass (so also of a ``ModelOutput``), ``.data`` for a packed sequence::

        >>> [name for name, _ in tensors((torch.ones(1), {"hidden": [torch.ones(1)]}))]
        ['[0]', '[1].hidden[0]']

    What is no tensor (numbers, None, a generator, which must not be consumed) is passed over.
    """
    if isinstance(output, Tensor):
        yield suffix, output
        return
    if depth >= _MAX_DEPTH:
        return
    for name, part in _parts(output):
        yield from tensors(part, suffix + name, depth + 1)


def _parts(output: object) -> Iterator[tuple[str, object]]:
    if isinstance(output, PackedSequence):
        yield ".data", output.data
    elif isinstance(output, Mapping):
        for key, value in output.items():
            yield f".{key}", value
    elif isinstance(output, tuple) and hasattr(output, "_fields"):
        for key in output._fields:
            yield f".{key}", getattr(output, key)
    elif isinstance(output, (list, tuple)):
        for index, value in enumerate(output):
            yield f"[{index}]", value
    elif dataclasses.is_dataclass(output) and not isinstance(output, type):
        for field in dataclasses.fields(output):
            yield f".{field.name}", getattr(output, field.name, None)


def readable(tensor: Tensor) -> Tensor:
    """Return a tensor's values as a plain tensor: a quantised one dequantised, inside ``torch.func`` transforms all samples at once."""
    functorch = torch._C._functorch
    while functorch.is_functorch_wrapped_tensor(tensor):
        axis = functorch.maybe_get_bdim(tensor) if functorch.is_batchedtensor(tensor) else -1
        tensor = functorch.get_unwrapped(tensor)
        if axis > 0:
            tensor = tensor.movedim(axis, 0)
    placements = getattr(tensor, "placements", ())
    if placements and all(placement.is_replicate() for placement in placements):
        tensor = tensor.to_local()  # type: ignore[attr-defined]
    if hasattr(tensor, "trigger_wait"):  # the result of a collective that may still be under way
        tensor = tensor.trigger_wait()
    return tensor.dequantize() if tensor.is_quantized else tensor


def unrecordable(tensor: Tensor) -> str | None:
    """Return why a tensor's values (see `readable`) cannot be summarised, or None when they can."""
    if tensor.is_nested:
        return "nested tensor"
    if tensor.layout != torch.strided:
        return f"layout {tensor.layout}"
    if tensor.device.type == "meta":
        return "meta tensor without values"
    if any(not placement.is_replicate() for placement in getattr(tensor, "placements", ())):
        return "a DTensor of which each rank holds a part"
    if not tensor.dtype.is_floating_point:
        return f"dtype {tensor.dtype}"
    if tensor.numel() == 0:
        return f"no element (shape {tuple(tensor.shape)})"
    return None
