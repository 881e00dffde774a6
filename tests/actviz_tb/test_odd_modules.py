"""Modules of every kind; the training does not notice that they are watched."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from logged import counts_and_moments, layers_of, of_tag
from odd_models import batch, identical, trained
from torch import Tensor, nn
from torch.nn.utils import parametrizations

import actviz_tb

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit")


class SharedWeight(nn.Module):
    """Two modules with one parameter between them, each of them called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Linear(4, 4), nn.Linear(4, 4, bias=False)
        self.other.weight = self.one.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.one(self.other(x).relu()) + self.other(self.one(x).relu())


class Grows(nn.Module):
    """Takes in a layer at its second forward, replaces one at its third and takes one away at its fourth."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])
        self.rarely = nn.Linear(4, 4)
        self.forwards = 0

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.forwards += 1
            if self.forwards == 2:
                self.layers.append(nn.Linear(4, 4))
            elif self.forwards == 3:
                self.layers[0] = nn.Sequential(nn.Linear(4, 4), nn.Tanh())
            elif self.forwards == 4:
                del self.layers[1]
        for layer in self.layers:
            x = layer(x)
        return self.rarely(x) if self.forwards == 2 else x


class CallsItself(nn.Module):
    """Its own child as it were, once."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x: Tensor, again: bool = True) -> Tensor:
        x = self.linear(x)
        return self(x, again=False) if again else x


class Sometimes(nn.Module):
    """Another branch at each forward."""

    def __init__(self) -> None:
        super().__init__()
        self.branches = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])

    def forward(self, x: Tensor) -> Tensor:
        return self.branches[int(torch.rand(()) > 0.5)](x)


def lazy() -> nn.Module:
    return nn.Sequential(nn.LazyLinear(6), nn.Dropout(0.5), nn.LazyBatchNorm1d(), nn.LazyLinear(4))


def parametrized() -> nn.Module:
    return nn.Sequential(
        parametrizations.spectral_norm(nn.Linear(4, 4)), nn.Dropout(0.3), parametrizations.weight_norm(nn.Linear(4, 4)), nn.ReLU()
    )


def old_norms() -> nn.Module:
    return nn.Sequential(nn.utils.spectral_norm(nn.Linear(4, 4)), nn.Dropout(0.3))


def small() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 4), nn.ReLU())


class Scripted(nn.Module):
    def __init__(self, how: Callable[[nn.Module], nn.Module]) -> None:
        super().__init__()
        self.inner = how(small())
        self.outer = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.outer(self.inner(x))


def traced(module: nn.Module) -> Any:
    return torch.jit.trace(module, batch())


MAKERS: dict[str, tuple[Callable[[], nn.Module], list[str]]] = {
    "a shared weight": (SharedWeight, ["other", "one", "one:1", "other:1", "SharedWeight"]),
    "lazy": (lazy, ["0", "1", "2", "3"]),
    "parametrized": (parametrized, ["0", "1", "2", "3"]),
    "normed by hooks": (old_norms, ["0", "1"]),
    "a scripted part": (lambda: Scripted(torch.jit.script), ["inner", "outer"]),
    "a traced part": (lambda: Scripted(traced), ["inner", "outer"]),
    "scripted": (lambda: torch.jit.script(small()), ["RecursiveScriptModule"]),
    "traced": (lambda: traced(small()), ["TopLevelTracedModule"]),
}
OTHERS: dict[str, Callable[[], nn.Module]] = {"grows in a forward": Grows, "calls itself": CallsItself, "some branch": Sometimes}
ALL = {name: make for name, (make, _) in MAKERS.items()} | OTHERS


@pytest.mark.parametrize("options", [{"gradients": True}, {"probe": batch(7)}], ids=["gradients", "probe"])
@pytest.mark.parametrize("make", ALL.values(), ids=ALL.keys())
def test_training_is_the_same_bit_for_bit_whatever_the_modules_are(
    tmp_path: Path, make: Callable[[], nn.Module], options: dict[str, Any]
) -> None:
    assert identical(trained(make, tmp_path, steps=5, on_error="raise", **options), trained(make, steps=5))


@pytest.mark.parametrize(("make", "expected"), MAKERS.values(), ids=MAKERS.keys())
def test_every_kind_of_module_is_recorded(tmp_path: Path, make: Callable[[], nn.Module], expected: list[str]) -> None:
    trained(make, tmp_path, steps=1, functional=False, on_error="raise")
    assert layers_of(tmp_path) == expected


def test_what_makes_a_weight_is_no_layer_unless_it_is_asked_for(tmp_path: Path) -> None:
    trained(parametrized, tmp_path / "default", steps=1, on_error="raise")
    assert layers_of(tmp_path / "default") == ["0", "1", "2", "3"]
    trained(parametrized, tmp_path / "asked for", steps=1, layers="*.weight.0", on_error="raise")
    assert layers_of(tmp_path / "asked for") == ["0.parametrizations.weight.0", "2.parametrizations.weight.0"]


def test_layers_may_come_and_go_between_steps(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    changes: list[Callable[[], object]] = [
        lambda: None,
        lambda: model.append(nn.Linear(4, 4)),
        lambda: setattr(model, "0", nn.Sequential(nn.Linear(4, 4), nn.Tanh())),
        lambda: model.pop(1),
    ]
    with actviz_tb.watch(model, tmp_path, every=1, gradients=True, on_error="raise"):
        for change in changes:
            change()
            model(batch()).sum().backward()
    assert [layers_of(tmp_path, step) for step in range(4)] == [
        ["0", "1"],
        ["0", "1", "2"],
        ["0.0", "0.1", "1", "2"],
        ["0.0", "0.1", "1"],
    ]
    assert list(of_tag(tmp_path, "actviz/model")) == [0, 1, 2, 3]


def test_maps_of_a_lazy_models_first_step_are_of_the_training_batch_then_of_the_probe(tmp_path: Path) -> None:
    trained(lazy, tmp_path, steps=3, probe=batch(7), on_error="raise")
    sources = [record.header["source"] for record in of_tag(tmp_path, "actviz/maps/0").values()]
    assert sources == ["train", "probe", "probe"]


def test_batches_and_shapes_may_differ_from_step_to_step(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    shapes = [(6, 9, 2), (1, 30, 2), (2, 1, 2), (6, 300, 2)]
    with actviz_tb.watch(model, tmp_path, every=1, samples=4, gradients=True, on_error="raise"):
        for shape in shapes:
            model(torch.ones(shape)).sum().backward()
    maps = of_tag(tmp_path, "actviz/maps/0")
    assert [record.arrays["data"].shape[0] for record in maps.values()] == [4, 1, 2, 4]
    for step, (rows, length, _) in enumerate(shapes):
        assert counts_and_moments(tmp_path, "0", step)[0]["count"] == rows * length * 3
    assert list(of_tag(tmp_path, "actviz/model")) == [0]


def test_several_forwards_a_step_are_steps_of_their_own_unless_an_optimizer_counts(tmp_path: Path) -> None:
    for counted in (False, True):
        model = small()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        directory = tmp_path / str(counted)
        with actviz_tb.watch(model, directory, every=1, gradients=True, optimizer=optimizer if counted else None, on_error="raise"):
            for _ in range(2):
                (model(batch()) - model(batch(seed=2))).square().sum().backward()  # as siamese networks do
                optimizer.step()
        assert list(of_tag(directory, "actviz/step")) == ([0, 1] if counted else [0, 1, 2, 3])
