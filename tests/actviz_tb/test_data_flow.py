"""Which output feeds which input, as the model record of the event file says."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from forward import watched
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.utils.checkpoint import checkpoint


class Net(nn.Module):
    """Layers a, b, c of width 4, put together by a function."""

    def __init__(self, together: Callable[[Any, Tensor], Any], layer: Callable[[], nn.Module] = lambda: nn.Linear(4, 4)) -> None:
        super().__init__()
        self.a, self.b, self.c = layer(), layer(), layer()
        self.together = together

    def forward(self, x: Tensor) -> Any:
        return self.together(self, x)


def inputs(directory: Path, together: Callable[[Any, Tensor], Any], **options: Any) -> dict[str, list[str]]:
    return watched(directory, Net(together), torch.randn(3, 4), **options).inputs()


def unet(net: Any, x: Tensor) -> Tensor:
    down = net.a(x)
    bottom = net.b(F.relu(down))
    return net.c(torch.cat([down, bottom])[:3])  # type: ignore[no-any-return]


def dense(net: Any, x: Tensor) -> Tensor:
    features = [net.a(x)]
    features.append(net.b(torch.stack(features).sum(0)))
    features.append(net.c(torch.cat(features, 0)))
    return torch.cat(features, 0)


def siamese(net: Any, x: Tensor) -> Tensor:
    return net.b(net.a(x) - net.a(x.flip(0)))  # type: ignore[no-any-return]


def accumulated(net: Any, x: Tensor) -> Tensor:
    total = net.a(x)
    total += net.b(x)
    return net.c(total)  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("together", "expected"),
    [
        (lambda net, x: net.b(net.a(x)) + x, {"a": ["input"], "b": ["a"], "add": ["b", "input"]}),
        (lambda net, x: net.c(net.a(x) * net.b(x)), {"a": ["input"], "b": ["input"], "mul": ["a", "b"], "c": ["mul"]}),
        (lambda net, x: net.c(torch.add(input=net.a(x), other=x)), {"a": ["input"], "add": ["a", "input"], "c": ["add"]}),
        (lambda net, x: torch.cat(tensors=(net.a(x), x)), {"a": ["input"], "cat": ["a", "input"]}),
        (lambda net, x: net.b(net.a(x) / 2 + 1) - 3, {"a": ["input"], "b": ["a"], "Net": ["b"]}),
        (lambda net, x: net.a(x) + net.a.weight[:3], {"a": ["input"], "Net": ["a"]}),
        (accumulated, {"a": ["input"], "b": ["input"], "add": ["a", "b"], "c": ["add"]}),
        (unet, {"a": ["input"], "relu": ["a"], "b": ["relu"], "cat": ["a", "b"], "c": ["cat"]}),
        (dense, {"a": ["input"], "b": ["a"], "cat": ["a", "b"], "c": ["cat"], "cat:1": ["a", "b", "c"]}),
        (siamese, {"a": ["input"], "a:1": ["input"], "sub": ["a", "a:1"], "b": ["sub"]}),
    ],
    ids=["residual", "gate", "keywords", "cat by keyword", "constants", "parameter", "in place", "unet", "dense", "siamese"],
)
def test_what_brings_branches_together_is_fed_by_both(
    tmp_path: Path, together: Callable[[Any, Tensor], Any], expected: dict[str, list[str]]
) -> None:
    assert inputs(tmp_path, together) == expected


@pytest.mark.parametrize(
    "between",
    [
        lambda h: h.view(4, 3).reshape(3, 4),
        lambda h: h.flatten().unflatten(0, (3, 4)),
        lambda h: torch.cat(h.chunk(2)[::-1]),
        lambda h: h.unbind(0)[0],
        lambda h: h.T.mT,
        lambda h: h[:, [3, 2, 1, 0]],
        lambda h: h.to(torch.float64).float().clone(),
        lambda h: h.topk(4).values,
        lambda h: h.max(0, keepdim=True)[0].expand(3, 4),
        lambda h: torch.where(h > 0, h, 0.0),
        lambda h: h.split([1, 2])[1],
        lambda h: torch.stack([h, h]).mean(0),
        lambda h: -h.exp().mean(0, keepdim=True) * 3,
    ],
)
def test_what_is_no_layer_passes_its_source_on(tmp_path: Path, between: Callable[[Tensor], Tensor]) -> None:
    assert inputs(tmp_path, lambda net, x: net.b(between(net.a(x)))) == {"a": ["input"], "b": ["a"]}


def test_what_is_written_into_a_tensor_is_one_of_its_sources(tmp_path: Path) -> None:
    def written(net: Any, x: Tensor) -> Tensor:
        h = net.a(x)
        h[:, :2] = net.b(x)[:, :2]
        return net.c(h)  # type: ignore[no-any-return]

    assert inputs(tmp_path, written) == {"a": ["input"], "b": ["input"], "c": ["a", "b"]}


@pytest.mark.parametrize("options", [{"layers": ["a", "c"]}, {"layers": ["a", "c"], "functional": False}], ids=str)
@pytest.mark.parametrize("layer", [lambda: nn.Linear(4, 4), lambda: nn.ReLU(inplace=True), lambda: nn.Sequential(nn.Linear(4, 4))])
def test_layers_that_are_not_recorded_pass_their_source_on(tmp_path: Path, options: dict[str, Any], layer: Callable[[], nn.Module]) -> None:
    model = Net(lambda net, x: net.c(net.b(F.gelu(net.a(x)))), layer)
    assert watched(tmp_path, model, torch.randn(3, 4), **options).inputs() == {"a": ["input"], "c": ["a"]}


def test_outputs_that_cannot_be_recorded_pass_their_source_on(tmp_path: Path) -> None:
    class Tokens(nn.Module):
        def forward(self, h: Tensor) -> Tensor:
            return F.relu(h.argmax(-1))

    model = nn.Sequential(nn.Linear(4, 4), Tokens(), nn.Embedding(4, 4))
    assert watched(tmp_path, model, torch.randn(3, 4)).inputs() == {"0": ["input"], "2": ["0"]}


@dataclass
class State:
    hidden: Tensor
    step: int


class Opaque(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 4)

    def forward(self, x: Any) -> Tensor:
        h = self.inner(x.hidden if isinstance(x, State) else x)
        with torch._C.DisableTorchFunction():  # as in an extension that no mode sees
            return h * 2


@pytest.mark.parametrize(("layers", "expected"), [(None, {"0.inner": ["input"], "0": ["input"], "1": ["0"]}), ("1", {"1": ["input"]})])
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_module_that_computes_out_of_sight_is_fed_by_what_it_was_given(
    tmp_path: Path, layers: str | None, expected: dict[str, list[str]], wrapped: bool
) -> None:
    model, x = nn.Sequential(Opaque(), nn.Linear(4, 4)), torch.randn(3, 4)
    assert watched(tmp_path, model, State(x, 0) if wrapped else x, layers=layers).inputs() == expected


def test_a_block_is_fed_by_what_inside_it_made_its_output(tmp_path: Path) -> None:
    class Tail(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.inner(x) + 1

    class Leaf(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.relu(x) + 1

    run = watched(tmp_path, nn.Sequential(Tail(), Leaf()), torch.randn(3, 4))
    assert run.inputs() == {"0.inner": ["input"], "0": ["0.inner"], "1/relu": ["0"], "1": ["1/relu"]}


class Stateful(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, state: State) -> State:
        return State(self.linear(state.hidden), state.step + 1)


def test_structured_arguments_and_outputs_carry_their_sources(tmp_path: Path) -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm, self.first, self.second = nn.LSTM(4, 4), Stateful(), Stateful()

        def forward(self, x: Tensor) -> Tensor:
            packed = pack_padded_sequence(x, [3, 2], enforce_sorted=True)
            output, (hidden, _) = self.lstm(packed)
            return self.second(self.first(State(hidden, 0))).hidden + pad_packed_sequence(output)[0].mean()  # type: ignore[no-any-return]

    run = watched(tmp_path, Model(), torch.randn(3, 2, 4))
    assert run.inputs() == {
        "lstm[0].data": ["input"],
        "lstm[1][0]": ["input"],
        "lstm[1][1]": ["input"],
        "first.linear": ["lstm[1][0]"],
        "second.linear": ["first.linear"],
        "Model": ["second.linear", "lstm[0].data", "input"],  # of the input: the sequences' lengths
    }


@pytest.mark.parametrize("form", ["positional", "keyword", "nested", "dataclass"])
def test_the_models_input_is_input_in_whatever_form_it_comes(tmp_path: Path, form: str) -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(4, 4)

        def forward(self, given: Any) -> Tensor:
            found = {"nested": lambda: given["x"][0], "dataclass": lambda: given.hidden}.get(form, lambda: given)()
            return self.linear(found)  # type: ignore[no-any-return]

    x = torch.randn(3, 4)
    given = {"nested": {"x": [x]}, "dataclass": State(x, 0)}.get(form, x)
    model = Model()
    if form == "keyword":  # as keyword arguments of the root
        original = model.forward
        model.forward = lambda *, x: original(x)  # type: ignore[method-assign, assignment]
        outer = nn.Module()
        outer.model = model
        outer.forward = lambda x: model(x=x)  # type: ignore[method-assign, assignment]
        assert watched(tmp_path, outer, x).inputs() == {"model.linear": ["input"]}
    else:
        assert watched(tmp_path, model, given).inputs() == {"linear": ["input"]}


@pytest.mark.parametrize("reentrant", [False, True])
def test_sources_pass_through_activation_checkpointing(tmp_path: Path, reentrant: bool) -> None:
    def together(net: Any, x: Tensor) -> Tensor:
        inner = checkpoint(lambda h: F.relu(net.b(h)), net.a(x), use_reentrant=reentrant)
        return net.c(inner)  # type: ignore[no-any-return]

    assert inputs(tmp_path, together) == {"a": ["input"], "b": ["a"], "relu": ["b"], "c": ["relu"]}


def test_a_tensor_that_takes_the_place_of_a_freed_one_has_not_its_source(tmp_path: Path) -> None:
    reused: list[bool] = []

    def unseen() -> Tensor:
        with torch._C.DisableTorchFunction():  # as from an extension that no mode sees
            return torch.ones(3, 4)

    def together(net: Any, x: Tensor) -> Tensor:
        neighbours = [unseen() for _ in range(1000)]  # Python gives nothing else the memory that its tensors are in
        first = torch.tanh(x)  # freed at once: nothing needs its gradient
        place = id(first)
        del first
        while id(neighbours[-1]) != place and len(neighbours) < 100_000:
            neighbours.append(unseen())
        reused.append(id(neighbours[-1]) == place)
        return net.a(neighbours[-1])  # type: ignore[no-any-return]

    assert inputs(tmp_path, together) == {"tanh": ["input"], "a": []}
    assert reused == [True]


def test_watching_keeps_no_activation_alive_until_the_forward_ends(tmp_path: Path) -> None:
    import weakref

    alive: list[bool] = []

    def together(net: Any, x: Tensor) -> Tensor:
        with torch.no_grad():
            first = torch.tanh(net.a(x))
            second = net.b(first)
            gone = weakref.ref(first)
            del first
            alive.append(gone() is not None)
            return net.c(second)  # type: ignore[no-any-return]

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        inputs(tmp_path, together)
    assert alive == [False]
