"""Matching against scipy's assignment and numpy's correlation."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.optimize import linear_sum_assignment

from tensorboard_plugin.actviz import matching


def total(costs: Any, columns: Any) -> float:
    return float(costs[np.arange(len(columns)), columns].sum())


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 5), (16, 16), (20, 33), (64, 64), (100, 130)])
@pytest.mark.parametrize("kind", ["normal", "ties", "constant", "large"])
def test_an_assignment_costs_as_little_as_scipys(shape: tuple[int, int], kind: str) -> None:
    generator = np.random.default_rng(shape[0])
    for _ in range(5):
        costs = generator.standard_normal(shape)
        if kind == "ties":
            costs = np.round(costs)
        elif kind == "constant":
            costs = np.zeros(shape)
        elif kind == "large":
            costs *= 1e9
        columns = matching.assignment(costs)
        assert len(set(columns.tolist())) == shape[0]
        assert total(costs, columns) == pytest.approx(total(costs, linear_sum_assignment(costs)[1]), rel=1e-12, abs=1e-9)


@settings(deadline=None)
@given(arrays.arrays(np.float64, st.tuples(st.integers(1, 8), st.integers(1, 8)), elements=st.floats(-1, 1)))
def test_the_matching_has_the_largest_sum_and_pairs_the_fewer_side(correlation: Any) -> None:
    pairs = matching.matched(correlation)
    assert len(pairs) == min(correlation.shape)
    assert len(set(pairs[:, 0].tolist())) == len(set(pairs[:, 1].tolist())) == len(pairs)
    assert (np.diff(pairs[:, 0]) > 0).all()
    rows, columns = linear_sum_assignment(correlation, maximize=True)
    assert correlation[pairs[:, 0], pairs[:, 1]].sum() == pytest.approx(correlation[rows, columns].sum(), abs=1e-9)


def test_a_channel_without_correlations_is_in_no_pair() -> None:
    nan = np.nan
    correlation = np.array([[nan, nan, nan], [0.1, nan, 0.9], [-0.5, nan, 0.8]])
    assert matching.matched(correlation).tolist() == [[1, 0], [2, 2]]
    assert matching.matched(correlation.T).tolist() == [[0, 1], [2, 2]]
    assert matching.matched(np.full((3, 2), nan)).shape == (0, 2)


def test_permuted_channels_are_found_again_whatever_their_scale_and_shift() -> None:
    generator = np.random.default_rng(0)
    one = generator.standard_normal((40, 500))
    order = generator.permutation(40)
    other = (one * generator.uniform(0.1, 10, (40, 1)) + generator.uniform(-5, 5, (40, 1)))[order]
    pairs = matching.matched(matching.correlations(one, other))
    assert order[pairs[:, 1]].tolist() == list(range(40))


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_correlations_are_numpys(scale: float) -> None:
    generator = np.random.default_rng(1)
    one, other = generator.standard_normal((5, 200)) * scale + scale, generator.standard_normal((7, 200))
    np.testing.assert_allclose(matching.correlations(one, other), np.corrcoef(one / scale, other)[:5, 5:], atol=1e-12)


@pytest.mark.parametrize("bad", [0.0, 3.3, np.nan, np.inf])
def test_a_channel_without_spread_or_not_finite_has_no_correlation(bad: float) -> None:
    one = np.random.default_rng(2).standard_normal((3, 50))
    one[1, 10 if not np.isfinite(bad) else slice(None)] = bad
    found = matching.correlations(one, one)
    assert np.isnan(found[1]).all()
    assert np.isnan(found[:, 1]).all()
    np.testing.assert_allclose(np.diag(found)[[0, 2]], 1)
