"""Living with ``torch.compile``: due steps run eagerly, all others run the user's compiled graph untouched.

The hooks of a compiled model's root run outside its graph, save where torch traces through them (a container of torch's own, such as
``nn.Sequential``); there, the call of the compiled wrapper itself comes first, see `call_gate_first`. What dynamo must not compile, the
gate's own frame, is marked once with `never_compile`. The primitives below torch's own ``set_stance`` and ``disable`` are used
directly, because both refuse to work, or end too early, inside a compiled model's call.
"""

from __future__ import annotations

import functools
import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, TypeVar

import torch
from torch import nn
from torch._C._dynamo import eval_frame

from actviz_tb.selection import unwrapped

EarlyGate = Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], AbstractContextManager[None]]

Function = TypeVar("Function", bound=Callable[..., Any])

set_eval_frame = eval_frame.set_eval_frame
"""Sets what dynamo does with the frames of this thread from now on (None: nothing), and returns what it did before."""

_gates: weakref.WeakKeyDictionary[nn.Module, list[EarlyGate]] = weakref.WeakKeyDictionary()


def never_compile(function: Function) -> Function:
    """Let dynamo pass over the function's own frame when it is called, not traced; usable as a decorator."""
    if hasattr(eval_frame, "set_code_exec_strategy"):
        passing = eval_frame._FrameExecStrategy(eval_frame._FrameAction.SKIP, eval_frame._FrameAction.DEFAULT)
        eval_frame.set_code_exec_strategy(function.__code__, passing)
    else:  # torch before 2.7
        eval_frame.skip_code(function.__code__)  # type: ignore[attr-defined]
    return function


def uncompiled(model: nn.Module) -> nn.Module:
    """Return the module inside ``torch.compile``'s wrapper."""
    while isinstance(inner := getattr(model, "_orig_mod", None), nn.Module):
        model = inner
    return model


def compiled_parts(model: nn.Module) -> frozenset[nn.Module]:
    """Return the modules of a model that run inside a compiled graph, or as one, because they or a module above them are compiled."""
    found: set[nn.Module] = set()
    for module in model.modules():
        if isinstance(module._modules.get("_orig_mod"), nn.Module) or module._compiled_call_impl is not None:
            found.update(module.modules())
        elif hasattr(module.__dict__.get("forward"), "_torchdynamo_orig_callable"):
            found.update(each for each in module.modules() if each is not module)
    return frozenset(found)


class EagerStep:
    """From `start` to `stop` every compiled function runs eagerly; neither adds a graph, a break or a recompilation."""

    def __init__(self) -> None:
        self._stack = ExitStack()

    def __enter__(self) -> EagerStep:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def start(self) -> None:
        if "torch._dynamo" in sys.modules:
            eager = torch.compiler.set_stance("force_eager") if hasattr(torch.compiler, "set_stance") else _forcing_eager()
            self._stack.enter_context(eager)

    def stop(self) -> None:
        self._stack.close()
        _end_fullgraph_count()


@contextmanager
def _forcing_eager() -> Iterator[None]:
    """Do what ``set_stance("force_eager")`` does, which torch has from 2.6 on."""
    module = sys.modules["torch._dynamo.eval_frame"]
    originals = {name: getattr(module, name) for name in ("set_eval_frame", "_maybe_set_eval_frame") if hasattr(module, name)}
    try:
        for name, original in originals.items():
            setattr(module, name, lambda callback, original=original: original(None if callable(callback) else callback))
        yield
    finally:
        for name, original in originals.items():
            setattr(module, name, original)


def _end_fullgraph_count() -> None:
    """Let ``fullgraph=True``, which counts the compiled frames of a call, miss none in this one."""
    if hasattr(eval_frame, "set_fullgraph_compiled_frame_count"):
        eval_frame.set_fullgraph_compiled_frame_count(-1)


def call_gate_first(model: nn.Module, gate: EarlyGate) -> None:
    """Have ``torch.compile(model)``, made before or after now, enter the gate around each forward, until `forget_gate`."""
    _gates.setdefault(model, []).append(gate)
    _patch_optimized_module()


def forget_gate(model: nn.Module, gate: EarlyGate) -> None:
    """Undo `call_gate_first`."""
    gates = _gates.get(model, [])
    if gate in gates:
        gates.remove(gate)


@functools.cache
def _patch_optimized_module() -> None:
    from torch._dynamo.eval_frame import OptimizedModule

    call: Any = OptimizedModule.__call__

    @functools.wraps(call)
    def gated_call(self: Any, *args: Any, **kwargs: Any) -> Any:
        if torch.compiler.is_compiling() or not _gates:
            return call(self, *args, **kwargs)
        inside = dict.fromkeys((self._orig_mod, unwrapped(self)))
        gates = [(model, gate) for model in inside for gate in _gates.get(model, ())]
        with ExitStack() as stack:
            for model, gate in gates:
                stack.enter_context(gate(model, args, kwargs))
            return call(self, *args, **kwargs)

    OptimizedModule.__call__ = gated_call  # type: ignore[method-assign]
