"""Functions that run inside modules: under which names, and with which values, they are recorded."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from forward import assert_shows, watched
from logged import counts_and_moments, layers_of, of_tag
from torch import Tensor, nn
from torch.nn import functional as F
from torch_functions import CALLS

import actviz_tb
from actviz_tb import functions
from actviz_tb.hooks import MAX_CALLS

Function = Callable[[Tensor], Any]


class Calls(nn.Module):
    """Calls a function on what it is given."""

    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(x)


def test_every_function_that_is_recorded_is_tried() -> None:
    assert {name for name, _, _ in CALLS} == functions.RECORDED


@pytest.mark.parametrize(("name", "shape", "function"), CALLS, ids=[f"{name}-{index}" for index, (name, _, _) in enumerate(CALLS)])
def test_a_function_is_recorded_under_its_plain_name_with_the_values_of_an_independent_call(
    tmp_path: Path, name: str, shape: tuple[int, ...], function: Function
) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(3))
    torch.manual_seed(4)
    expected = function(x)
    torch.manual_seed(4)
    run = watched(tmp_path, nn.Sequential(Calls(function)), x)
    assert torch.equal(run.output, expected)
    assert run.inputs() == {f"0/{name}": ["input"], "0": [f"0/{name}"]}
    for layer in run.layers():
        counts, moments = counts_and_moments(tmp_path, layer)
        assert counts["count"] == expected.numel()
        assert moments["mean"] == pytest.approx(expected.double().mean().item(), rel=1e-5, abs=1e-6)
        assert moments["rms"] == pytest.approx(expected.double().square().mean().sqrt().item(), rel=1e-5)


class Block(nn.Module):
    """Functions between its two layers, one of them twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 6), nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.first(x))
        return torch.tanh(F.relu(self.second(h)))


def block_values(block: Block, x: Tensor) -> dict[str, Tensor]:
    """An independent forward, written out by hand."""
    values = {"first": x @ block.first.weight.T + block.first.bias}
    values["relu"] = values["first"].clamp(min=0)
    values["second"] = values["relu"] @ block.second.weight.T + block.second.bias
    values["relu:1"] = values["second"].clamp(min=0)
    values["tanh"] = (values["relu:1"].exp() - (-values["relu:1"]).exp()) / (values["relu:1"].exp() + (-values["relu:1"]).exp())
    return values


@pytest.mark.parametrize("name", [None, "net"])
def test_the_roots_functions_go_by_their_own_name_unless_the_model_has_one(tmp_path: Path, name: str | None) -> None:
    run = watched(tmp_path, Block(), torch.randn(3, 6), name=name)
    expected = ["first", "relu", "second", "relu:1", "tanh"]
    if name is not None:
        expected = ["net.first", "net/relu", "net.second", "net/relu:1", "net/tanh"]
    assert run.layers() == expected


@pytest.mark.parametrize("with_probe", [False, True])
def test_functions_of_nested_modules_are_recorded_by_their_place_with_values_of_an_independent_forward(
    tmp_path: Path, with_probe: bool
) -> None:
    model, x = nn.Sequential(Block(), nn.Sequential(Block())), torch.randn(3, 6)
    first, second = copy.deepcopy(model[0]), copy.deepcopy(model[1][0])
    run = watched(tmp_path, model, torch.randn(5, 6) if with_probe else x, probe=x if with_probe else None, samples=3)
    values = block_values(first, x)
    for block, place, found in (first, "0", values), (second, "1.0", block_values(second, values["tanh"])):
        assert isinstance(block, Block)
        names = [f"{place}.{name}" if name in ("first", "second") else f"{place}/{name}" for name in found]
        assert [layer for layer in run.layers() if layer.startswith(place)] == names
        for name, value in zip(names, found.values(), strict=True):
            assert_shows(of_tag(tmp_path, f"actviz/maps/{name}")[0], value)


def test_an_inplace_function_does_not_change_what_was_recorded_before_it(tmp_path: Path) -> None:
    class Inplace(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(6, 6)

        def forward(self, x: Tensor) -> Tensor:
            h = self.linear(x)
            h += x
            return h.relu_()

    model, x = nn.Sequential(Inplace()), torch.randn(3, 6)
    product = x @ model[0].linear.weight.T + model[0].linear.bias
    run = watched(tmp_path, model, x)
    assert run.inputs() == {"0.linear": ["input"], "0/add": ["0.linear", "input"], "0/relu": ["0/add"]}
    for layer, value in ("0.linear", product), ("0/add", product + x), ("0/relu", (product + x).clamp(min=0)):
        assert_shows(of_tag(tmp_path, f"actviz/maps/{layer}")[0], value)


class OwnLinear(nn.Linear):
    """A user's subclass that computes as torch's own does."""


@pytest.mark.parametrize(
    "layer",
    [
        nn.ReLU(),
        nn.GELU(),
        nn.Softmax(-1),
        nn.Dropout(),
        nn.Linear(6, 6),
        OwnLinear(6, 6),
        nn.LayerNorm(6),
        nn.Bilinear(6, 6, 6),
        torch.nn.utils.parametrizations.weight_norm(nn.Linear(6, 6)),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_functions_inside_torchs_own_layers_are_not_recorded_again(tmp_path: Path, layer: nn.Module) -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x, x) if isinstance(self.layer, nn.Bilinear) else self.layer(x)  # type: ignore[no-any-return]

    run = watched(tmp_path, Model(), torch.randn(3, 6), layers="layer")
    assert run.layers() == ["layer"]
    run = watched(tmp_path / "all", Model(), torch.randn(3, 6))
    assert [name for name in run.layers() if "parametrizations" not in name] == ["layer"]


def test_a_modules_output_that_is_its_functions_output_shares_that_functions_record(tmp_path: Path) -> None:
    run = watched(tmp_path, nn.Sequential(Calls(F.relu), Block()), torch.randn(3, 6))
    assert run.layers() == ["0/relu", "0", "1.first", "1/relu", "1.second", "1/relu:1", "1/tanh"]  # a block's is not listed again
    assert run.inputs()["0"] == ["0/relu"]
    records = [of_tag(tmp_path, f"actviz/{kind}/{name}")[0] for name in ("0/relu", "0") for kind in ("maps", "layer")]
    for one, other in zip(records[:2], records[2:], strict=True):
        assert all((one.arrays[name] == other.arrays[name]).all() for name in one.arrays)


def test_a_module_that_changes_its_functions_output_in_place_has_a_record_of_its_own(tmp_path: Path) -> None:
    def shifted(x: Tensor) -> Tensor:
        y = F.relu(x)
        y += 1
        return y

    x = torch.randn(3, 6)
    watched(tmp_path, nn.Sequential(Calls(shifted)), x)
    assert_shows(of_tag(tmp_path, "actviz/maps/0/relu")[0], x.clamp(min=0))
    assert_shows(of_tag(tmp_path, "actviz/maps/0")[0], x.clamp(min=0) + 1)


def test_functional_false_leaves_functions_out_and_keeps_the_blocks_output(tmp_path: Path) -> None:
    run = watched(tmp_path, nn.Sequential(Block(), Calls(F.relu)), torch.randn(3, 6), functional=False)
    assert run.inputs() == {"0.first": ["input"], "0.second": ["0.first"], "0": ["0.second"], "1": ["0"]}


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ("0", ["0/relu", "0/relu:1", "0/tanh", "0"]),
        ("0.*", ["0.first", "0.second"]),
        (["1", "!0*"], ["1/relu", "1/relu:1", "1/tanh", "1"]),
        (nn.Linear, ["0.first", "0.second", "1.first", "1.second"]),
    ],
    ids=str,
)
def test_layers_chooses_the_modules_inside_which_functions_are_recorded(tmp_path: Path, layers: Any, expected: list[str]) -> None:
    assert watched(tmp_path, nn.Sequential(Block(), Block()), torch.randn(3, 6), layers=layers).layers() == expected


def test_calls_beyond_the_limit_are_counted_as_not_recorded(tmp_path: Path) -> None:
    def often(x: Tensor) -> Tensor:
        for _ in range(MAX_CALLS + 5):
            x = torch.tanh(x)
        return x

    run = watched(tmp_path, nn.Sequential(Calls(often)), torch.randn(3, 6))
    assert run.layers() == ["0/tanh", *(f"0/tanh:{call}" for call in range(1, MAX_CALLS)), "0"]
    assert run.report.skipped == {f"0/tanh:{MAX_CALLS}...": f"more than {MAX_CALLS} calls in one forward"}
    assert run.inputs()["0"] == [f"0/tanh:{MAX_CALLS - 1}"]


def test_functions_of_evaluation_forwards_are_not_recorded(tmp_path: Path) -> None:
    model = Block()
    with actviz_tb.watch(model, tmp_path, every=2):
        for _ in range(2):
            model(torch.randn(3, 6))
            model.eval()
            model(torch.randn(4, 6))
            model.train()
            assert torch.overrides._len_torch_function_stack() == 0
    assert list(of_tag(tmp_path, "actviz/step")) == [0]
    assert layers_of(tmp_path) == ["first", "relu", "second", "relu:1", "tanh"]


def test_no_function_mode_is_active_between_logged_steps(tmp_path: Path) -> None:
    modes: list[int] = []

    class Counts(Block):
        def forward(self, x: Tensor) -> Tensor:
            modes.append(torch.overrides._len_torch_function_stack())
            return super().forward(x)

    model = Counts()
    with actviz_tb.watch(model, tmp_path, every=2):
        for _ in range(4):
            model(torch.randn(3, 6))
            modes.append(torch.overrides._len_torch_function_stack())
    assert modes == [1, 0, 0, 0, 1, 0, 0, 0]
