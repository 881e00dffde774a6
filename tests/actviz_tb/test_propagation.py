"""The one-shot API: every layer's activation of one forward pass."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import actviz_tb
from actviz_tb.colormap import NAMES, colour
from actviz_tb.mosaic import fold, mosaic


class ArticleCNN(nn.Module):
    """A reused in-place ReLU, and a reshape in forward."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3)
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool2d(2)
        self.fc1 = nn.Linear(16 * 13 * 13, 128)
        self.fc2 = nn.Linear(128, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(self.relu(self.conv1(x)))
        return self.fc2(self.relu(self.fc1(x.view(x.shape[0], -1))))


@pytest.fixture
def model() -> ArticleCNN:
    torch.manual_seed(0)
    return ArticleCNN()


IMAGES = torch.randn(3, 1, 28, 28, generator=torch.Generator().manual_seed(1))


def expected(model: ArticleCNN, x: torch.Tensor) -> dict[str, torch.Tensor]:
    conv1 = nn.functional.conv2d(x, model.conv1.weight, model.conv1.bias)
    relu = conv1.clamp(min=0)
    pool = nn.functional.max_pool2d(relu, 2)
    fc1 = pool.flatten(1) @ model.fc1.weight.T + model.fc1.bias
    fc2 = fc1.clamp(min=0) @ model.fc2.weight.T + model.fc2.bias
    return {"conv1": conv1, "relu": relu, "pool": pool, "fc1": fc1, "relu:1": fc1.clamp(min=0), "fc2": fc2}


@pytest.mark.parametrize("samples", [1, 3])
def test_every_layer_is_captured_in_order_and_safe_from_inplace_operations(model: ArticleCNN, samples: int) -> None:
    x = IMAGES[:samples]
    activations = actviz_tb.capture(model, x)
    assert list(activations) == ["conv1", "relu", "pool", "fc1", "relu:1", "fc2"]
    for name, tensor in expected(model, x).items():
        torch.testing.assert_close(activations[name].tensor, tensor.detach())
        assert not activations[name].tensor.requires_grad


def test_a_single_sample_without_batch_axis_gets_one(model: ArticleCNN) -> None:
    activations = actviz_tb.capture(model, IMAGES[0])
    torch.testing.assert_close(activations["fc2"].tensor, expected(model, IMAGES[:1])["fc2"].detach())
    convolution = actviz_tb.capture(model.conv1, IMAGES[0])  # takes it as it is, but then its channels would look like samples
    assert convolution["Conv2d"].tensor.shape == (1, 16, 26, 26)


def test_an_input_that_does_not_fit_raises_the_models_own_error(model: ArticleCNN) -> None:
    with pytest.raises(RuntimeError, match=r"\[2, 3, 28, 28\] to have 1 channels"):
        actviz_tb.capture(model, torch.randn(2, 3, 28, 28))


def test_activation_propagation_by_index_and_name(model: ArticleCNN) -> None:
    reference = list(expected(model, IMAGES).items())
    for index, (name, tensor) in enumerate(reference):
        torch.testing.assert_close(actviz_tb.activation_propagation(model, IMAGES, index), tensor.detach())
        torch.testing.assert_close(actviz_tb.activation_propagation(model, IMAGES, name), tensor.detach())
    torch.testing.assert_close(actviz_tb.activation_propagation(model, IMAGES, -1), reference[-1][1].detach())


def test_missing_layers_are_told_with_the_nearest_names_or_the_number_of_layers(model: ArticleCNN) -> None:
    with pytest.raises(actviz_tb.LayerNotFoundError, match="no layer 'conv2' among the 6 that ran; the nearest names: 'conv1'"):
        actviz_tb.activation_propagation(model, IMAGES, "conv2")
    for index in (6, -7):
        with pytest.raises(actviz_tb.LayerNotFoundError, match=f"layer index {index} is out of range: 6 layers ran, 0 to 5"):
            actviz_tb.activation_propagation(model, IMAGES, index)
    with pytest.raises(actviz_tb.ArgumentTypeError, match=r"layer_index=1\.0 is a float"):
        actviz_tb.activation_propagation(model, IMAGES, 1.0)  # type: ignore[arg-type]
    assert actviz_tb.capture(model, IMAGES).get("conv2") is None


def test_the_model_is_left_as_it_was() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Dropout(0.5)).train()
    model[1].eval()
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    random_state = torch.get_rng_state()
    activations = actviz_tb.capture(model, torch.randn(8, 3, generator=torch.Generator().manual_seed(0)))
    assert torch.equal(activations["2"].tensor, activations["1"].tensor)  # evaluation mode
    assert torch.equal(torch.get_rng_state(), random_state)
    assert all(torch.equal(state[name], tensor) for name, tensor in model.state_dict().items())
    assert [module.training for module in model.modules()] == [True, True, False, True]
    assert not any(module._forward_hooks for module in model.modules())


def test_tuples_and_mappings_are_arguments() -> None:
    model = nn.Bilinear(2, 3, 4)
    one, two = torch.randn(5, 2), torch.randn(5, 3)
    by_position = actviz_tb.capture(model, (one, two))["Bilinear"].tensor
    assert torch.equal(by_position, actviz_tb.capture(model, {"input1": one, "input2": two})["Bilinear"].tensor)


def test_something_else_than_a_module_is_refused() -> None:
    with pytest.raises(actviz_tb.ArgumentTypeError, match="model is a str"):
        actviz_tb.capture("model", IMAGES)  # type: ignore[arg-type]
    with pytest.raises(actviz_tb.ArgumentTypeError, match="has no tensor"):
        actviz_tb.capture(nn.Linear(1, 1), [1, 2])


def cell(picture: Image.Image, row: int, column: int, size: int) -> np.ndarray:
    top, left = row * (size + 1) + 1, column * (size + 1) + 1
    return np.asarray(picture)[top : top + size, left : left + size]


def test_the_grid_shows_each_channel_in_its_cell(model: ArticleCNN) -> None:
    conv1 = actviz_tb.capture(model, IMAGES)["conv1"]
    picture = conv1.grid(sample=1, columns=4, colormap="grey", scale=(-2.0, 2.0))
    k = 64 // 26
    for channel in (0, 5, 15):
        shown = cell(picture, channel // 4, channel % 4, 26 * k)[::k, ::k, 0]
        values = conv1.tensor[1, channel].numpy()
        assert np.abs(shown / 255 * 4 - 2 - values.clip(-2, 2)).max() <= 4 / 255 / 2 + 1e-6


def test_zero_is_the_middle_of_the_diverging_scale() -> None:
    picture = actviz_tb.visualize_activation(torch.tensor([[[[-1.0, 0.0, 2.0]]]]))
    row = np.asarray(picture)[5, 5::21][:3]
    assert row[1].tolist() == [250, 250, 250] or np.abs(row[1].astype(int) - 250).max() <= 3
    assert row[0][0] > row[0][2]
    assert row[2][2] > row[2][0]


def test_visualize_activation_takes_what_propagation_returns(model: ArticleCNN) -> None:
    activations = actviz_tb.capture(model, IMAGES)
    for name in activations:
        direct = actviz_tb.visualize_activation(activations[name], sample=2)
        by_tensor = actviz_tb.visualize_activation(activations[name].tensor, sample=2)
        assert np.array_equal(np.asarray(direct), np.asarray(by_tensor))
    assert np.array_equal(
        np.asarray(actviz_tb.visualize_activation(activations["conv1"].tensor[0])), np.asarray(activations["conv1"].grid(sample=0))
    )


def test_bad_drawing_arguments_are_told(model: ArticleCNN) -> None:
    conv1 = actviz_tb.capture(model, IMAGES)["conv1"]
    with pytest.raises(actviz_tb.ArgumentError, match="sample=3, but 'conv1' holds 3 samples"):
        conv1.grid(sample=3)
    with pytest.raises(actviz_tb.ArgumentError, match="no colour map 'jet'; one of activations, viridis"):
        conv1.grid(colormap="jet")
    with pytest.raises(actviz_tb.ArgumentError, match="columns=0"):
        conv1.grid(columns=0)
    with pytest.raises(actviz_tb.ArgumentError, match="low < high"):
        conv1.grid(scale=(1.0, 1.0))
    with pytest.raises(actviz_tb.ArgumentError, match="cannot be drawn"):
        actviz_tb.visualize_activation(torch.ones(1, 1, 1, 1, 1, 1))
    with pytest.raises(actviz_tb.ArgumentTypeError, match="activation is a str"):
        actviz_tb.visualize_activation("conv1")  # type: ignore[arg-type]


def test_show_draws_the_input_and_every_layer(model: ArticleCNN) -> None:
    activations = actviz_tb.capture(model, IMAGES)
    picture = activations.show()
    assert picture.height > 7 * 42
    assert picture.width > 16 * 26
    assert len(np.unique(np.asarray(picture).reshape(-1, 3), axis=0)) > 100
    assert repr(activations).splitlines()[0] == "6 layers"


def test_every_shape_can_be_drawn() -> None:
    for shape in ((4,), (2, 7), (2, 5, 6), (2, 3, 4, 4), (2, 3, 4, 5, 5)):
        assert actviz_tb.visualize_activation(torch.randn(shape)).width > 0
    assert fold(np.arange(10, dtype=np.float32)).shape == (3, 4)


def test_nonfinite_values_are_red_and_all_scales_have_their_ends() -> None:
    values = np.array([[0.0, np.nan, 1.0]], dtype=np.float32)
    for name in NAMES:
        rgb = colour(values, 0, 1, name)
        assert rgb[0, 1].tolist() == [194, 32, 28]
        assert rgb[0, 0].tolist() != rgb[0, 2].tolist()
    assert mosaic(np.full((1, 2, 2), np.nan, np.float32)).width > 0
