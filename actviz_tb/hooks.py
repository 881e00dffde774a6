"""Attaching hooks for one forward, and always detaching them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from actviz_tb import outputs
from actviz_tb.selection import SelectedModule


@dataclass(frozen=True, slots=True)
class LayerOutput:
    """One tensor that a module put out.

    Attributes:
        name: module's name, ``:n`` for its n-th call after the first in this forward, then the part of a structured output.
        path: the module's name alone.
        module: the module.
        call: 0 for the first call.
        tensor: the output itself, still part of the autograd graph.
    """

    name: str
    path: str
    module: nn.Module
    call: int
    tensor: Tensor


Sink = Callable[[LayerOutput], None]
OnFault = Callable[[str, Exception], None]


class ForwardHooks:
    """Forward hooks on the selected modules, from `attach` to `detach`.

    Each output goes to the sink inside the hook, before an in-place operation can overwrite it. A fault in the sink goes to
    `on_fault`; the hooks return None, so that no output is ever replaced.
    """

    def __init__(self, selected: Sequence[SelectedModule], sink: Sink, on_fault: OnFault) -> None:
        self.fired: set[str] = set()
        self._selected = selected
        self._sink = sink
        self._on_fault = on_fault
        self._calls: Counter[str] = Counter()
        self._last: list[Tensor] = []
        self._handles: list[RemovableHandle] = []

    @property
    def attached(self) -> bool:
        return bool(self._handles)

    def attach(self) -> None:
        for each in self._selected:
            self._handles.append(each.module.register_forward_hook(self._hook(each)))

    def detach(self) -> None:
        while self._handles:
            self._handles.pop().remove()
        self._calls.clear()
        self._last.clear()

    def __enter__(self) -> ForwardHooks:
        self.attach()
        return self

    def __exit__(self, *exception: object) -> None:
        self.detach()

    def _hook(self, selected: SelectedModule) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            try:
                self._record(selected, output)
            except Exception as error:  # whatever goes wrong here must not stop the training
                self._on_fault(selected.name, error)

        return hook

    def _record(self, selected: SelectedModule, output: Any) -> None:
        self.fired.add(selected.name)
        call = self._calls[selected.name]
        self._calls[selected.name] += 1
        name = f"{selected.name}:{call}" if call else selected.name
        found = list(outputs.tensors(output))
        for suffix, tensor in found:
            if selected.always or not any(tensor is last for last in self._last):
                self._sink(LayerOutput(name + suffix, selected.name, selected.module, call, tensor))
        self._last = [tensor for _, tensor in found]


class RootGate:
    """The one hook that stays on a watched model between logged steps: calls back before each forward.

    A copy or a pickle of the model gets a gate without a callback: a copy is not watched.
    """

    def __init__(self, before_forward: Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], None] | None = None) -> None:
        self._before_forward = before_forward

    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self._before_forward is not None:
            self._before_forward(module, args, kwargs)

    def __reduce__(self) -> tuple[type[RootGate], tuple[()]]:
        return RootGate, ()
