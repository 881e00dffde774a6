"""What runs inside a module without a module of its own, and which output feeds which input.

On a recorded forward a torch function mode sees each call of a torch function that Python code makes. Names of functions are torch's own,
without the marks of their variants: ``F.relu_``, ``torch.relu`` and ``Tensor.relu`` are all ``relu``.
"""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from actviz_tb import outputs
from actviz_tb.attention import ATTENDING
from actviz_tb.flow import INPUT, Flow, tensors
from actviz_tb.hooks import MAX_CALLS, LayerOutput, Observer, OnFault, OnSkip, Sink, in_backward, is_replica
from actviz_tb.selection import SelectedModule, keeps_to_itself

_ACTIVATIONS = """relu relu6 gelu silu mish elu celu selu leaky_relu prelu rrelu glu logsigmoid hardsigmoid hardswish hardtanh hardshrink
    softshrink tanhshrink softplus softsign threshold sigmoid tanh softmax softmin log_softmax gumbel_softmax"""
_LINEAR = """linear bilinear conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d matmul mm bmm baddbmm addmm einsum
    embedding embedding_bag scaled_dot_product_attention"""
_OTHERS = """batch_norm layer_norm group_norm instance_norm local_response_norm rms_norm normalize dropout alpha_dropout dropout1d dropout2d
    dropout3d max_pool1d max_pool2d max_pool3d avg_pool1d avg_pool2d avg_pool3d lp_pool1d lp_pool2d adaptive_avg_pool1d
    adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d
    interpolate pixel_shuffle grid_sample"""
RECORDED = frozenset(f"{_ACTIVATIONS} {_LINEAR} {_OTHERS}".split())
"""Functions that are recorded wherever they are called."""
MERGES = frozenset(("add", "sub", "mul", "div", "cat"))
"""Functions that are recorded where they bring two branches of the network together."""

_LIKE: dict[str, nn.Module] = {
    "sigmoid": nn.Sigmoid(),
    "hardsigmoid": nn.Hardsigmoid(),
    "tanh": nn.Tanh(),
    "softsign": nn.Softsign(),
    "relu6": nn.ReLU6(),
    "max_pool1d": nn.MaxPool1d(1),
    "avg_pool1d": nn.AvgPool1d(1),
}
_PLAIN_NAMES = {
    "truediv": "div",
    "true_divide": "div",
    "divide": "div",
    "multiply": "mul",
    "subtract": "sub",
    "concat": "cat",
    "concatenate": "cat",
    "log_sigmoid": "logsigmoid",
    "special_expit": "sigmoid",
    "special_softmax": "softmax",
    "special_log_softmax": "log_softmax",
}


@functools.lru_cache(maxsize=4096)
def function_name(function: Callable[..., Any]) -> str:
    """Return a torch function's plain name.

    >>> function_name(torch.Tensor.__iadd__), function_name(nn.functional.relu_)
    ('add', 'relu')
    """
    own = getattr(function, "__name__", "")
    name = own.strip("_")
    if own.startswith(("__i", "__r")) and name[1:] in (*MERGES, "truediv", "matmul"):
        name = name[1:]
    return _PLAIN_NAMES.get(name, name)


class Place(NamedTuple):
    """Where in the model the forward is.

    Attributes:
        name: of the module that runs.
        keeps: what runs inside it is its own business, see `selection.keeps_to_itself`.
        attended: so much attention had been recorded when it began.
    """

    name: str
    keeps: bool
    attended: int


Attended = Callable[[str, str, Callable[..., Any], tuple[Any, ...], dict[str, Any]], bool]
"""Called with (layer's name, function's name, function, its arguments); says whether that was attention and is recorded."""
Returned = Callable[[object, list[tuple[str, Tensor]]], None]
"""Called with (a module's arguments, the recorded parts of its output by name), where no attention was found inside the module."""


class Functions(TorchFunctionMode, Observer):
    """Watches the torch functions of one forward, from `start` to `stop`, in the thread that starts it.

    Args:
        sink, on_fault, on_skip: as for `hooks.ForwardHooks`.
        root: the model; a function at its place goes by its own name alone, unless the model was given a name.
        named: it was.
        selected: names of the modules inside which functions and attention are recorded.
        functional: record functions; else only what they tell of attention and of where tensors come from.
        attended, returned: see there; None: no attention.
        fused: modules inside which torch must not find a function mode at work, see `fused.fused`.
    """

    def __init__(
        self,
        sink: Sink,
        on_fault: OnFault,
        on_skip: OnSkip,
        root: SelectedModule,
        *,
        named: bool,
        selected: frozenset[str],
        functional: bool,
        attended: Attended | None,
        returned: Returned | None,
        fused: frozenset[nn.Module] = frozenset(),
    ) -> None:
        TorchFunctionMode.__init__(self)
        Observer.__init__(self)
        self._sink = sink
        self._on_fault = on_fault
        self._on_skip = on_skip
        self._root = None if named else root.name
        self._selected = selected
        self._functional = functional
        self._attended = attended
        self._returned = returned
        self._fused = fused
        self._flow = Flow()
        self._attentions = 0
        # Twice: the forward's own pre-hooks, among which this begins, may be under way; and the root's hooks do not take the lowest.
        self._places = [Place(root.name, keeps_to_itself(root.module), 0)] * 2
        self._latest: tuple[weakref.ref[Tensor], int, str] | None = None
        self._produced: list[tuple[str, Tensor]] = []  # by the module that ends
        self._active = False
        self._aside = False
        self._thread = 0

    def start(self, inputs: object) -> None:
        """Begin; `inputs` are the forward's arguments."""
        self._thread = threading.get_ident()
        for _, tensor in outputs.tensors(inputs):
            self._flow.put(tensor, (INPUT,))
        self._active = True
        self.__enter__()  # type: ignore[no-untyped-call]

    def stop(self) -> None:
        """End. One that an interrupt left behind may lie under another mode, and is passed through then."""
        if not self._active:
            return
        self._active = False
        self._step_aside()

    def _step_aside(self) -> bool:
        on_top = torch.overrides._get_current_function_mode() is self  # type: ignore[no-untyped-call]
        if on_top:
            self.__exit__(None, None, None)  # type: ignore[no-untyped-call]
        return on_top

    # Modules. Other threads may run some too; the place is that of the thread which this mode is active in.

    def enter(self, name: str, module: nn.Module) -> None:
        if threading.get_ident() != self._thread:
            return
        self._places.append(Place(name, keeps_to_itself(module), self._attentions))
        if module in self._fused:
            self._aside = self._step_aside()

    def leave(self, name: str, module: nn.Module, inputs: object, output: object) -> None:
        if is_replica(module) and threading.get_ident() != self._thread:  # another one than this mode watches
            return
        sources: tuple[str, ...] | None = None
        for _, tensor in outputs.tensors(output):
            # Made from what the module was given by functions that no mode sees: those of torch's own layers, or of compiled extensions.
            if not self._flow.of(tensor):
                sources = self.inputs(inputs) if sources is None else sources
                self._flow.put(tensor, sources)
        if threading.get_ident() != self._thread:
            return
        produced, self._produced = self._produced, []
        if self._aside and module in self._fused:
            self._aside = False
            self.__enter__()  # type: ignore[no-untyped-call]
        # One of which a pre-hook of the user's raised did not enter; those that an interrupt ended did not leave.
        if not any(place.name == name for place in self._places[1:]):
            return
        place = self._places.pop()
        while place.name != name:
            place = self._places.pop()
        parts = [(layer, tensor) for layer, tensor in produced if layer != _numbered(name, self.calls[name] - 1)]
        if self._returned is not None and parts and place.attended == self._attentions:
            self._returned(inputs, parts)

    def inputs(self, values: object) -> tuple[str, ...]:
        return self._flow.of([tensor for _, tensor in outputs.tensors(values)])

    def produced(self, name: str, tensor: Tensor) -> None:
        self._flow.put(tensor, (name,))
        if threading.get_ident() == self._thread:
            self._produced.append((name, tensor))

    def same_as(self, tensor: Tensor) -> str | None:
        if self._latest is None:
            return None
        latest, version, name = self._latest
        return name if latest() is tensor and _version(tensor) == version else None

    # Functions

    def __torch_function__(
        self, function: Callable[..., Any], types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        output = function(*args, **kwargs)
        if self._active and (output is None or isinstance(output, (Tensor, tuple, list))) and not in_backward():
            place = self._places[-1]
            try:
                with torch._C.DisableTorchFunction():  # what happens here is none of the business of the user's modes
                    self._observe(place, function, args, kwargs, output)
            except Exception as error:  # whatever goes wrong here must not stop the training
                self._on_fault(self._path(place, function_name(function)), error)
        return output

    def _observe(self, place: Place, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        kind = function_name(function)
        if kind in ATTENDING and self._attended is not None and place.name in self._selected:
            # Weights inside a layer of torch's own are that layer's.
            path = place.name if place.keeps or kind == "multi_head_attention_forward" else self._path(place, kind)
            if self.calls[path] < MAX_CALLS:
                self._attentions += self._attended(_numbered(path, self.calls[path]), kind, function, args, kwargs)
        if place.keeps:
            return
        if output is None:
            if kind == "setitem":
                self._flow.put(args[0], self._flow.of(args))
            return
        sources = self._flow.of((args, kwargs))
        try:
            if isinstance(output, Tensor) and (kind in RECORDED or (kind in MERGES and self._merges(args, kwargs, output))):
                sources = self._record(place, kind, output, sources, (args, kwargs))
        finally:
            for tensor in tensors(output):
                self._flow.put(tensor, sources)

    def _record(self, place: Place, kind: str, output: Tensor, sources: tuple[str, ...], given: object) -> tuple[str, ...]:
        """Record a function's output, if it is to be; return the names that it is known as the output of."""
        path = self._path(place, kind)
        call = self.calls[path]
        self.calls[path] += 1
        if not self._functional or place.name not in self._selected:
            return sources
        if call >= MAX_CALLS:
            self._on_skip(f"{path}:{MAX_CALLS}...", f"more than {MAX_CALLS} calls in one forward")
            return sources
        name = _numbered(path, call)
        if not self._sink(LayerOutput(name, path, kind, _LIKE.get(kind), call, output, sources, given=given)):
            return sources
        self._latest = (weakref.ref(output), _version(output), name)
        return (name,)

    def _merges(self, args: tuple[Any, ...], kwargs: dict[str, Any], output: Tensor) -> bool:
        """Say whether two operands as large as the output come from different layers; of a ``cat``, any two."""
        given = (*args, *kwargs.values())
        joined = next((each for each in given if isinstance(each, (tuple, list))), None)
        operands = joined if joined is not None else [each for each in given if isinstance(each, Tensor) and each.shape == output.shape]
        found = [sources for sources in map(self._flow.of, operands) if sources]
        return output.is_floating_point() and len(set(found)) > 1

    def _path(self, place: Place, kind: str) -> str:
        return kind if place.name == self._root else f"{place.name}/{kind}"


def _numbered(path: str, call: int) -> str:
    return f"{path}:{call}" if call > 0 else path


def _version(tensor: Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version
