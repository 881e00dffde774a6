"""Gram matrices against numpy in float64, and linear CKA from them against its own formula (Kornblith et al. 2019, equation 5)."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from logged import of_tag
from torch import Tensor, nn

import actviz_tb
from actviz_tb import gram

Array = npt.NDArray[Any]


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def reference(activation: Tensor, samples: int = gram.MAX_SAMPLES) -> Array:
    x = activation[:samples].double().numpy().reshape(min(len(activation), samples), -1)
    centring = np.eye(len(x)) - 1 / len(x)
    return centring @ x @ x.T @ centring


CASES = {
    "vectors": normal(7, 30),
    "maps": normal(5, 4, 9, 8),
    "two samples": normal(2, 3),
    "more features than samples by far": normal(4, 20_000),
    "one feature": normal(9, 1),
    "more than are kept": normal(gram.MAX_SAMPLES + 9, 6),
    "fp16": normal(6, 500).half() * 200,
    "bf16": normal(6, 500).bfloat16(),
    "float64": normal(6, 500).double(),
    "far from zero": normal(8, 300) + 1000,
    "channels_last": normal(5, 4, 9, 8).to(memory_format=torch.channels_last),
    "every other sample": normal(10, 6)[::2],
}


@pytest.mark.parametrize("activation", CASES.values(), ids=CASES.keys())
def test_the_matrix_is_that_of_the_centred_samples(activation: Tensor) -> None:
    found = gram.centred_gram(activation, len(activation))
    assert found is not None
    assert found.dtype == torch.float32
    expected = reference(activation)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())
    assert np.abs(found.numpy().sum(0)).max() <= 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("samples", [7, 10, 33, 64])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_equal_outputs_have_no_direction(samples: int, dtype: torch.dtype) -> None:
    """What a bias puts out behind a dead layer: its mean misses it by a rounding, which is the same for all samples."""
    found = gram.centred_gram(normal(1, 128).to(dtype).expand(samples, 128), samples)
    assert found is not None
    assert not found.any()


def test_outputs_that_hardly_differ_keep_their_matrix_and_non_finite_ones_stay_so() -> None:
    x = normal(8, 300)
    hardly = gram.centred_gram(1 + 1e-4 * x, 8)
    assert hardly is not None
    np.testing.assert_allclose(hardly, 1e-8 * reference(x), rtol=0.05, atol=1e-8 * np.abs(reference(x)).max() * 0.01)
    x[3, 5] = torch.nan
    broken = gram.centred_gram(x, 8)
    assert broken is not None
    assert broken.isnan().any()


def test_an_offset_common_to_all_samples_costs_no_more_digits_than_float32_has() -> None:
    x = normal(8, 300)
    near, far = gram.centred_gram(x, 8), gram.centred_gram(x + 10_000, 8)
    assert near is not None
    assert far is not None
    np.testing.assert_allclose(far, reference(x + 10_000), rtol=1e-4, atol=1e-4 * float(near.abs().max()))


@pytest.mark.parametrize(
    ("activation", "samples"),
    [(normal(4), 4), (normal(4, 3), 5), (normal(1, 3), 1), (torch.tensor(1.0), 1)],
    ids=lambda value: str(value)[:20],
)
def test_what_is_not_one_row_a_sample_has_no_matrix(activation: Tensor, samples: int) -> None:
    assert gram.centred_gram(activation, samples) is None


def linear_cka(x: Array, y: Array) -> float:
    """Of features [n, p] and [n, q], by its definition."""
    x, y = x - x.mean(0), y - y.mean(0)
    return float(np.linalg.norm(x.T @ y) ** 2 / (np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)))


def unpacked(directory: Path, layer: str, step: int) -> Array:
    """A layer's matrix from the log, made whole from its lower triangle."""
    record = of_tag(directory, f"actviz/gram/{layer}")[step]
    count = round((np.sqrt(8 * len(record.arrays["gram"]) + 1) - 1) / 2)
    whole = np.zeros((count, count))
    whole[np.tril_indices(count)] = record.arrays["gram"]
    return whole + np.tril(whole, -1).T


@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_linear_cka_from_the_log_is_that_of_the_activations(tmp_path: Path, offset: float) -> None:
    torch.manual_seed(0)
    model, probe = nn.Sequential(nn.Conv2d(2, 5, 3), nn.ReLU(), nn.Flatten(), nn.Linear(5 * 6 * 6, 7)), normal(20, 2, 8, 8)
    with torch.no_grad():
        model[0].bias += offset
    seen: list[dict[str, Array]] = []
    with actviz_tb.watch(model, tmp_path, every=1, probe=probe, stock_tabs=False):
        for step in range(2):
            with torch.no_grad():
                conv = model[0](probe)
                outputs = {"0": conv, "1": conv.relu(), "3": model(probe)}
            seen.append({name: tensor.double().numpy().reshape(20, -1) for name, tensor in outputs.items()})
            model(normal(3, 2, 8, 8, seed=step)).square().mean().backward()
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter -= 0.3 * parameter.grad
    places = [(step, layer) for step in range(2) for layer in seen[step]]
    matrices = {(step, layer): unpacked(tmp_path, layer, step) for step, layer in places}
    for one in places:
        for other in places:
            first, second = matrices[one], matrices[other]
            found = (first * second).sum() / (np.linalg.norm(first) * np.linalg.norm(second))
            assert found == pytest.approx(linear_cka(seen[one[0]][one[1]], seen[other[0]][other[1]]), abs=1e-4)


def test_autocast_leaves_the_matrix_in_float32(tmp_path: Path) -> None:
    model, probe = nn.Sequential(nn.Linear(6, 500)), normal(9, 6)
    with actviz_tb.watch(model, tmp_path, every=1, probe=probe), torch.autocast("cpu", torch.bfloat16):
        model(normal(2, 6))
        with torch.no_grad():
            expected = reference(model(probe))
    np.testing.assert_allclose(unpacked(tmp_path, "0", 0), expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
