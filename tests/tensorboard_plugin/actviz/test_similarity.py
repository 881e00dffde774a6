"""Similarity and projection against the features themselves: textbook formulas in float64, and scikit-learn's PCA."""

from typing import Any

import numpy as np
import pytest
import synthetic_extras
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import entropy
from sklearn.decomposition import PCA

from tensorboard_plugin.actviz import similarity


def features(seed: int, n: int = 40, p: int = 300, rank: int = 6, scale: float = 1.0) -> Any:
    """Outputs with a few strong directions and noise, and a mean far from zero."""
    generator = np.random.default_rng(seed)
    strong = generator.standard_normal((n, rank)) * np.arange(rank, 0, -1) @ generator.standard_normal((rank, p))
    return (strong + generator.standard_normal((n, p)) + 3) * scale


def triangles(*outputs: Any) -> Any:
    """What the ``gram`` records of outputs hold."""
    grams = [synthetic_extras.centred_gram(each) for each in outputs]
    return np.stack([gram[np.tril_indices(len(gram))] for gram in grams])


def cka_of_features(x: Any, y: Any) -> float:
    """Kornblith et al. 2019, section 3: ||Y^T X||^2 / (||X^T X|| ||Y^T Y||), columns centred."""
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    return float(np.linalg.norm(y.T @ x) ** 2 / (np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)))


def unbiased_hsic(x: Any, y: Any) -> float:
    """Song et al. 2012, equation 5, of linear kernels that are not centred."""
    n = len(x)
    k, m = x @ x.T, y @ y.T
    np.fill_diagonal(k, 0)
    np.fill_diagonal(m, 0)
    one = np.ones(n)
    total = np.trace(k @ m) + (one @ k @ one) * (one @ m @ one) / ((n - 1) * (n - 2)) - 2 / (n - 2) * (one @ k @ m @ one)
    return float(total / (n * (n - 3)))


def cka(one: Any, other: Any, estimator: str = "biased") -> Any:
    n = len(one[0])
    return similarity.cka(*(similarity.directions(triangles(*side), n, estimator) for side in (one, other)))


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_cka_is_that_of_the_features(scale: float) -> None:
    one = [features(0), features(1, p=7), features(2, p=2000)]
    other = [features(0, scale=scale), features(3, p=50, scale=scale)]
    expected = [[cka_of_features(x, y) for y in other] for x in one]
    np.testing.assert_allclose(cka(one, other), expected, atol=1e-4)


def test_unbiased_cka_is_that_of_kernels_that_were_never_centred() -> None:
    one, other = [features(0), features(1, p=7)], [features(0) + 0.5 * features(4), features(3, p=500)]
    hsic = [[unbiased_hsic(x, y) / np.sqrt(unbiased_hsic(x, x) * unbiased_hsic(y, y)) for y in other] for x in one]
    np.testing.assert_allclose(cka(one, other, "unbiased"), hsic, atol=1e-4)


def test_wide_layers_that_have_nothing_in_common_look_alike_to_the_biased_estimator_only() -> None:
    generator = np.random.default_rng(0)
    one, other = ([generator.standard_normal((20, 5000))] for _ in range(2))
    assert cka(one, other)[0, 0] > 0.9
    assert abs(cka(one, other, "unbiased")[0, 0]) < 0.1


@pytest.mark.parametrize("estimator", similarity.ESTIMATORS)
def test_cka_is_one_with_itself_whatever_rotation_shift_and_scale(estimator: str) -> None:
    x = features(0, p=30)
    rotation = np.linalg.qr(np.random.default_rng(1).standard_normal((30, 30)))[0]
    np.testing.assert_allclose(cka([x], [x, 5 * x @ rotation - 7], estimator), 1, atol=1e-4)


@pytest.mark.parametrize("estimator", similarity.ESTIMATORS)
@pytest.mark.parametrize("value", [0.0, 5.0, np.nan, np.inf])
def test_a_layer_without_direction_is_like_none(estimator: str, value: float) -> None:
    bad = triangles(features(0))[0] * 0 + (0 if np.isfinite(value) else value)
    rows = np.stack([triangles(features(0))[0], bad])
    directions = similarity.directions(rows, 40, estimator)
    found = similarity.cka(directions, directions)
    assert found[0, 0] == pytest.approx(1)
    assert np.isnan(found[1]).all()
    assert np.isnan(found[:, 1]).all()


def test_a_state_tells_why_a_matrix_has_no_direction() -> None:
    rows = triangles(features(0), features(0), features(0), features(0))
    rows[1], rows[2], rows[3, 7] = 0, np.inf, np.nan
    expected = [similarity.HAS_DIRECTION, similarity.EQUAL, similarity.NONFINITE, similarity.NONFINITE]
    assert similarity.states(rows).tolist() == expected


@pytest.mark.parametrize("size", [0, 2, 4, 5, 2079])
def test_no_number_of_samples_has_such_a_triangle(size: int) -> None:
    assert similarity.samples(np.zeros(size)) is None


@pytest.mark.parametrize("n", [1, 2, 3, 64, 500])
def test_a_triangle_tells_its_samples(n: int) -> None:
    assert similarity.samples(np.zeros(n * (n + 1) // 2)) == n


@pytest.mark.parametrize("seed", range(5))
def test_one_step_is_pca(seed: int) -> None:
    x = features(seed)
    found = similarity.project(triangles(x), len(x))
    pca = PCA(n_components=2, svd_solver="full").fit(x)
    scores = pca.transform(x)
    scores *= np.sign(scores[np.abs(scores).argmax(axis=0), [0, 1]])
    np.testing.assert_allclose(found.points[0], scores, rtol=1e-4, atol=1e-4 * np.abs(scores).max())
    np.testing.assert_allclose(found.explained[0], pca.explained_variance_ratio_, rtol=1e-4)
    spectrum = PCA(svd_solver="full").fit(x).explained_variance_
    np.testing.assert_allclose(found.participation[0], spectrum.sum() ** 2 / (spectrum**2).sum(), rtol=1e-4)
    shares = spectrum[spectrum > 1e-12] / spectrum.sum()
    np.testing.assert_allclose(found.effective_rank[0], np.exp(entropy(shares)), rtol=1e-4)


@pytest.mark.parametrize("dimensions", [1, 2, 5, 30])
def test_equally_strong_dimensions_are_counted(dimensions: int) -> None:
    x = np.linalg.qr(np.random.default_rng(0).standard_normal((40, dimensions + 1)) - 0.5)[0]
    x = np.linalg.qr(x - x.mean(axis=0))[0][:, :dimensions]  # centred columns, orthonormal
    found = similarity.project(triangles(x), 40)
    assert found.participation[0] == pytest.approx(dimensions, rel=1e-4)
    assert found.effective_rank[0] == pytest.approx(dimensions, rel=1e-4)


def test_each_step_is_pca_turned_onto_the_step_before() -> None:
    outputs = [np.cos(angle) * features(6) + np.sin(angle) * features(7) for angle in np.linspace(0, 3, 9)]
    found = similarity.project(triangles(*outputs), 40)
    for index, x in enumerate(outputs):
        scores = PCA(n_components=2, svd_solver="full").fit_transform(x)
        # The distances between samples in the plane do not depend on how it is turned.
        distances, expected = (np.linalg.norm(each[:, None] - each[None, :], axis=-1) for each in (found.points[index], scores))
        np.testing.assert_allclose(distances, expected, rtol=1e-3, atol=1e-4 * np.abs(scores).max())
        if index:
            before, here = found.points[index - 1].astype(np.float64), found.points[index].astype(np.float64)
            least = min(np.linalg.norm(here @ turn - before) for turn in turns())
            assert np.linalg.norm(here - before) <= least * 1.001


def turns() -> list[Any]:
    """Rotations of the plane, each also mirrored."""
    angles = np.linspace(0, 2 * np.pi, 721)
    rotations = [np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) for angle in angles]
    return [rotation @ mirror for rotation in rotations for mirror in (np.eye(2), np.diag([1.0, -1.0]))]


def test_points_stay_where_they_were_while_the_outputs_only_turn() -> None:
    x = features(7)
    rotation = np.linalg.qr(np.random.default_rng(2).standard_normal((300, 300)))[0]
    found = similarity.project(triangles(x, -x, x @ rotation), 40)
    scale = np.abs(found.points).max()
    np.testing.assert_allclose(found.points[1:], found.points[[0, 0]], atol=1e-3 * scale)


def test_a_step_without_projection_is_nan_and_the_next_one_goes_on_from_the_last_that_has_one() -> None:
    x = features(8)
    rows = triangles(x, x, x, -x)
    rows[1], rows[2] = 0, np.nan
    found = similarity.project(rows, 40)
    assert np.isnan(found.points[1:3]).all()
    assert np.isnan(found.explained[1:3]).all()
    assert np.isnan(found.participation[1:3]).all()
    assert np.isnan(found.effective_rank[1:3]).all()
    np.testing.assert_allclose(found.points[3], found.points[0], atol=1e-3 * np.abs(found.points[0]).max())


@pytest.mark.parametrize("n", [2, 3])
def test_few_samples_have_a_projection(n: int) -> None:
    x = features(9, n=n)
    found = similarity.project(triangles(x), n)
    pca = PCA(n_components=2, svd_solver="full").fit(x)
    np.testing.assert_allclose(np.abs(found.points[0]), np.abs(pca.transform(x)), atol=1e-4 * np.abs(found.points).max())
    np.testing.assert_allclose(found.explained[0], pca.explained_variance_ratio_, atol=1e-4)


@given(st.integers(0, 10**6), st.integers(4, 20), st.integers(1, 60))
def test_cka_lies_between_its_bounds(seed: int, n: int, p: int) -> None:
    one, other = [features(seed, n, p)], [features(seed + 1, n, 5)]
    assert -1e-6 <= cka(one, other)[0, 0] <= 1
    assert -1 <= cka(one, other, "unbiased")[0, 0] <= 1
