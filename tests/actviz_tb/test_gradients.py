"""``gradients=True`` against torch's own gradients of an independent copy."""

import copy
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from logged import counts_and_moments, hooks_of, of_tag, records
from odd_models import Around, Function, batch, identical, trained
from torch import Tensor, nn

import actviz_tb
from tensorboard_plugin.actviz import wire


class Branches(nn.Module):
    """An in-place ReLU, a detached branch, and one of which the loss takes nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk, self.relu = nn.Linear(4, 6), nn.ReLU(inplace=True)
        self.used, self.detached, self.unused = nn.Linear(6, 3), nn.Linear(6, 3), nn.Linear(6, 3)
        self.to_outputs: Callable[[dict[str, Tensor]], object] = lambda outputs: None

    def forward(self, x: Tensor) -> Tensor:
        trunk = self.trunk(x)
        relu = self.relu(trunk)
        outputs = {"used": self.used(relu), "detached": self.detached(relu.detach()), "unused": self.unused(relu)}
        self.to_outputs({"relu": relu, **outputs})
        return outputs["used"] + outputs["detached"].detach()


def gradients_of(model: Branches, x: Tensor, loss: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
    """Return the gradients of the outputs that have one, by torch's own function on a copy."""
    seen: dict[str, Tensor] = {}
    model = copy.deepcopy(model)
    model.to_outputs = seen.update
    value = loss(model(x))
    found = torch.autograd.grad(value, [*seen.values()], allow_unused=True)
    return {name: gradient for name, gradient in zip(seen, found, strict=True) if gradient is not None}


def assert_gradient(directory: Path, layer: str, expected: Tensor, step: int = 0) -> None:
    counts, moments = counts_and_moments(directory, layer, step, "gradients")
    values = expected.double().numpy()
    reference = {"mean": values.mean(), "std": values.std(), "min": values.min(), "max": values.max(), "rms": np.sqrt((values**2).mean())}
    assert {name: moments[name] for name in reference} == pytest.approx(reference, rel=1e-5, abs=1e-8), layer
    assert (counts["count"], counts["zero"]) == (values.size, (values == 0).sum()), layer
    record = of_tag(directory, f"actviz/gradient/{layer}")[step]
    assert record.arrays["counts"].sum() == values.size
    left, right = wire.bin_bounds(record.arrays["bins"])
    assert left.min() <= values.min() <= values.max() <= right.max()


def squared(output: Tensor) -> Tensor:
    return output.square().sum()


def test_gradients_are_those_of_the_loss_with_respect_to_each_output(tmp_path: Path) -> None:
    model, x = Branches(), batch()
    expected = gradients_of(model, x, squared)
    with actviz_tb.watch(model, tmp_path, every=1, gradients=True, functional=False) as logger:
        squared(model(x)).backward()
        skipped = logger.report().skipped
    assert set(expected) == {"relu", "used"}
    for layer, gradient in expected.items():
        assert_gradient(tmp_path, layer, gradient)
    assert of_tag(tmp_path, "actviz/gradients")[0].header["layers"] == ["trunk", "relu", "used", "Branches"]
    assert skipped == {f"gradient of {name}": "no gradient reached it" for name in ("detached", "unused")}
    assert hooks_of(model) == 0


def test_the_gradient_of_an_output_that_is_overwritten_is_that_of_what_the_layer_put_out(tmp_path: Path) -> None:
    model, x = nn.Sequential(nn.Linear(4, 6), nn.ReLU(inplace=True), nn.Linear(6, 1)), batch()
    linear = model[0](x)
    expected = torch.autograd.grad(model[2](linear.relu()).square().sum(), linear)[0]  # of the ReLU's input: zero where it cuts off
    with actviz_tb.watch(model, tmp_path, every=1, gradients=True):
        squared(model(x)).backward()
    assert_gradient(tmp_path, "0", expected)
    assert (expected == 0).any()


VIEWS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "Linear of a sequence": (lambda: nn.Linear(4, 4), (5, 3, 4)),
    "Conv1d of one sample": (lambda: nn.Conv1d(4, 4, 1), (4, 6)),
    "AvgPool1d": (lambda: nn.AvgPool1d(2), (5, 4, 6)),
    "Linear": (lambda: nn.Linear(4, 4), (5, 4)),
}


@pytest.mark.parametrize(("make", "shape"), VIEWS.values(), ids=VIEWS.keys())
def test_an_in_place_operation_on_a_view_that_a_layer_put_out_does_not_hide_its_gradient(
    tmp_path: Path, make: Callable[[], nn.Module], shape: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(Function(lambda x: x + 1), make(), nn.ReLU(inplace=True))
    x = torch.randn(shape).requires_grad_()
    output = model[1](x + 1)
    weight = torch.randn(output.shape)
    (expected,) = torch.autograd.grad((output.relu() * weight).sum(), output)
    with actviz_tb.watch(model, tmp_path, every=1, gradients=True):
        (model(x) * weight).sum().backward()
    assert_gradient(tmp_path, "1", expected)
    profile = of_tag(tmp_path, "actviz/gradient/1")[0].arrays["channel_mean"]
    axis = 1 if isinstance(model[1], nn.AvgPool1d) else expected.ndim - 1
    np.testing.assert_allclose(profile, expected.movedim(axis, 0).flatten(1).mean(1), rtol=1e-4, atol=1e-7)


def test_neither_does_one_on_a_functions_view(tmp_path: Path) -> None:
    class Projects(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight, self.bias = nn.Parameter(torch.randn(4, 4)), nn.Parameter(torch.randn(4))

        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.linear(x, self.weight, self.bias).relu_()

    model, x = nn.Sequential(Projects()), torch.randn(5, 3, 4)
    output = nn.functional.linear(x, model[0].weight, model[0].bias)
    (expected,) = torch.autograd.grad(squared(output.relu()), output)
    with actviz_tb.watch(model, tmp_path, every=1, gradients=True):
        squared(model(x)).backward()
    assert_gradient(tmp_path, "0/linear", expected)


def test_a_view_of_what_is_used_elsewhere_as_well_has_its_own_gradient_or_none(tmp_path: Path) -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.flatten, self.relu = nn.Flatten(), nn.ReLU(inplace=True)

        def forward(self, x: Tensor) -> Tensor:
            x = x * 2
            return x.sum() * 3 + self.relu(self.flatten(x)).sum()

    model = Both()
    with actviz_tb.watch(model, tmp_path, every=1, gradients=True) as logger:
        model(torch.randn(2, 3, 4, requires_grad=True)).backward()
        assert logger.report().skipped == {"gradient of flatten": "no gradient reached it"}


def combined(output: Any) -> Tensor:
    return output["a"] + output["b"][0]


OVERWRITTEN: dict[str, tuple[Callable[[Tensor], Any], Callable[[Any], Tensor], list[str]]] = {
    "in place": (lambda x: (x + 1).mul_(2), lambda o: o.add_(1).relu_(), ["odd"]),
    "a view": (lambda x: x.view(-1).view(5, 4), lambda o: o.mul(2), ["odd"]),
    "a list": (lambda x: [x * 2, x * 3], lambda o: o[0] * o[1], ["odd[0]", "odd[1]"]),
    "a dict": (lambda x: {"a": x * 2, "b": (x * 3,)}, combined, ["odd.a", "odd.b[0]"]),
    "chunks": (lambda x: (x + 1).chunk(2), lambda o: torch.cat([o[0] * 2, o[1] * 3]), ["odd[0]", "odd[1]"]),
}


@pytest.mark.parametrize(("function", "use", "layers"), OVERWRITTEN.values(), ids=OVERWRITTEN.keys())
def test_in_place_operations_views_and_structured_outputs_have_gradients(
    tmp_path: Path, function: Callable[[Tensor], Any], use: Callable[[Any], Tensor], layers: list[str]
) -> None:
    watched = trained(lambda: Around(function, use), tmp_path, gradients=True, on_error="raise")
    assert identical(watched, trained(lambda: Around(function, use)))
    for step in range(3):
        record = of_tag(tmp_path, "actviz/gradients")[step]
        assert set(layers) <= set(record.header["layers"])
        rms = record.arrays["moments"][:, wire.MOMENTS.index("rms")]
        assert (rms > 0).all()


def test_of_several_backwards_the_first_is_recorded(tmp_path: Path) -> None:
    model, x = Branches(), batch()
    first, second = gradients_of(model, x, squared), gradients_of(model, x, lambda output: output.exp().sum())
    assert not torch.allclose(first["used"], second["used"])
    with actviz_tb.watch(model, tmp_path, every=1, gradients=True):
        output = model(x)
        squared(output).backward(retain_graph=True)
        output.exp().sum().backward(retain_graph=True)
        squared(output).backward()
    assert list(of_tag(tmp_path, "actviz/gradients")) == [0]
    for layer, gradient in first.items():
        assert_gradient(tmp_path, layer, gradient)


def test_accumulated_gradients_are_each_forwards_own(tmp_path: Path) -> None:
    model = Branches()
    inputs = [batch(seed=seed) for seed in range(3)]
    with actviz_tb.watch(model, tmp_path, every=1, gradients=True):
        for x in inputs:
            (squared(model(x)) / 3).backward()
    for step, x in enumerate(inputs):
        assert_gradient(tmp_path, "used", gradients_of(model, x, lambda output: squared(output) / 3)["used"], step)


@pytest.mark.parametrize("every", [1, 2])
def test_gradients_stand_under_the_step_of_their_forward_however_late_they_come(tmp_path: Path, every: int) -> None:
    model = Branches()
    with actviz_tb.watch(model, tmp_path, every=every, gradients=True):
        first, second = squared(model(batch(seed=0))), squared(model(batch(seed=1)))
        second.backward()
        first.backward()
        (squared(model(batch(seed=2))) + squared(model(batch(seed=3)))).backward()  # two forwards, one backward
    steps = list(range(0, 4, every))
    assert sorted(step for tag, step, _ in records(tmp_path) if tag == "actviz/gradients") == steps
    for step in steps:
        assert_gradient(tmp_path, "used", gradients_of(model, batch(seed=step), squared)["used"], step)


def test_an_interrupted_backward_leaves_what_it_reached_and_the_next_one_its_own(tmp_path: Path) -> None:
    model = Branches()

    def interrupt(gradient: Tensor) -> None:
        raise KeyboardInterrupt

    with actviz_tb.watch(model, tmp_path, every=1, gradients=True):
        model.to_outputs = lambda outputs: outputs["relu"].register_hook(interrupt)
        with pytest.raises(KeyboardInterrupt):
            squared(model(batch(seed=0))).backward()
        model.to_outputs = lambda outputs: None
        squared(model(batch(seed=1))).backward()
    for step in (0, 1):
        assert_gradient(tmp_path, "used", gradients_of(model, batch(seed=step), squared)["used"], step)
    assert [step for tag, step, _ in records(tmp_path) if tag == "actviz/gradients"] == [0, 1]
    assert "trunk" not in of_tag(tmp_path, "actviz/gradients")[0].header["layers"]


def test_a_module_that_only_calls_a_function_has_the_functions_gradient(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(4, 4), Function(nn.functional.gelu))
    with actviz_tb.watch(model, tmp_path, every=1, gradients=True):
        squared(model(batch())).backward()
    record = of_tag(tmp_path, "actviz/gradients")[0]
    assert record.header["layers"] == ["0", "1/gelu", "1"]
    np.testing.assert_array_equal(record.arrays["moments"][1], record.arrays["moments"][2])


def test_a_forward_without_a_backward_has_no_gradients_and_does_not_take_the_next_ones(tmp_path: Path) -> None:
    model = Branches()
    with actviz_tb.watch(model, tmp_path, every=1, gradients=True) as logger:
        model(batch(seed=0))  # its loss was not finite, say
        squared(model(batch(seed=1))).backward()
        assert not logger.report().faults
    assert list(of_tag(tmp_path, "actviz/step")) == [0, 1]
    assert list(of_tag(tmp_path, "actviz/gradients")) == [1]
    assert_gradient(tmp_path, "used", gradients_of(model, batch(seed=1), squared)["used"], 1)


@pytest.mark.usefixtures("implementation")
def test_second_derivatives_are_what_they_are_without_watching(tmp_path: Path) -> None:
    def penalised(model: Branches, x: Tensor) -> list[Tensor]:
        x = x.clone().requires_grad_()
        (slope,) = torch.autograd.grad(model(x).square().sum(), x, create_graph=True)
        (slope.norm() - 1).square().backward()
        return [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]

    model = Branches()
    expected = penalised(copy.deepcopy(model), batch())
    with actviz_tb.watch(model, tmp_path, every=1, gradients=True, on_error="raise"):
        found = penalised(model, batch())
    assert identical(found, expected)
    assert_gradient(tmp_path, "used", gradients_of(model, batch(), squared)["used"])  # the first pass's


def test_a_backward_in_another_thread_is_recorded(tmp_path: Path) -> None:
    model, x = Branches(), batch()
    expected = gradients_of(model, x, squared)
    with actviz_tb.watch(model, tmp_path, every=1, gradients=True, on_error="raise"):
        loss = squared(model(x))
        thread = threading.Thread(target=loss.backward)
        thread.start()
        thread.join()
    assert_gradient(tmp_path, "used", expected["used"])


class ToSparse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0].to_sparse()


class ToDense(ToSparse):
    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0].to_dense()


def test_a_gradient_without_values_is_listed_with_the_reason(tmp_path: Path) -> None:
    model = Around(ToDense.apply, ToSparse.apply)
    with actviz_tb.watch(model, tmp_path, every=1, gradients=True, functional=False) as logger:
        model(batch()).sum().backward()
        assert logger.report().skipped == {"gradient of odd": "layout torch.sparse_coo"}


def test_gradients_of_half_types_do_not_overflow(tmp_path: Path) -> None:
    model = Around(lambda x: x.half(), lambda output: output.float())
    with actviz_tb.watch(model, tmp_path, every=1, gradients=True):
        model(batch()).mul(30_000).sum().backward()
    _, moments = counts_and_moments(tmp_path, "odd", kind="gradients")
    assert np.isfinite([moments["rms"], moments["std"]]).all()
    assert moments["rms"] > 1000
