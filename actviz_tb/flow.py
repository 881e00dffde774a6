"""Which layers each tensor of a forward was made from."""

from __future__ import annotations

import weakref
from collections.abc import Iterator

from torch import Tensor

INPUT = "input"
"""Name of the model's input as a source."""


def tensors(values: object) -> Iterator[Tensor]:
    """Yield the tensors in the arguments or the output of a torch function; see `outputs.tensors` for those of a module."""
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, (tuple, list)):
        for value in values:
            yield from tensors(value)
    elif isinstance(values, dict):
        yield from tensors(list(values.values()))


class Flow:
    """Remembers the layers that tensors come from; holds no tensor."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[weakref.ref[Tensor], tuple[str, ...]]] = {}

    def of(self, values: object) -> tuple[str, ...]:
        """Return the names of the layers that the tensors in nested arguments come from, without repetition."""
        names: dict[str, None] = {}
        for tensor in tensors(values):
            entry = self._known.get(id(tensor))
            if entry is not None and entry[0]() is tensor:
                names.update(dict.fromkeys(entry[1]))
        return tuple(names)

    def put(self, tensor: Tensor, names: tuple[str, ...]) -> None:
        self._known[id(tensor)] = (weakref.ref(tensor), names)
