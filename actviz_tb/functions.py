"""What runs inside a module without a module of its own, and which output feeds which input.

On a recorded forward a torch function mode sees each call of a torch function that Python code makes. Names of functions are torch's own,
without the marks of their variants: ``F.relu_``, ``torch.relu`` and ``Tensor.relu`` are all ``relu``.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from actviz_tb.hooks import MAX_CALLS, LayerOutput, Observer, OnFault, OnSkip, Sink, in_backward, is_replica
from actviz_tb.selection import is_leaf, own_class

INPUT = "input"
"""Name of the model's input as a source."""

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
_PLAIN_NAMES = {"truediv": "div", "true_divide": "div", "multiply": "mul", "subtract": "sub", "divide": "div", "concat": "cat"}


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


class Flow:
    """Which layers each tensor of a forward was made from; holds no tensor."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[weakref.ref[Tensor], tuple[str, ...]]] = {}

    def of(self, values: object) -> tuple[str, ...]:
        """Return the names of the layers that the tensors in nested arguments come from, without repetition."""
        names: dict[str, None] = {}
        for tensor in _tensors(values):
            entry = self._known.get(id(tensor))
            if entry is not None and entry[0]() is tensor:
                names.update(dict.fromkeys(entry[1]))
        return tuple(names)

    def put(self, tensor: Tensor, names: tuple[str, ...]) -> None:
        self._known[id(tensor)] = (weakref.ref(tensor), names)


def _tensors(values: object) -> Iterator[Tensor]:
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, (tuple, list)):
        for value in values:
            yield from _tensors(value)
    elif isinstance(values, dict):
        yield from _tensors(list(values.values()))


class Functions(TorchFunctionMode, Observer):
    """Watches the torch functions of one forward, from `start` to `stop`.

    Args:
        sink, on_fault, on_skip: as for `hooks.ForwardHooks`.
        recorded: names of the modules inside which functions are recorded.
        root: name of the root; a function at its place goes by its own name alone.
        attention: called with (place, function's name, its arguments, its output), or None.
    """

    def __init__(
        self,
        sink: Sink,
        on_fault: OnFault,
        on_skip: OnSkip,
        recorded: frozenset[str],
        root: str,
        attention: Callable[[str, Callable[..., Any], tuple[Any, ...], dict[str, Any], Any], None] | None,
    ) -> None:
        TorchFunctionMode.__init__(self)
        Observer.__init__(self)
        self._sink = sink
        self._on_fault = on_fault
        self._on_skip = on_skip
        self._recorded = recorded
        self._root = root
        self._attention = attention
        self._flow = Flow()
        self._places: list[tuple[str, bool]] = []
        self._latest: tuple[weakref.ref[Tensor], int, str] | None = None
        self._active = False

    def start(self, inputs: object) -> None:
        """Begin; `inputs` are the forward's arguments."""
        for tensor in _tensors(inputs):
            self._flow.put(tensor, (INPUT,))
        self._active = True
        self.__enter__()  # type: ignore[no-untyped-call]

    def stop(self) -> None:
        """End. One that an interrupt left behind may lie under another mode, and is passed through then."""
        if not self._active:
            return
        self._active = False
        if torch.overrides._get_current_function_mode() is self:  # type: ignore[no-untyped-call]
            self.__exit__(None, None, None)

    # Modules

    def enter(self, name: str, module: nn.Module) -> None:
        if not is_replica(module):
            self._places.append((name, _keeps_to_itself(module)))

    def leave(self, name: str, module: nn.Module) -> None:
        # A module whose exception the caller caught has not left.
        while not is_replica(module) and self._places and self._places.pop()[0] != name:
            pass

    def inputs(self, values: object) -> tuple[str, ...]:
        return self._flow.of(values)

    def produced(self, name: str, tensor: Tensor) -> None:
        self._flow.put(tensor, (name,))

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
        if self._active and self._places and not self._places[-1][1] and isinstance(output, (Tensor, tuple, list)) and not in_backward():
            place = self._places[-1][0]
            try:
                self._observe(place, function, args, kwargs, output)
            except Exception as error:  # whatever goes wrong here must not stop the training
                self._on_fault(f"{place}/{function_name(function)}", error)
        return output

    def _observe(self, place: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        kind = function_name(function)
        sources = self._flow.of((args, kwargs))
        path = kind if place == self._root else f"{place}/{kind}"
        if self._attention is not None:
            self._attention(place if kind == "multi_head_attention_forward" else path, function, args, kwargs, output)
        if place in self._recorded and isinstance(output, Tensor) and (kind in RECORDED or (kind in MERGES and self._merges(args, output))):
            sources = self._record(path, kind, output, sources)
        for tensor in _tensors(output):
            self._flow.put(tensor, sources)

    def _record(self, path: str, kind: str, output: Tensor, sources: tuple[str, ...]) -> tuple[str, ...]:
        call = self.calls[path]
        self.calls[path] += 1
        name = f"{path}:{call}" if call else path
        if call >= MAX_CALLS:
            self._on_skip(f"{path}:{MAX_CALLS}...", f"more than {MAX_CALLS} calls in one forward")
            return sources
        self._sink(LayerOutput(name, path, kind, _LIKE.get(kind), call, output, sources))
        self._latest = (weakref.ref(output), _version(output), name)
        return (name,)

    def _merges(self, args: tuple[Any, ...], output: Tensor) -> bool:
        """Say whether two operands as large as the output come from different layers; of a ``cat``, any two."""
        joined = args[0] if args and isinstance(args[0], (tuple, list)) else None
        operands = joined if joined is not None else [each for each in args if isinstance(each, Tensor) and each.shape == output.shape]
        found = [sources for sources in map(self._flow.of, operands) if sources]
        return output.is_floating_point() and len(set(found)) > 1


def _keeps_to_itself(module: nn.Module) -> bool:
    """Say whether what runs inside a module is its own business: torch's own layers are recorded by their output."""
    return own_class(type(module)).__module__.startswith(("torch.nn.modules", "torch.ao.")) and is_leaf(module)


def _version(tensor: Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version
