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
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import torch
from torch import nn
from torch._C._dynamo import eval_frame

from actviz_tb.selection import unwrapped

EarlyGate = Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], AbstractContextManager[None]]

_gates: weakref.WeakKeyDictionary[nn.Module, list[EarlyGate]] = weakref.WeakKeyDictionary()


def never_compile(function: Callable[..., Any]) -> None:
    """Let dynamo pass over the function's own frame when it is called, not traced."""
    passing = eval_frame._FrameExecStrategy(eval_frame._FrameAction.SKIP, eval_frame._FrameAction.DEFAULT)
    eval_frame.set_code_exec_strategy(function.__code__, passing)


def is_traced() -> bool:
    """Say whether the code at hand is being traced: what it would do now would happen once, not at each call."""
    return torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None


class NotCompiling:
    """While in force, dynamo looks at no frame. Remembers whether a compiled call was going on."""

    def __enter__(self) -> NotCompiling:
        self._callback = eval_frame.set_eval_frame(None)
        return self

    def __exit__(self, *exception: object) -> None:
        eval_frame.set_eval_frame(self._callback)

    def stay(self) -> None:
        """Run the rest of the compiled call that is going on as it is written."""
        self._callback = None


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
        if "torch._dynamo" in sys.modules and hasattr(torch.compiler, "set_stance"):
            self._stack.enter_context(torch.compiler.set_stance("force_eager"))

    def stop(self) -> None:
        with NotCompiling():
            self._stack.close()
        _satisfy_fullgraph()


def _satisfy_fullgraph() -> None:
    """Tell ``fullgraph=True``, which counts the compiled frames of a call, that none is missing in this one."""
    count = getattr(eval_frame, "set_fullgraph_compiled_frame_count", None)
    if count is not None:
        enabled = count(1) >= 0
        if not enabled:
            count(-1)


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
        inner = unwrapped(self)
        gates = _gates.get(inner) if not torch.compiler.is_compiling() else None
        if not gates:
            return call(self, *args, **kwargs)
        with ExitStack() as stack:
            for gate in gates:
                stack.enter_context(gate(inner, args, kwargs))
            return call(self, *args, **kwargs)

    OptimizedModule.__call__ = gated_call  # type: ignore[method-assign]
