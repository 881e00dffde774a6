"""Similarity of representations, and their principal components, from Gram matrices alone. Pure functions.

A ``gram`` record holds the lower triangle of G = H X X^T H: X [n, p] the outputs for n samples, H = I - 1/n.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import ThreadpoolController

Array = npt.NDArray[Any]

ESTIMATORS = ("biased", "unbiased")
UNBIASED_SAMPLES = 4
"""The unbiased estimator needs so many samples."""
HAS_DIRECTION, EQUAL, NONFINITE = range(3)
"""States of a Gram matrix: of outputs that differ, that are the same for all samples, that are not all finite."""
_FLOAT32_EPSILON = float(np.finfo(np.float32).eps)


_ONE_AT_A_TIME = threading.Lock()
_TURN, _PAUSE_S = 16, 1e-3
"""After so many decompositions what else waits has its turn: a matrix is soon done, a projection of many steps is not."""
_POOLS = ThreadpoolController()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Keep BLAS in one thread, and one computation at a time, as the limit is the process's: beside a training that keeps all processors
    busy, OpenBLAS's threads wait for each other 15 to 70 times as long as the eigenvectors of 64 x 64 numbers take."""
    with _ONE_AT_A_TIME, _POOLS.limit(limits=1, user_api="blas"):
        yield


def samples(triangle: Array) -> int | None:
    """Return n of a lower triangle of n (n + 1) / 2 elements, None where no n has so many."""
    n = (math.isqrt(8 * triangle.size + 1) - 1) // 2
    return n if triangle.ndim == 1 and triangle.size and n * (n + 1) // 2 == triangle.size else None


def full(triangles: Array, n: int) -> npt.NDArray[np.float64]:
    """Return the symmetric matrices [..., n, n] of lower triangles [..., n (n + 1) / 2]."""
    rows, columns = np.tril_indices(n)
    matrices = np.empty((*triangles.shape[:-1], n, n))
    matrices[..., rows, columns] = matrices[..., columns, rows] = triangles
    return matrices


def states(triangles: Array) -> npt.NDArray[np.uint8]:
    """Return the states, uint8 [K], of Gram matrices [K, n (n + 1) / 2]: what has no direction, and why."""
    found = np.where(triangles.any(axis=1), HAS_DIRECTION, EQUAL)
    found[~np.isfinite(triangles).all(axis=1)] = NONFINITE
    return found.astype(np.uint8)


def directions(triangles: Array, n: int, estimator: str = "biased") -> npt.NDArray[np.float64]:
    """Return vectors of length 1, float64 [K, m], whose inner products are the linear CKA of the Gram matrices.

    NaN where a matrix has no direction: all samples have the same output, or some have one that is not finite.

    Source: Kornblith et al. 2019, Similarity of Neural Network Representations Revisited, section 3: CKA is HSIC(K, L) /
    sqrt(HSIC(K, K) HSIC(L, L)), and HSIC of centred K and L is in proportion to their inner product. ``unbiased``: Song et al. 2012,
    Feature Selection via Dependence Maximization, equation 5, which is the inner product of the U-centred matrices (Szekely and Rizzo
    2014, Partial Distance Correlation with Methods for Dissimilarities), and the same of a Gram matrix and of its centred form.

    Which is right: ``biased`` grows towards 1 as features outnumber samples, whatever they are of (Murphy et al. 2024, Correcting Biased
    Centered Kernel Alignment Measures in Biological and Artificial Neural Networks); it is for many samples and few features. ``unbiased``
    is for the small probes that are usual here, and scatters about the truth the more, the fewer the samples (used so by Nguyen et al.
    2021, Do Wide and Deep Networks Learn the Same Things?). The two products under the root are unbiased, CKA itself only nearly.

    Args:
        triangles: [K, n (n + 1) / 2].
        n: samples; at least `UNBIASED_SAMPLES` for ``unbiased``.
    """
    vectors = triangles.astype(np.float64)
    vectors[~np.isfinite(triangles).all(axis=1)] = 0
    diagonal = np.cumsum(np.arange(1, n + 1)) - 1
    if estimator == "unbiased":
        vectors[:, diagonal] = 0
        _centre_unbiased(vectors, n)
    weights = np.full(vectors.shape[1], math.sqrt(2))  # an element beside the diagonal stands for two
    weights[diagonal] = 1
    vectors *= weights
    lengths = np.sqrt(np.einsum("kt,kt->k", vectors, vectors))
    vectors /= np.where(lengths > 0, lengths, np.nan)[:, None]
    return vectors


def _centre_unbiased(triangles: npt.NDArray[np.float64], n: int) -> None:
    """U-centre matrices whose diagonals are zero, [K, n (n + 1) / 2], in place; row by row, as whole ones take twice the memory."""
    rows = [triangles[:, begin : begin + row] for row, begin in ((row, row * (row + 1) // 2) for row in range(1, n))]
    sums = np.zeros((len(triangles), n))
    for row, values in enumerate(rows, 1):
        sums[:, row] += values.sum(axis=1)
        sums[:, :row] += values
    totals = sums.sum(axis=1, keepdims=True) / ((n - 1) * (n - 2))
    sums /= n - 2
    for row, values in enumerate(rows, 1):
        values += totals - sums[:, row : row + 1] - sums[:, :row]


def cka(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Return the linear CKA [A, B] of two sets of `directions`; NaN where one has none."""
    with _one_thread():
        products = np.nan_to_num(one) @ np.nan_to_num(other).T
    found: npt.NDArray[np.float32] = np.clip(products, -1, 1).astype(np.float32)
    found[np.isnan(one).any(axis=1)] = np.nan
    found[:, np.isnan(other).any(axis=1)] = np.nan
    return found


@dataclass(frozen=True, slots=True)
class Projection:
    """The samples on their first two principal components, at each of S steps; NaN where there are none.

    Attributes:
        points: float32 [S, n, 2], each step's turned and mirrored onto the one before.
        explained: float32 [S, 2], the components' shares of the variance.
        participation: float32 [S], the participation ratio: of how many dimensions the outputs make use.
        effective_rank: float32 [S]: the same, more mindful of the weak ones.
    """

    points: Array
    explained: Array
    participation: Array
    effective_rank: Array


def project(triangles: Array, n: int) -> Projection:
    """Return the projections of Gram matrices [S, n (n + 1) / 2] of one layer at successive steps.

    Source: the scores of PCA are sqrt(l) v for the eigenpairs (l, v) of the centred Gram matrix (Gower 1966, Some Distance Properties of
    Latent Root and Vector Methods). Participation ratio (sum l)^2 / sum l^2: Gao et al. 2017, A Theory of Multineuronal Dimensionality.
    Effective rank exp(-sum p log p) with p = l / sum l: Roy and Vetterli 2007, The Effective Rank: A Measure of Effective Dimensionality,
    definition 1, of the Gram matrix, whose singular values are its eigenvalues. Both are of the samples: at most n - 1.
    """
    steps = len(triangles)
    points = np.full((steps, n, 2), np.nan)
    explained = np.full((steps, 2), np.nan)
    participation = np.full(steps, np.nan)
    effective_rank = np.full(steps, np.nan)
    found = []
    for begin in range(0, steps, _TURN):
        if begin:
            time.sleep(_PAUSE_S)
        with _one_thread():
            found += [_principal(triangle.astype(np.float64), n) for triangle in triangles[begin : begin + _TURN]]
    before: Array | None = None
    for index, principal in enumerate(found):
        if principal is None:
            continue
        values, scores = principal
        points[index] = _with_signs(scores) if before is None else aligned(scores, before)
        explained[index] = [*(values[:2] / values.sum()), *[0.0] * (2 - min(2, n))]
        participation[index] = values.sum() ** 2 / np.square(values).sum()
        shares = values[values > 0] / values.sum()
        effective_rank[index] = np.exp(-(shares * np.log(shares)).sum())
        before = points[index]
    return Projection(
        points.astype(np.float32), explained.astype(np.float32), participation.astype(np.float32), effective_rank.astype(np.float32)
    )


def _principal(triangle: Array, n: int) -> tuple[Array, Array] | None:
    """Return the eigenvalues [n], largest first, and the scores [n, 2]; None where the matrix has no direction."""
    scale = np.abs(triangle).max(initial=0)
    if not 0 < scale < np.inf:
        return None
    values, vectors = np.linalg.eigh(full(triangle / scale, n))
    values = values[::-1]
    values = np.where(values > n * _FLOAT32_EPSILON * values[0], values, 0)  # the others are rounding of the logged matrix
    scores = np.zeros((n, 2))
    kept = min(2, n)
    scores[:, :kept] = vectors[:, ::-1][:, :kept] * np.sqrt(values[:kept] * scale)
    return values, scores


def aligned(points: Array, target: Array) -> Array:
    """Return points [n, 2], turned and mirrored about the origin so that they lie as near to `target` as can be.

    Source: Schoenemann 1966, A Generalized Solution of the Orthogonal Procrustes Problem.
    """
    left, _, right = np.linalg.svd(points.T @ target)
    turned: Array = points @ (left @ right)
    return turned


def _with_signs(scores: Array) -> Array:
    """Return the scores mirrored so that the one farthest from zero is positive on either axis."""
    farthest = scores[np.argmax(np.abs(scores), axis=0), [0, 1]]
    return scores * np.where(farthest < 0, -1, 1)


def stacked(triangles: Sequence[Array], n: int) -> npt.NDArray[np.float32]:
    """Return triangles as one array [K, n (n + 1) / 2]."""
    return np.array(triangles, np.float32).reshape(len(triangles), n * (n + 1) // 2)
