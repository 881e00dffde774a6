"""The flight recorder's hooks: what is on a model from the start of a training forward to its end."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from actviz_tb import compiler, fused, selection
from actviz_tb.recorder import Options
from actviz_tb.report import Meter
from actviz_tb.selection import SelectedModule

if TYPE_CHECKING:
    from actviz_tb.flight import FlightRecorder

SKIPPED = "flight recorder"
"""In the report: before what it does not see."""

_is_traced = torch.compiler.is_dynamo_compiling
_graph_task = torch._C._current_graph_task_id
_float32 = torch.float32


class OutputHooks:
    """The hooks on the selected modules, of which none is on between two forwards: an entry in a module's dict is all that it takes.

    So an evaluation runs as it would without, and a model is copied without them.

    Attributes:
        root: what the hook on the model itself would be, which is called by the one that ends the forward.
        root_selected: it is to be called.
        paths: names of all modules.
    """

    def __init__(self, flight: FlightRecorder, model: nn.Module, options: Options, meter: Meter) -> None:
        self.root = OutputHook(flight, SelectedModule(options.name or selection.class_name(model), model, always=False))
        self.root_selected = False
        self.paths: set[str] = set()
        self._flight = flight
        self._model = weakref.ref(model)
        self._options = options
        self._meter = meter
        self._entries: list[tuple[dict[int, Any], int, OutputHook]] | None = None
        self._may_fuse: list[weakref.ref[nn.Module]] = []

    def attach(self) -> None:
        for hooks, key, hook in self._entries or ():
            hooks[key] = hook

    def detach(self) -> None:
        for hooks, key, _ in self._entries or ():
            hooks.pop(key, None)

    def may_differ(self) -> bool:
        """Say whether other modules may have to be hooked than in the forward before: nothing was chosen yet, or a layer may run fused."""
        return self._entries is None or not all((each := ref()) is None or each.training for ref in self._may_fuse)

    def choose(self) -> None:
        """Choose the modules to hook."""
        model = self._model()
        assert model is not None
        options = self._options
        observed = selection.select(model, None, options.name)
        selected = observed if options.layers is None else selection.select(model, options.layers, options.name)
        alone = fused.fused(model)
        left_out = {
            "a compiled part, whose graph is left alone": compiler.compiled_parts(model),
            "a frozen transformer layer, which runs as one fused kernel": fused.inside(alone) | fused.hookless(alone),
        }
        for reason, modules in left_out.items():
            for each in selected:
                if each.module in modules:
                    self._meter.skipped[f"{SKIPPED}: {each.name}"] = f"inside {reason}"
        unseen = frozenset[nn.Module]().union(*left_out.values())
        self.paths = {each.name for each in (*selected, *observed)}
        self._may_fuse = [
            weakref.ref(each) for each in model.modules() if isinstance(each, (nn.TransformerEncoderLayer, nn.MultiheadAttention))
        ]
        former = {id(hooks): (hooks, key, hook) for hooks, key, hook in self._entries or ()}
        self._entries = []
        self.root_selected = False
        for each in selected:
            if each.module is model:  # its hook is called by the one that ends the forward
                self.root, self.root_selected = OutputHook(self._flight, each), True
            if each.module is model or each.module in unseen:
                continue
            hooks: Any = each.module._forward_hooks
            kept = former.get(id(hooks))
            if kept is None or (kept[2].name, kept[2].always) != (each.name, each.always):
                kept = (hooks, RemovableHandle(hooks).id, OutputHook(self._flight, each))
            self._entries.append(kept)


class OutputHook:
    """Hook on one module, which has the ring's row hold what it puts out. A copy of it, in a copy of the model, does nothing.

    Attributes:
        columns: of the ring, by call, as far as they are known and the calls put out bare tensors.
        forward, calls: how often it was called in which forward.
    """

    __slots__ = ("__weakref__", "always", "calls", "columns", "flight", "forward", "name")

    def __init__(self, flight: FlightRecorder | None = None, selected: SelectedModule | None = None) -> None:
        self.flight = flight
        self.name, self.always = (selected.name, selected.always) if selected is not None else ("", False)
        self.columns: list[int] = []
        self.forward = self.calls = 0

    def __call__(self, module: nn.Module, args: Any, output: Any) -> None:
        # Written out, with one call of compiled code, as a Python call costs most in a training step: see RootGate.
        if _is_traced():
            return
        flight = self.flight
        if flight is None or not flight.active or (output is flight.last and not self.always):
            return
        try:
            if self.forward != flight.forward:
                self.forward, self.calls = flight.forward, 0
            call = self.calls
            if (
                call < len(self.columns)
                and type(output) is Tensor
                and output.dtype is _float32
                and output.is_cpu
                and output.is_contiguous()
                and flight.glance is not None
                and _graph_task() == -1
                and "_is_replica" not in module.__dict__
            ):
                self.calls, flight.last = call + 1, output
                flags = flight.glance(output.data_ptr(), output.numel(), flight.address, self.columns[call])
                if flags or flight.recording is not None:
                    flight.notice(self.of_call(call), self, module, call, output, flags)
            else:
                flight.see(self, module, output)
        except Exception as error:  # whatever goes wrong here must not stop the training
            flight._on_fault(self.name, error)

    def of_call(self, call: int) -> str:
        """Return the name of a call's output."""
        return f"{self.name}:{call}" if call else self.name

    def __reduce__(self) -> tuple[type[OutputHook], tuple[()]]:
        return OutputHook, ()


class EndHook:
    """Hook on the root that is called at the end of its forward, also by an exception. A copy of it does nothing."""

    def __init__(self, flight: FlightRecorder | None = None) -> None:
        self.flight = flight

    def __call__(self, module: nn.Module, args: Any, output: Any) -> None:
        if _is_traced():
            return
        flight = self.flight
        if flight is None or not flight.active or module is not flight._called:
            return
        callback = compiler.set_eval_frame(None)  # dynamo looks at no frame: see RootGate
        try:
            flight.end(module, output)
        except Exception as error:  # whatever goes wrong here must not stop the training
            flight._on_fault("", error)
        finally:
            compiler.set_eval_frame(callback)

    def __reduce__(self) -> tuple[type[EndHook], tuple[()]]:
        return EndHook, ()


for _hook in (OutputHook, EndHook):
    compiler.never_compile(_hook.__call__)
