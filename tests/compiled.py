"""Models compiled in every way, and what training them did: to compare watched with unwatched runs."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch._dynamo.utils import counters

import actviz_tb

Call = Callable[..., Any]
Watch = Callable[[nn.Module], None]


class Head(nn.Module):
    """A layer and a function."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.linear(x))


class Plain(nn.Module):
    """An in-place ReLU, a block, and a keyword argument."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 5)
        self.relu = nn.ReLU(inplace=True)
        self.head = Head()

    def forward(self, x: Tensor, scale: float = 1.0) -> Tensor:
        y = self.head(self.relu(self.first(x)))
        return y if scale == 1.0 else y * scale


class Listed(nn.Module):
    """Its layers in a ModuleList."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 3)])

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


def chain() -> nn.Module:
    """A root of torch's own, through whose hooks dynamo traces."""
    return nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 3))


LAYERS = {
    Plain: ["first", "relu", "head.linear", "head/sigmoid"],
    Listed: ["layers.0", "layers.1", "layers.2"],
    chain: ["0", "1", "2"],
}


class Backend:
    """Runs graphs as they are, and counts them.

    Attributes:
        graphs: compiled so far.
        executions: of all of them.
    """

    def __init__(self) -> None:
        self.graphs = 0
        self.executions = 0

    def __call__(self, graph: fx.GraphModule, inputs: list[Tensor]) -> Call:
        return self.counted(graph.forward)

    def counted(self, code: Call) -> Call:
        self.graphs += 1

        def run(*args: Any) -> Any:
            self.executions += 1
            return code(*args)

        return run


def wrapper_watched(model: nn.Module, watch: Watch, **options: Any) -> Call:
    compiled: Any = torch.compile(model, **options)
    watch(compiled)
    return compiled  # type: ignore[no-any-return]


def module_inside_watched(model: nn.Module, watch: Watch, **options: Any) -> Call:
    compiled: Call = torch.compile(model, **options)
    watch(model)
    return compiled


def compiled_after_watch(model: nn.Module, watch: Watch, **options: Any) -> Call:
    watch(model)
    compiled: Call = torch.compile(model, **options)
    return compiled


def in_place_before_watch(model: nn.Module, watch: Watch, **options: Any) -> Call:
    model.compile(**options)
    watch(model)
    return model


def in_place_after_watch(model: nn.Module, watch: Watch, **options: Any) -> Call:
    watch(model)
    model.compile(**options)
    return model


def forward_compiled(model: nn.Module, watch: Watch, **options: Any) -> Call:
    model.forward = torch.compile(model.forward, **options)  # type: ignore[method-assign]
    watch(model)
    return model


def wrapper_inside_data_parallel(model: nn.Module, watch: Watch, **options: Any) -> Call:
    parallel = nn.DataParallel(torch.compile(model, **options))  # type: ignore[arg-type]
    watch(parallel)
    return parallel


def data_parallel_compiled(model: nn.Module, watch: Watch, **options: Any) -> Call:
    compiled: Any = torch.compile(nn.DataParallel(model), **options)
    watch(compiled)
    return compiled  # type: ignore[no-any-return]


WAYS: list[Callable[..., Call]] = [
    wrapper_watched,
    module_inside_watched,
    compiled_after_watch,
    in_place_before_watch,
    in_place_after_watch,
    forward_compiled,
    wrapper_inside_data_parallel,
    data_parallel_compiled,
]


@dataclass(frozen=True)
class Training:
    """What a training did.

    Attributes:
        outputs: of each step.
        parameters: after the last step.
        executions: of compiled graphs at each step.
        compilation: dynamo's own account: frames, graphs, breaks and their reasons.
    """

    outputs: list[Tensor]
    parameters: list[Tensor]
    executions: list[int]
    compilation: dict[str, dict[str, int]]


def batches(steps: int, sizes: tuple[int, ...] = (6,)) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(sizes[step % len(sizes)], 4, generator=generator) for step in range(steps)]


def fresh() -> None:
    """Forget all that dynamo has compiled and counted."""
    gc.collect()  # so that nothing of an earlier test ends, in frames that dynamo would count, while this one runs
    torch._dynamo.reset()
    counters.clear()


def train(call: Call, model: nn.Module, inputs: list[Tensor], backend: Backend | None = None, **kwargs: Any) -> Training:
    """Take a step of plain SGD a batch."""
    counted = backend or Backend()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    outputs, executions = [], []
    for x in inputs:
        before = counted.executions
        output = call(x, **kwargs)
        executions.append(counted.executions - before)
        optimizer.zero_grad()
        output.square().mean().backward()
        optimizer.step()
        outputs.append(output.detach())
    kinds = ("frames", "stats", "graph_break", "unimplemented", "recompiles")
    compilation = {kind: dict(counters[kind]) for kind in kinds}
    return Training(outputs, [parameter.detach().clone() for parameter in model.parameters()], executions, compilation)


def compared(run: Callable[[Watch], Training], directory: Path, **options: Any) -> tuple[Training, actviz_tb.Report]:
    """Train twice from the same seed: without watch, and with it, its log closed at the end.

    Outputs and parameters are the same to the last bit, and so is what was compiled.

    Args:
        run: makes, compiles and trains a model that it gives to its argument where it is to be watched.
        options: of `watch`.

    Returns:
        the watched training, and the logger's report.
    """
    loggers: list[actviz_tb.ActivationLogger] = []
    # The first time in a process, and in an environment that was just made, torch loads parts of itself in frames that it counts.
    _from_scratch(run, lambda model: None)
    reference, watched = (
        _from_scratch(run, watch)
        for watch in (lambda model: None, lambda model: loggers.append(actviz_tb.watch(model, directory, on_error="raise", **options)))
    )
    loggers[0].close()
    assert all(torch.equal(*pair) for pair in zip(watched.outputs, reference.outputs, strict=True))
    assert all(torch.equal(*pair) for pair in zip(watched.parameters, reference.parameters, strict=True))
    assert watched.compilation == reference.compilation, f"{watched.compilation}, without watch {reference.compilation}"
    return watched, loggers[0].report()


def _from_scratch(run: Callable[[Watch], Training], watch: Watch) -> Training:
    fresh()
    torch.manual_seed(0)
    return run(watch)


def layer_outputs(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """An independent eager forward: what each leaf module put out."""
    found: dict[str, Tensor] = {}
    handles = [
        module.register_forward_hook(lambda _module, _args, output, name=name: found.update({name: output.detach().clone()}))
        for name, module in model.named_modules()
        if next(module.children(), None) is None
    ]
    model(x)
    for handle in handles:
        handle.remove()
    return found
