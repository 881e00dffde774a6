"""`read` gives back what a real `watch` saw, as independent forwards in numpy and by hand have it."""

from __future__ import annotations

import copy
import dataclasses
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import actviz_tb
from actviz_tb.results import Attention, Maps

Array = npt.NDArray[Any]

STEPS = [0, 3, 6]
LABELS = ["a", "b", "c", "d", "e"]
HEADS = 2


class Network(nn.Module):
    """Convolution, in-place ReLU, attention over the pixels, a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 6, 3)
        self.relu = nn.ReLU(inplace=True)
        self.attention = nn.MultiheadAttention(6, HEADS, batch_first=True)
        self.fc = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        pixels = self.relu(self.conv(x)).flatten(2).transpose(1, 2)
        attended, _ = self.attention(pixels, pixels, pixels, need_weights=False)
        return self.fc(attended.mean(1))


def by_hand(model: Network, x: Tensor) -> dict[str, Tensor]:
    """The network's outputs, with their gradients' graph, without calling its modules."""
    conv = functional.conv2d(x, model.conv.weight, model.conv.bias)
    relu = conv.clamp(min=0)
    pixels = relu.reshape(*relu.shape[:2], -1).permute(0, 2, 1)
    projected = pixels @ model.attention.in_proj_weight.T + model.attention.in_proj_bias
    query, key, value = (part.reshape(*part.shape[:2], HEADS, -1).transpose(1, 2) for part in projected.chunk(3, -1))
    logits = query @ key.transpose(2, 3) / math.sqrt(query.shape[-1])
    weights = logits.exp() / logits.exp().sum(-1, keepdim=True)
    attended = (weights @ value).transpose(1, 2).reshape(pixels.shape)
    attended = attended @ model.attention.out_proj.weight.T + model.attention.out_proj.bias
    fc = attended.mean(1) @ model.fc.weight.T + model.fc.bias
    return {"conv": conv, "relu": relu, "attention": attended, "fc": fc, "logits": logits, "weights": weights}


@dataclass
class Logged:
    """A run, and what an independent forward and backward say of each logged step."""

    directory: Path
    inputs: Tensor
    training: dict[int, dict[str, Array]] = field(default_factory=dict)
    gradients: dict[int, dict[str, Array]] = field(default_factory=dict)
    probe: dict[int, dict[str, Array]] = field(default_factory=dict)

    @property
    def run(self) -> actviz_tb.Run:
        (run,) = actviz_tb.read(self.directory).runs
        return run


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Logged:
    directory = tmp_path_factory.mktemp("runs")
    torch.manual_seed(0)
    model = Network()
    generator = torch.Generator().manual_seed(1)
    probe = torch.randn(5, 1, 8, 8, generator=generator)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    expected = Logged(directory, probe)
    logger = actviz_tb.watch(model, directory, every=3, probe=probe, probe_labels=LABELS, samples=5, gradients=True)
    for step in range(7):
        x = torch.randn(8, 1, 8, 8, generator=generator)
        if step == 3:
            logger.mark("epoch 1")
        if step in STEPS:
            twin = copy.deepcopy(model)
            outputs = by_hand(twin, x)
            for output in outputs.values():
                output.retain_grad()
            outputs["fc"].square().sum().backward()
            expected.training[step] = {name: output.detach().numpy() for name, output in outputs.items()}
            expected.gradients[step] = {name: output.grad.numpy() for name, output in outputs.items() if output.grad is not None}
            with torch.no_grad():
                expected.probe[step] = {name: output.numpy() for name, output in by_hand(twin, probe).items()}
        optimizer.zero_grad()
        model(x).square().sum().backward()
        optimizer.step()
    logger.close()
    return expected


def reference_statistics(values: Array) -> dict[str, float]:
    """The statistics of finite values [N, C, ...], in float64."""
    x = values.astype(np.float64)
    rms = math.sqrt((x**2).mean())
    channels = np.moveaxis(x, 1, 0).reshape(x.shape[1], -1)
    return {
        "mean": x.mean(),
        "std": x.std(),
        "min": x.min(),
        "max": x.max(),
        "rms": rms,
        "kurtosis": ((x - x.mean()) ** 4).mean() / x.var() ** 2,
        "zero": (x == 0).mean(),
        "near_zero": (np.abs(x) <= 1e-3 * rms).mean(),
        "nonfinite": 0.0,
        "dead_channels": (channels == 0).all(1).mean(),
        "count": x.size,
        "nan": 0,
        "posinf": 0,
        "neginf": 0,
        "channels": x.shape[1],
    }


@pytest.mark.parametrize("of", ["activations", "gradients"])
def test_statistics_are_those_of_an_independent_forward_and_backward(logged: Logged, of: Any) -> None:
    expected = logged.training if of == "activations" else logged.gradients
    for layer in ("conv", "relu", "fc"):
        stats = logged.run.stats(layer, of=of)
        assert stats.steps.tolist() == STEPS
        assert stats.steps.dtype == stats.count.dtype == np.int64
        assert (np.diff(stats.wall_times_s) > 0).all()
        for row, step in enumerate(STEPS):
            for name, value in reference_statistics(expected[step][layer]).items():
                found = getattr(stats, name)[row]
                assert found == pytest.approx(value, rel=2e-5, abs=1e-6 * stats.rms[row]), (layer, step, name)
        assert np.isnan(stats.saturated).all()


def test_a_table_has_one_statistic_of_all_layers(logged: Logged) -> None:
    table = logged.run.table("rms")
    assert table.layers == logged.run.layers
    assert table.steps.tolist() == STEPS
    for column, layer in enumerate(table.layers):
        np.testing.assert_array_equal(table.values[:, column], logged.run.stats(layer).rms)
    gradients = logged.run.table("rms", of="gradients")
    np.testing.assert_array_equal(gradients.values[:, gradients.layers.index("fc")], logged.run.stats("fc", of="gradients").rms)


def in_bin(values: Array, left: float, right: float) -> int:
    """Count the values in a bin: away from zero its bound is open."""
    if left == right == 0:
        return int((values == 0).sum())
    return int(((values >= left) & (values < right)).sum() if right > 0 else ((values > left) & (values <= right)).sum())


@pytest.mark.parametrize("of", ["activations", "gradients"])
def test_a_histogram_counts_every_value_in_its_bin(logged: Logged, of: Any) -> None:
    for layer in ("conv", "relu", "fc"):
        over_steps = logged.run.histograms(layer, of=of)
        assert over_steps.steps.tolist() == STEPS
        for row, step in enumerate(STEPS):
            values = (logged.training if of == "activations" else logged.gradients)[step][layer]
            found = logged.run.histogram(layer, step, of=of)
            assert (found.sampled_every, found.counts.sum()) == (1, values.size)
            # The two forwards differ by rounding: a value may fall to either side of an edge.
            expected = [in_bin(values, *bounds) for bounds in zip(found.left, found.right, strict=True)]
            assert np.abs(found.counts - expected).sum() <= 4, (layer, step)
            kept = over_steps.shares[row] > 0
            np.testing.assert_array_equal(over_steps.left[kept], found.left)
            np.testing.assert_array_equal(over_steps.right[kept], found.right)
            np.testing.assert_allclose(over_steps.shares[row][kept], found.counts / values.size, rtol=1e-6)


def test_channel_profiles_are_those_of_an_independent_forward(logged: Logged) -> None:
    found = logged.run.channels("relu")
    assert (found.steps.tolist(), found.channels.tolist()) == (STEPS, list(range(6)))
    for row, step in enumerate(STEPS):
        channels = np.moveaxis(logged.training[step]["relu"], 1, 0).reshape(6, -1)
        np.testing.assert_allclose(found.mean[row], channels.mean(1), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(found.max[row], np.abs(channels).max(1), rtol=1e-4)
        np.testing.assert_allclose(found.zero[row], (channels == 0).mean(1), atol=1e-6)
    assert found.dead_since == {}


def assert_within_half_a_level(found: Maps | Attention, expected: Array) -> None:
    axes = found.values.ndim - found.low.ndim
    half_step = ((found.high - found.low) / 254 / 2).reshape(*found.low.shape, *[1] * axes)
    assert found.values.dtype == np.float32
    assert found.values.shape == expected.shape
    assert (np.abs(found.values - expected) <= half_step + 1e-5 * np.abs(expected).max()).all()


@pytest.mark.parametrize("step", STEPS)
def test_maps_are_within_half_a_level_of_an_independent_forward_of_the_probe(logged: Logged, step: int) -> None:
    layouts = {"conv": "channels", "relu": "channels", "attention[0]": "sequence", "fc": "vector"}
    assert logged.run.layers_with("maps") == tuple(layouts)
    for name, layout in layouts.items():
        found = logged.run.maps(name, step)
        expected = logged.probe[step][name.removesuffix("[0]")]
        assert_within_half_a_level(found, expected)
        assert (found.layer, found.step, found.source, found.layout, found.pool) == (name, step, "probe", layout, (1, 1))
        assert found.output_shape == expected.shape
        assert found.samples.tolist() == [0, 1, 2, 3, 4]
        assert (found.channels is not None, found.units is not None) == (layout == "channels", layout == "vector")
        np.testing.assert_array_equal(np.asarray(found), found.values)
        np.testing.assert_allclose(found.mean, expected.mean(tuple(range(found.low.ndim, expected.ndim))), rtol=1e-4, atol=1e-6)


def test_inputs_are_the_probe_with_its_labels_also_between_logged_steps(logged: Logged) -> None:
    for step, of in ((0, 0), (5, 3), (None, 6)):
        found = logged.run.inputs(step)
        assert (found.step, found.source, found.labels) == (of, "probe", tuple(LABELS))
        assert found.maps is not None
        assert_within_half_a_level(found.maps, logged.inputs.numpy())


def test_gram_matrices_are_those_of_the_centred_outputs(logged: Logged) -> None:
    for layer in ("conv", "fc"):
        for step in STEPS:
            outputs = logged.probe[step][layer].reshape(5, -1).astype(np.float64)
            x = outputs - outputs.mean(0)
            found = logged.run.gram(layer, step).values
            # The two forwards may round the outputs otherwise, and what is common to all samples cancels.
            rounding = 8 * np.finfo(np.float32).eps * np.abs(outputs).max()
            np.testing.assert_allclose(found, x @ x.T, rtol=1e-4, atol=2 * rounding * np.abs(x).max() * x.shape[1])
            assert found.dtype == np.float32


def test_attention_is_a_softmax_by_hand(logged: Logged) -> None:
    (place,) = logged.run.layers_with("attention")
    for step in STEPS:
        found = logged.run.attention(place, step)
        weights, logits = logged.probe[step]["weights"], logged.probe[step]["logits"]
        assert_within_half_a_level(found, weights)
        np.testing.assert_allclose(found.entropy, -(weights * np.log(weights)).sum(-1).mean(-1), rtol=1e-4)
        np.testing.assert_allclose(found.largest_logit, logits.max((2, 3)), rtol=1e-4, atol=1e-5)
        assert (found.output_shape, found.heads.tolist(), found.queries.tolist()) == ((5, 2, 36, 36), [0, 1], list(range(36)))


def test_the_model_says_what_feeds_what(logged: Logged) -> None:
    model = logged.run.model
    layers = {layer.name: layer for layer in model.layers}
    assert tuple(layers) == logged.run.layers
    assert (model.type, model.step) == ("Network", 0)
    assert layers["conv"] == dataclasses.replace(
        layers["conv"],
        path="conv",
        type="Conv2d",
        call=0,
        shape=(8, 6, 6, 6),
        dtype="float32",
        layout="channels",
        channel_axis=1,
        parameters=60,
    )
    assert layers["relu"].inputs == ("conv",)
    assert ("fc", "Linear", 21) in model.modules
    assert [(mark.step, mark.text) for mark in logged.run.marks] == [(3, "epoch 1")]
    assert logged.run.restarts == ()
    assert logged.run.session["torch"] == torch.__version__


def test_without_a_step_it_is_the_last_one(logged: Logged) -> None:
    assert logged.run.maps("conv").step == logged.run.histogram("conv").step == logged.run.gram("conv").step == 6
    assert logged.run.maps("conv", np.int64(3)).step == 3


def test_a_result_shows_shapes_not_numbers(logged: Logged) -> None:
    assert repr(logged.run) == f"Run('.': {len(logged.run.layers)} layers, 3 steps (0 to 6))"
    assert "steps=int64[3]" in repr(logged.run.stats("conv"))
    assert "values=float32[5, 6, 6, 6]" in repr(logged.run.maps("conv"))


def test_slices_of_a_volume_are_read_by_their_depth(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv3d(1, 3, 3, padding=1), nn.ReLU())
    volumes = torch.randn(2, 1, 10, 6, 5)
    with actviz_tb.watch(model, tmp_path, every=1, samples=2, on_error="raise"):
        model(volumes)
    run = actviz_tb.read(tmp_path)["."]
    truth = model[0](volumes).detach().numpy()
    for depth in (0, 1, 2, 3, None, 6, 7, 8):
        found = run.maps("0", depth=depth)
        assert (found.layer, found.output_shape) == ("0", truth.shape)
        np.testing.assert_allclose(found.values, truth[:, :, 5 if depth is None else depth], atol=np.ptp(truth) / 254)
    assert run.layers_with("maps") == ("0", "1")
    with pytest.raises(actviz_tb.NotLoggedError, match="kept are 0, 1, 2, 3, 6, 7, 8, and without depth the middle one"):
        run.maps("0", depth=4)
