"""Gradients of the loss with respect to layers' outputs.

By hooks on the tensors: in-place operations and structured outputs do not matter.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from actviz_tb import maps, outputs, statistics
from actviz_tb.hooks import LayerOutput, OnFault, OnSkip
from actviz_tb.statistics import Scratch
from actviz_tb.summary import ActivationSummary


class GradientRecording:
    """Collects the gradients of one recorded forward's outputs, until the first backward through them ends.

    The hooks of the graph's tensors keep it; other forwards may go before that backward.

    Attributes:
        started: that backward has begun.

    Args:
        scratch: work buffers.
        on_end: called once, at the end of that backward, with this recording.
        on_cost: told the seconds that a layer's gradient took from the backward.
        on_fault, on_skip: as for `hooks.ForwardHooks`.
    """

    def __init__(
        self,
        scratch: Scratch,
        on_end: Callable[[GradientRecording], None],
        on_cost: Callable[[str, float], None],
        on_fault: OnFault,
        on_skip: OnSkip,
    ) -> None:
        self.started = False
        self.summaries: dict[str, ActivationSummary] = {}
        self._hooked: dict[str, str] = {}
        self._passed_over: set[str] = set()
        self._scratch = scratch
        self._on_end = on_end
        self._on_cost = on_cost
        self._on_fault = on_fault
        self._on_skip = on_skip
        self._open = True

    def add(self, output: LayerOutput) -> None:
        """Ask for the gradient of an output, if it will have one."""
        tensor = outputs.unwrapped(output.tensor)
        if not tensor.requires_grad:
            reason = "the output needs none: frozen, or inside torch.utils.checkpoint with use_reentrant=True"
            self._on_skip(f"gradient of {output.name}", reason)
            return
        twin = self._hooked.get(output.same_as or "")
        # A twin that was recorded inside a torch.autograd.Function was no part of the graph then.
        if twin is None:
            tensor.register_hook(self._hook(output.name, output.module))  # type: ignore[no-untyped-call]
            base = _own_base(tensor, output.given)
            if base is not None:
                hook = self._hook(output.name, output.module, _as_view(tensor, base))
                base.register_hook(hook)  # type: ignore[no-untyped-call]
        self._hooked[output.name] = twin or output.name

    def _hook(self, name: str, module: Any, view: Callable[[Tensor], Tensor] | None = None) -> Callable[[Tensor], None]:
        def hook(gradient: Tensor | None) -> None:
            # None: a torch.autograd.Function says that it has none.
            if not self._open or name in self.summaries or gradient is None:
                return
            started = time.perf_counter()
            try:
                if not self.started:
                    self.started = True
                    torch.autograd.Variable._execution_engine.queue_callback(self.end)
                self._summarise(name, module, gradient, view)
            except Exception as error:  # whatever goes wrong here must not stop the training
                self._on_fault(f"gradient of {name}", error)
            self._on_cost(name, time.perf_counter() - started)

        return hook

    @outputs.outside_transforms
    def _summarise(self, name: str, module: Any, gradient: Tensor, view: Callable[[Tensor], Tensor] | None) -> None:
        with torch.no_grad():
            values = outputs.readable(gradient.detach())
            reason = outputs.unrecordable(values)
            if reason is not None:
                self._passed_over.add(name)
                self._on_skip(f"gradient of {name}", reason)
                return
            values = values if view is None else view(values)
            _, channel_axis = maps.layout(values.shape, module)
            self.summaries[name] = statistics.summarise(values, channel_axis, None, self._scratch)

    def end(self) -> None:
        """Hand over what was collected; what comes later is passed over."""
        if not self._open:
            return
        self._open = False
        found = {}
        for name, twin in self._hooked.items():
            summary = self.summaries.get(twin)
            if summary is not None:
                found[name] = summary
            elif self.started and twin not in self._passed_over:
                self._on_skip(f"gradient of {name}", "no gradient reached it")
        self.summaries = found
        try:
            self._on_end(self)
        except Exception as error:
            self._on_fault("", error)


def _own_base(tensor: Tensor, given: object) -> Tensor | None:
    """Return the tensor of which an output is a view, where the layer made it, from what it was given, for this output alone.

    As ``nn.Linear`` does for sequences. When an in-place operation overwrites a view, autograd goes round the view's own hooks, and only
    the base is told the gradient of what the layer put out.
    """
    base = tensor._base
    if base is None or given is None or not base.requires_grad or base.is_leaf or base.numel() != tensor.numel():
        return None
    return None if any(each is base or each._base is base for _, each in outputs.tensors(given)) else base


def _as_view(tensor: Tensor, base: Tensor) -> Callable[[Tensor], Tensor]:
    """Return what turns the gradient of a base into that of a view of all its elements; keeps neither."""
    size, stride, offset = tensor.size(), tensor.stride(), tensor.storage_offset() - base.storage_offset()
    base_size, base_stride = base.size(), base.stride()

    def view(gradient: Tensor) -> Tensor:
        laid_out = torch.empty_strided(base_size, base_stride, dtype=gradient.dtype, device=gradient.device).copy_(gradient)
        return laid_out.as_strided(size, stride, offset)

    return view
