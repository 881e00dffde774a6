"""A module's output as named tensors, whatever structure it has."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

_MAX_DEPTH = 8
_PACKED = {getattr(torch, "float4_e2m1fn_x2", None)}  # several numbers an element, which torch itself does not convert


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
    named = isinstance(output, tuple) and hasattr(output, "_fields")
    if isinstance(output, (list, tuple)) and not named:
        for index, value in enumerate(output):
            yield f"[{index}]", value
    elif isinstance(output, PackedSequence):
        yield ".data", output.data
    elif isinstance(output, tuple):
        for key in output._fields:  # type: ignore[attr-defined]  # a named tuple
            yield f".{key}", getattr(output, key)
    elif isinstance(output, Mapping):
        for key, value in output.items():
            yield f".{key}", value
    elif dataclasses.is_dataclass(output) and not isinstance(output, type):
        for field in dataclasses.fields(output):
            yield f".{field.name}", getattr(output, field.name, None)


def outside_transforms(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Decorate a function that computes with plain tensors, see `readable`, whatever ``torch.func`` transform the model is in."""

    @functools.wraps(function)
    def outside(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        with torch._C._DisableFuncTorch():
            return function(*args, **kwargs)

    return outside


def unwrapped(tensor: Tensor) -> Tensor:
    """Return the tensor that the training's own autograd knows, inside ``torch.func`` transforms."""
    functorch = torch._C._functorch
    while functorch.is_functorch_wrapped_tensor(tensor):
        tensor = functorch.get_unwrapped(tensor)
    return tensor


def readable(tensor: Tensor) -> Tensor:
    """Return a tensor's values as they lie in memory: a quantised one dequantised, of a replicated DTensor this rank's.

    Inside ``torch.func`` transforms: all samples at once.
    """
    functorch = torch._C._functorch
    while functorch.is_functorch_wrapped_tensor(tensor):
        axis = functorch.maybe_get_bdim(tensor) if functorch.is_batchedtensor(tensor) else -1
        tensor = functorch.get_unwrapped(tensor)
        if axis > 0:
            tensor = tensor.movedim(axis, 0)
    if _is_replicated(tensor):
        tensor = tensor.to_local()  # type: ignore[attr-defined]
    if hasattr(tensor, "trigger_wait"):  # the result of a collective that may still be under way
        tensor = tensor.trigger_wait()
    if tensor.is_quantized:
        return tensor.dequantize()
    # A negative view (the imaginary part of a conjugate) keeps its values without their sign, a zero tensor none at all.
    return tensor.clone() if tensor.is_neg() or tensor._is_zerotensor() else tensor


def unrecordable(tensor: Tensor) -> str | None:
    """Return why a tensor's values (see `readable`) cannot be summarised, or None when they can."""
    if tensor.is_nested:
        return "nested tensor"
    if tensor.layout != torch.strided:
        return f"layout {tensor.layout}"
    if tensor.device.type == "meta":
        return "meta tensor without values"
    if getattr(tensor, "placements", ()):
        return "a DTensor of which each rank holds a part"
    if not is_plain(tensor):
        return f"a {type(tensor).__name__}, which may hold no values of its own"
    if not tensor.dtype.is_floating_point or tensor.dtype in _PACKED:
        return f"dtype {tensor.dtype}"
    if tensor.numel() == 0:
        return f"no element (shape {tuple(tensor.shape)})"
    return None


def is_plain(tensor: Tensor) -> bool:
    """Say whether operations on a tensor are torch's own, so that compiled code may read its memory; a fake or masked one has none."""
    return type(tensor).__torch_dispatch__ is Tensor.__torch_dispatch__


def _is_replicated(tensor: Tensor) -> bool:
    placements = getattr(tensor, "placements", ())
    return bool(placements) and all(placement.is_replicate() for placement in placements)
