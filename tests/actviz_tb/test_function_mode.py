"""Watching functions beside a user's own modes, subclasses, threads and exceptions: nothing of theirs changes."""

import contextlib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from forward import assert_shows, watched
from logged import counts_and_moments, layers_of, of_tag
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

import actviz_tb
from actviz_tb import functions


class Names(TorchFunctionMode):
    """A user's own mode: notes the functions that it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen.append(function.__name__)
        return function(*args, **(kwargs or {}))


class Attending(nn.Module):
    """Layers, functions, a merge and attention."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(8, 8), nn.LayerNorm(8), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.first(x))
        h = h + F.scaled_dot_product_attention(h, h, h, is_causal=True)
        return self.last(F.gelu(self.norm(h)))  # type: ignore[no-any-return]


class Weighs(nn.Module):
    """Returns attention weights beside its output."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        raised = (x @ x.transpose(1, 2)).exp()
        weights = raised / raised.sum(-1, keepdim=True)
        return weights @ x, weights


class Within(nn.Module):
    """Runs a module inside a context of the user's own."""

    def __init__(self, context: Callable[[], contextlib.AbstractContextManager[Any]]) -> None:
        super().__init__()
        self.context, self.body = context, Attending()

    def forward(self, x: Tensor) -> Tensor:
        with self.context():
            h = self.body(x)
        return F.relu(h.float())


class Subclass(Tensor):
    """A user's own tensor."""


class Vmapped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        return torch.func.vmap(lambda row: F.relu(self.body(row)), in_dims=1, out_dims=1)(x)


class Scripted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        return torch.ops.aten.relu(torch.nested.as_nested_tensor(list(self.body(x))).to_padded_tensor(0.0))  # type: ignore[no-any-return]


class Branches(nn.Module):
    """Two branches in threads of their own, whose modules begin and end in turns."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.last = Attending(), Attending(), nn.Linear(8, 8)
        for branch in (self.left, self.right):
            branch.first.register_forward_hook(lambda *_: self.meet())

    def meet(self) -> None:
        self.barrier.wait(60)

    def forward(self, x: Tensor) -> Tensor:
        self.barrier = threading.Barrier(2)
        with ThreadPoolExecutor(2) as pool:
            left, right = (pool.submit(branch, x) for branch in (self.left, self.right))
        return F.relu(self.last(left.result() + right.result()))


def outcome(model: nn.Module, x: Tensor) -> list[Tensor]:
    """Return a forward's output and the gradients of all parameters."""
    for parameter in model.parameters():
        parameter.grad = None
    torch.manual_seed(5)
    output = model(x)
    output.square().sum().backward()
    return [output.detach(), *(parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None)]


def autocast() -> contextlib.AbstractContextManager[Any]:
    return torch.autocast("cpu", torch.bfloat16)


SCENES: dict[str, tuple[Callable[[], nn.Module], Callable[[], contextlib.AbstractContextManager[Any]]]] = {
    "alone": (Attending, contextlib.nullcontext),
    "under a mode": (Attending, Names),
    "with a mode inside": (lambda: Within(Names), contextlib.nullcontext),
    "under a device": (Attending, lambda: torch.device("meta")),
    "with a device inside": (lambda: Within(lambda: torch.device("cpu")), contextlib.nullcontext),
    "under a dispatch mode": (Attending, lambda: FlopCounterMode(display=False)),
    "under autocast": (Attending, autocast),
    "with autocast inside": (lambda: Within(autocast), contextlib.nullcontext),
    "with torch functions disabled": (lambda: Within(torch._C.DisableTorchFunction), contextlib.nullcontext),
    "mapped over samples": (Vmapped, contextlib.nullcontext),
    "nested tensors": (Scripted, contextlib.nullcontext),
    "threads": (Branches, contextlib.nullcontext),
}


@pytest.mark.parametrize("subclass", [False, True], ids=["tensor", "subclass"])
@pytest.mark.parametrize("scene", SCENES)
def test_outputs_and_gradients_are_the_same_to_the_last_bit_and_nothing_fails(tmp_path: Path, scene: str, subclass: bool) -> None:
    make, context = SCENES[scene]
    torch.manual_seed(1)
    model, x = make(), torch.randn(3, 5, 8)
    x = x.as_subclass(Subclass) if subclass and scene not in ("mapped over samples", "nested tensors") else x
    with context():
        plain = outcome(model, x)
    with actviz_tb.watch(model, tmp_path, every=1, gradients=True) as logger, context():
        recorded = outcome(model, x)
        assert logger.report().faults == {}
    assert [type(each) for each in plain] == [type(each) for each in recorded]
    assert all(torch.equal(one, other) for one, other in zip(plain, recorded, strict=True))
    assert torch.overrides._len_torch_function_stack() == 0


@pytest.mark.parametrize("with_probe", [False, True])
def test_a_users_mode_sees_the_models_functions_and_none_of_ours(tmp_path: Path, with_probe: bool) -> None:
    model, x = nn.Sequential(Attending(), Weighs()), torch.randn(3, 5, 8)

    def seen() -> list[str]:
        with Names() as mode:
            model(x)[0].sum().backward()
        return mode.seen

    alone = seen()
    with actviz_tb.watch(model, tmp_path, every=1, gradients=True, probe=x if with_probe else None):
        found = seen()
    if not with_probe:
        assert found == alone
    # The probe's forward, with what sets it up, comes before the training's.
    assert alone[-2:] == ["sum", "backward"]  # of the loss
    assert [name for name in found if name in alone] == (alone[:-2] if with_probe else []) + alone


def test_under_a_device_that_holds_no_values_the_record_is_of_the_models_values(tmp_path: Path) -> None:
    model, x = Attending(), torch.randn(3, 5, 8)
    expected = F.relu(model.first(x))
    with torch.device("meta"):
        watched(tmp_path, model, x)
    assert_shows(of_tag(tmp_path, "actviz/maps/relu")[0], expected)
    assert_shows(of_tag(tmp_path, "actviz/inputs")[0], x)


def test_functions_of_threads_are_passed_over_and_places_stay_those_of_the_forward(tmp_path: Path) -> None:
    run = watched(tmp_path, Branches(), torch.randn(3, 5, 8))
    modules = {f"{side}.{layer}" for side in ("left", "right") for layer in ("first", "norm", "last")}
    assert set(run.layers()) == modules | {"add", "last", "relu"}
    assert run.inputs()["add"] == ["left.last", "right.last"]


def test_a_module_that_runs_itself_in_a_thread_keeps_its_place(tmp_path: Path) -> None:
    class Deep(nn.Module):
        def forward(self, x: Tensor, depth: int = 1) -> Tensor:
            if depth:
                with ThreadPoolExecutor(1) as pool:
                    x = pool.submit(self, x, depth - 1).result()
            return F.relu(x)

    assert watched(tmp_path, nn.Sequential(Deep()), torch.randn(3, 4)).layers() == ["0", "0/relu", "0:1"]


def test_layers_in_threads_have_the_statistics_of_their_own_outputs(tmp_path: Path, implementation: str) -> None:
    start = threading.Barrier(4)

    class Waits(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            start.wait(60)  # so that the hooks run at the same time
            return x

    class Wide(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.branches = nn.ModuleList(Waits() for _ in range(4))

        def forward(self, x: Tensor) -> Tensor:
            with ThreadPoolExecutor(4) as pool:
                parts = list(pool.map(lambda branch, part: branch(part), self.branches, x))
            return torch.stack(parts)

    x = torch.randn(4, 1000, 1000, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 10, 100, 1000])[:, None, None]
    watched(tmp_path, Wide(), x)
    for index, part in enumerate(x):
        assert counts_and_moments(tmp_path, f"branches.{index}")[1]["std"] == pytest.approx(part.double().std().item(), rel=1e-5)


class Fails(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        raise ValueError(torch.tanh(self.inner(x)).shape)


def refuse(*_: object) -> None:
    raise ValueError


@pytest.mark.parametrize("where", ["forward", "pre-hook", "hook"])
def test_a_caught_exception_of_a_submodule_does_not_shift_later_places(tmp_path: Path, where: str) -> None:
    class Catches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.failing = Fails() if where == "forward" else nn.Sequential(nn.Linear(4, 4))
            if where == "pre-hook":
                self.failing.register_forward_pre_hook(refuse)
            if where == "hook":
                self.failing.register_forward_hook(refuse)

        def forward(self, x: Tensor) -> Tensor:
            with contextlib.suppress(ValueError):
                self.failing(x)
            return F.relu(x)

    run = watched(tmp_path, nn.Sequential(nn.Sequential(Catches(), nn.Linear(4, 4)), nn.Tanh()), torch.randn(3, 4))
    inside = {"forward": ["0.0.failing.inner", "0.0.failing/tanh"], "pre-hook": [], "hook": ["0.0.failing.0"]}[where]
    assert run.layers() == [*inside, "0.0/relu", "0.1", "1"]


@pytest.mark.parametrize("broken", ["_observe", "_merges", "inputs", "leave", "enter", "same_as", "produced"])
def test_a_fault_of_the_watching_never_stops_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    model, x = nn.Sequential(Attending(), Attending()), torch.randn(3, 5, 8)
    expected = outcome(model, x)

    def fails(*_: object) -> Any:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(functions.Functions, broken, fails)
    with actviz_tb.watch(model, tmp_path, every=1) as logger:
        with pytest.warns(actviz_tb.ActvizWarning, match="training goes on: RuntimeError: out of memory"):
            found = outcome(model, x)
        assert logger.report().faults
    assert all(torch.equal(one, other) for one, other in zip(expected, found, strict=True))
    assert torch.overrides._len_torch_function_stack() == 0


def test_a_fault_in_a_function_is_told_under_its_name_and_the_sources_pass_by(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from actviz_tb import statistics

    original = statistics.summarise

    def broken(activation: Tensor, *rest: Any) -> Any:
        if activation.shape[-1] == 7:
            raise RuntimeError("out of memory")
        return original(activation, *rest)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(4, 8), nn.Linear(7, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(F.relu(self.first(x)[:, :7]))  # type: ignore[no-any-return]

    monkeypatch.setattr(statistics, "summarise", broken)
    model = Model()
    with actviz_tb.watch(model, tmp_path, every=1) as logger:
        with pytest.warns(actviz_tb.ActvizWarning, match="recording layer 'relu' failed"):
            model(torch.randn(3, 4))
        assert logger.report().faults == {"relu": 1}
    layers: Sequence[dict[str, Any]] = of_tag(tmp_path, "actviz/model")[0].header["layers"]
    assert {layer["name"]: layer["inputs"] for layer in layers} == {"first": ["input"], "last": ["first"]}


def test_an_interrupt_leaves_no_mode_behind_once_the_next_forward_has_begun(tmp_path: Path) -> None:
    model, x = Attending(), torch.randn(3, 5, 8)
    with actviz_tb.watch(model, tmp_path, every=1):
        handle = model.norm.register_forward_pre_hook(lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            model(x)
        handle.remove()
        model(x)
        assert torch.overrides._len_torch_function_stack() == 0
    assert layers_of(tmp_path, step=1) == ["first", "relu", "scaled_dot_product_attention", "add", "norm", "gelu", "last"]
