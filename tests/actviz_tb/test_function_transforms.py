"""``torch.func`` transforms, inside the watched model and around it: computed and recorded as what they are."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from compiled import Training, Watch, batches, compared, layer_outputs, train
from logged import counts_and_moments, layers_of, of_tag
from torch import Tensor, nn
from torch.func import functional_call, grad, jacrev, jvp, stack_module_state, vmap

import actviz_tb


class Samplewise(nn.Module):
    """Maps a part of itself over the samples."""

    def __init__(self) -> None:
        super().__init__()
        self.part = nn.Sequential(nn.Linear(4, 5), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        return vmap(self.part)(x)  # type: ignore[no-any-return]


class InputGradient(nn.Module):
    """Puts out the gradient of a part of itself, as energy models do."""

    def __init__(self) -> None:
        super().__init__()
        self.part = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 1))

    def forward(self, x: Tensor) -> Tensor:
        return grad(lambda x: self.part(x).sum())(x)  # type: ignore[no-any-return]


class Jacobian(InputGradient):
    def forward(self, x: Tensor) -> Tensor:
        return vmap(jacrev(self.part))(x).flatten(1)  # type: ignore[no-any-return]


class Tangent(InputGradient):
    def forward(self, x: Tensor) -> Tensor:
        return jvp(self.part, (x,), (torch.ones_like(x),))[1]  # type: ignore[no-any-return]


class Ensemble(nn.Module):
    """Members with parameters of their own, run at once."""

    def __init__(self) -> None:
        super().__init__()
        self.part = nn.Sequential(nn.Linear(4, 5), nn.Tanh())
        stacked, _ = stack_module_state([nn.Sequential(nn.Linear(4, 5), nn.Tanh()) for _ in range(3)])
        self.members = nn.ParameterDict({name.replace(".", "_"): nn.Parameter(value.detach()) for name, value in stacked.items()})

    def forward(self, x: Tensor) -> Tensor:
        members = {name.replace("_", "."): value for name, value in self.members.items()}
        return vmap(lambda member: functional_call(self.part, member, (x,)))(members).sum(0)  # type: ignore[no-any-return]


TRANSFORMED: dict[type[nn.Module], list[str]] = {
    Samplewise: ["part.0", "part.1"],
    InputGradient: ["part.0", "part.1", "part.2"],
    Jacobian: ["part.0", "part.1", "part.2"],
    Tangent: ["part.0", "part.1", "part.2"],
    Ensemble: ["part.0", "part.1"],
}


@pytest.mark.parametrize("gradients", [False, True])
@pytest.mark.parametrize("make", TRANSFORMED)
def test_a_function_transform_inside_a_forward_computes_the_same_and_its_layers_are_recorded(
    tmp_path: Path, make: type[nn.Module], gradients: bool, implementation: str
) -> None:
    def run(watch: Watch) -> Training:
        model = make()
        watch(model)
        return train(model, model, batches(4))

    _, report = compared(run, tmp_path, every=1, gradients=gradients)
    assert report.faults == {}
    assert set(TRANSFORMED[make]) <= set(layers_of(tmp_path))
    assert len(of_tag(tmp_path, "actviz/step")) == 4


def test_the_numbers_inside_vmap_are_of_all_samples_at_once(tmp_path: Path) -> None:
    model, x = Samplewise(), torch.randn(6, 4)
    expected = layer_outputs(model.part, x)
    with actviz_tb.watch(model, tmp_path, every=1):
        model(x)
    for name, tensor in expected.items():
        counts, moments = counts_and_moments(tmp_path, f"part.{name}")
        values = tensor.double().numpy()
        assert counts["count"] == values.size
        assert [moments["mean"], moments["std"]] == pytest.approx([values.mean(), values.std()], rel=1e-5, abs=1e-6)


def hidden_of_input_gradient(part: nn.Sequential, x: Tensor) -> tuple[Tensor, Tensor]:
    """`InputGradient` in plain autograd."""
    x = x.clone().requires_grad_()
    hidden = part[1](part[0](x))
    return hidden, torch.autograd.grad(part[2](hidden).sum(), x, create_graph=True)[0]


def hidden_of_samplewise(part: nn.Sequential, x: Tensor) -> tuple[Tensor, Tensor]:
    hidden = part(x)
    return hidden, hidden


@pytest.mark.parametrize(("make", "by_hand"), [(Samplewise, hidden_of_samplewise), (InputGradient, hidden_of_input_gradient)])
def test_gradients_inside_a_transform_are_those_of_the_trainings_loss(
    tmp_path: Path, make: Callable[[], Any], by_hand: Callable[[nn.Module, Tensor], tuple[Tensor, Tensor]]
) -> None:
    model, x = make(), torch.randn(6, 4)
    hidden, output = by_hand(model.part, x)
    (expected,) = torch.autograd.grad(output.square().mean(), hidden)
    with actviz_tb.watch(model, tmp_path, every=1, gradients=True):
        model(x).square().mean().backward()
    counts, moments = counts_and_moments(tmp_path, "part.1", kind="gradients")
    values = expected.double().numpy()
    assert counts["count"] == values.size
    assert [moments["mean"], moments["std"]] == pytest.approx([values.mean(), values.std()], rel=1e-4)


def per_sample_gradients(model: nn.Module, x: Tensor) -> Any:
    def loss(parameters: dict[str, Tensor], sample: Tensor) -> Tensor:
        return functional_call(model, parameters, (sample[None],)).square().sum()  # type: ignore[no-any-return]

    return vmap(grad(loss), (None, 0))(dict(model.named_parameters()), x)


def test_a_model_that_is_itself_called_inside_a_transform(tmp_path: Path) -> None:
    model, x = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2)), torch.randn(6, 4)
    expected = per_sample_gradients(model, x)
    with actviz_tb.watch(model, tmp_path, every=1) as logger:
        found = per_sample_gradients(model, x)
        assert logger.report().faults == {}
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    assert layers_of(tmp_path) == ["0", "1", "2"]
    assert counts_and_moments(tmp_path, "0")[0]["count"] == 6 * 5
