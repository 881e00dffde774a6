"""Attaching hooks for one forward, and always detaching them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils.hooks import RemovableHandle

from actviz_tb import compiler, outputs
from actviz_tb.selection import SelectedModule, class_name, keeps_to_itself
from actviz_tb.steps import StepCounter

_is_compiling = torch.compiler.is_compiling
_tracing_state = torch._C._get_tracing_state
_graph_task = torch._C._current_graph_task_id
_is_grad_enabled = torch.is_grad_enabled
_KEY = re.compile(r"\.[^.\[]+")
MAX_CALLS = 64
"""So many calls of one layer in one forward are recorded."""


@dataclass(frozen=True, slots=True)
class LayerOutput:
    """One tensor that a module, or a function inside a module, put out.

    Attributes:
        name: module's name, ``:n`` for its n-th call after the first in this forward, then the part of a structured output.
        path: the module's name alone; of a function ``module/function``.
        kind: the module's class, or the function's name.
        module: the module; for a function one that would compute the same, or None.
        call: 0 for the first call.
        tensor: the output itself, still part of the autograd graph.
        inputs: names of the layers that it was made from.
        same_as: name of another output that is this very tensor, recorded before and not changed since.
        given: what one of torch's own layers or functions was given, None for others.
    """

    name: str
    path: str
    kind: str
    module: nn.Module | None
    call: int
    tensor: Tensor
    inputs: tuple[str, ...] = ()
    same_as: str | None = None
    given: object = None


Sink = Callable[[LayerOutput], bool]
"""Takes an output; says whether it is recorded."""
OnFault = Callable[[str, Exception], None]
OnSkip = Callable[[str, str], None]


class Observer:
    """Told of the modules that run; this one does nothing. See `functions.Functions`.

    Attributes:
        calls: how often each name has put something out in this forward.
    """

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()

    def enter(self, name: str, module: nn.Module) -> None:
        """A module begins."""

    def leave(self, name: str, module: nn.Module, inputs: object, output: object) -> None:
        """It has ended, with an output of None by an exception."""

    def inputs(self, values: object) -> tuple[str, ...]:
        """Return the names of the layers that tensors come from."""
        return ()

    def produced(self, name: str, tensor: Tensor) -> None:
        """A layer put out a tensor."""

    def same_as(self, tensor: Tensor) -> str | None:
        """Return the name under which a tensor was recorded just now as a function's output."""
        return None


class ForwardHooks:
    """Forward hooks on the selected modules, from `attach` to `detach`.

    Each output goes to the sink inside the hook, before an in-place operation can overwrite it. A fault in the sink goes to
    `on_fault`; the hooks return None, so that no output is ever replaced.

    Attributes:
        fired: names of the modules that were called.
        aliases: names under which outputs are recorded that a block only passes on, by the block's.

    Args:
        selected: the modules to record.
        sink, on_fault: see above.
        on_skip: told of an output that is not recorded, and why.
        observer: told of all of `observed`, the modules in which functions may run.
        bare: those of both on which no hook may lie: torch's global hooks tell of them.
    """

    def __init__(
        self,
        selected: Sequence[SelectedModule],
        sink: Sink,
        on_fault: OnFault,
        on_skip: OnSkip | None = None,
        observer: Observer | None = None,
        observed: Sequence[SelectedModule] = (),
        bare: frozenset[nn.Module] = frozenset(),
    ) -> None:
        self.fired: set[str] = set()
        self.aliases: dict[str, str] = {}
        self._selected = selected
        self._sink = sink
        self._on_fault = on_fault
        self._on_skip = on_skip
        self._observer = observer or Observer()
        self._observed = observed
        self._paths = {each.name for each in (*selected, *observed)}
        self._bare = bare
        self._last: list[tuple[Tensor, str]] = []
        self._handles: list[RemovableHandle] = []

    def attach(self) -> None:
        for each in self._observed:
            self._before(each.module, self._enter(each.name))
        for each in self._selected:
            self._after(each.module, self._hook(each))
        for each in self._observed:
            self._after(each.module, self._leave(each.name), always_call=True)

    def detach(self) -> None:
        while self._handles:
            self._handles.pop().remove()
        self._last.clear()

    def __enter__(self) -> ForwardHooks:
        self.attach()
        return self

    def __exit__(self, *exception: object) -> None:
        self.detach()

    def _before(self, module: nn.Module, hook: Callable[[nn.Module, Any], None]) -> None:
        if module in self._bare:
            handle = register_module_forward_pre_hook(lambda called, *rest: hook(called, *rest) if called is module else None)
        else:
            handle = add_pre_hook(module, hook)
        self._handles.append(handle)

    def _after(self, module: nn.Module, hook: Callable[[nn.Module, Any, Any, Any], None], always_call: bool = False) -> None:
        if module in self._bare:

            def of_this(called: nn.Module, args: Any, output: Any) -> None:
                if called is module:
                    hook(called, args, {}, output)

            # Without keyword arguments: a global hook that takes them leaves a mark in torch when it is removed.
            handle = register_module_forward_hook(of_this, always_call=always_call)
        else:
            handle = add_hook(module, hook, with_kwargs=True, always_call=always_call)
        self._handles.append(handle)

    def _enter(self, name: str) -> Callable[[nn.Module, Any], None]:
        def pre_hook(module: nn.Module, args: Any) -> None:
            try:
                self._observer.enter(name, module)
            except Exception as error:  # whatever goes wrong here must not stop the training
                self._on_fault(name, error)

        return pre_hook

    def _leave(self, name: str) -> Callable[[nn.Module, Any, Any, Any], None]:
        def hook(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            try:
                with torch._C.DisableTorchFunction():
                    self._observer.leave(name, module, (args, kwargs), output)
            except Exception as error:  # whatever goes wrong here must not stop the training
                self._on_fault(name, error)

        return hook

    def _hook(self, selected: SelectedModule) -> Callable[[nn.Module, Any, Any, Any], None]:
        def hook(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            try:
                if self._is_recorded(module, output):
                    with torch._C.DisableTorchFunction():  # what happens here is none of the model's functions
                        self._record(selected, (args, kwargs), output)
            except Exception as error:  # whatever goes wrong here must not stop the training
                self._on_fault(selected.name, error)

        return hook

    def _is_recorded(self, module: nn.Module, output: object) -> bool:
        """Say whether a call counts: not when backward repeats it (checkpointing), nor in DataParallel's replicas but the first."""
        return not in_backward() and (not is_replica(module) or is_of_first_replica(output, self._modules()))

    def _modules(self) -> Iterator[nn.Module]:
        return (each.module for each in (*self._observed, *self._selected))

    def _record(self, selected: SelectedModule, inputs: object, output: Any) -> None:
        self.fired.add(selected.name)
        call = self._observer.calls[selected.name]
        self._observer.calls[selected.name] += 1
        name = f"{selected.name}:{call}" if call else selected.name
        found = list(outputs.tensors(output))
        if not found and selected.always and output is not None:
            self._skip(name, f"its output is a {type(output).__name__} without a tensor")
        if call >= MAX_CALLS:
            self._skip(f"{selected.name}:{MAX_CALLS}...", f"more than {MAX_CALLS} calls in one forward")
            return
        put_out: list[tuple[Tensor, str]] = []
        for suffix, tensor in found:
            full = name + part_name(selected.name, suffix, self._paths)
            same_as = self._observer.same_as(tensor)
            passed_on = None if selected.always else same_as or next((last for made, last in self._last if tensor is made), None)
            put_out.append((tensor, passed_on or full))
            if passed_on:
                self.aliases[full] = passed_on
                continue
            # What is known of the tensor itself is what children and functions inside made it from.
            made_from = (same_as,) if same_as else self._observer.inputs(tensor) or self._observer.inputs(inputs)
            kind, given = class_name(selected.module), inputs if keeps_to_itself(selected.module) else None
            if self._sink(LayerOutput(full, selected.name, kind, selected.module, call, tensor, made_from, same_as, given)):
                self._observer.produced(full, tensor)
        self._last = put_out

    def _skip(self, name: str, reason: str) -> None:
        if self._on_skip is not None:
            self._on_skip(name, reason)


def part_name(name: str, suffix: str, paths: Collection[str]) -> str:
    """Return the name of an output's part: `suffix`, but ``[key]`` where ``.key`` is a child module, whose own output goes by that."""
    key = _KEY.match(suffix)
    if key is None or name + key[0] not in paths:
        return suffix
    return f"[{key[0][1:]}]{suffix[key.end() :]}"


add_hook: Callable[..., RemovableHandle] = nn.Module.register_forward_hook
"""``add_hook(module, hook, ...)``, also for a ScriptModule, whose own method refuses; its hooks run like any other's."""
add_pre_hook: Callable[..., RemovableHandle] = nn.Module.register_forward_pre_hook


def in_backward() -> bool:
    """Say whether a backward pass is going on in this thread; what a checkpoint runs again in it was recorded before."""
    return _graph_task() != -1


def is_replica(module: nn.Module) -> bool:
    """Say whether a module is a copy that DataParallel made for one forward on one device."""
    return bool(module.__dict__.get("_is_replica", False))


def is_of_first_replica(values: object, originals: Iterable[nn.Module]) -> bool:
    """Say whether what a replica was given, or put out, is that of the first one, which is where the parameters of the originals are."""
    tensor = next((tensor for _, tensor in outputs.tensors(values)), None)
    parameter = next((parameter for module in originals for parameter in module.parameters()), None)
    return tensor is not None and (parameter is None or parameter.device == tensor.device)


class RootGate:
    """The one hook that stays on a watched model between logged steps: calls back before each forward.

    A copy or a pickle of the model gets a gate without a callback: a copy is not watched.

    Args:
        before_forward: ``(model, args, kwargs) -> bool``, whether the forward is recorded; one that is runs eagerly.
        steps: counts the forwards of which it is known in advance that nothing is to be done; there is no call back before them.

    Attributes:
        compiled: the forward that begins is that of a compiled model.
    """

    def __init__(
        self,
        before_forward: Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], bool] | None = None,
        steps: StepCounter | None = None,
    ) -> None:
        self._before_forward = before_forward
        self._steps = steps
        self._called = False
        self._wrapped = False
        self.compiled = False

    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        # What is traced would happen once, not at each call. All here is written out: in a training step a call costs twenty times what
        # it costs in a loop, because the step has driven all of it from the processor's caches.
        if _is_compiling() or _tracing_state() is not None or self._called or self._before_forward is None:
            return
        steps = self._steps
        if steps is not None and steps.quiet and "_is_replica" not in module.__dict__:
            if module.training and _is_grad_enabled() and _graph_task() == -1:  # else it is no step
                steps.quiet -= 1
            return
        callback = compiler.set_eval_frame(None)  # dynamo looks at no frame
        self.compiled = self._wrapped or callback is not None
        try:
            if self._before_forward(module, args, kwargs):
                callback = None  # and the rest of the compiled call that is going on runs as it is written
        finally:
            compiler.set_eval_frame(callback)

    @contextmanager
    def early(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[None]:
        """Call back now, and not in the forward inside."""
        self._wrapped = True
        self(module, args, kwargs)
        self._wrapped, self._called = False, True
        try:
            yield
        finally:
            self._called = False

    def __reduce__(self) -> tuple[type[RootGate], tuple[()]]:
        return RootGate, ()


compiler.never_compile(RootGate.__call__)
