"""Which channel of one network does what a channel of another one does: matching by correlation on the same inputs. Pure functions.

Source: Li, Yosinski, Clune, Lipson and Hopcroft 2016, Convergent Learning: Do Different Neural Networks Learn the Same Representations?,
sections 3 and 3.2: the correlation of two units over inputs and places, and the one-to-one matching with the largest sum of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def correlations(one: Array, other: Array) -> npt.NDArray[np.float64]:
    """Return Pearson's correlation [C, D] of each row of `one` [C, n] with each row of `other` [D, n].

    NaN where a row has no spread, or a value that is not finite.
    """
    return np.asarray(np.clip(_standardised(one) @ _standardised(other).T, -1, 1))


def _standardised(rows: Array) -> npt.NDArray[np.float64]:
    """Return rows of mean 0 and length 1, all NaN where there is no such thing."""
    rows = rows.astype(np.float64)
    finite = np.isfinite(rows).all(axis=1)
    rows[~finite] = 0
    scale = np.abs(rows).max(axis=1, initial=0)
    rows /= np.where(scale > 0, scale, 1)[:, None]
    rows -= rows.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(rows, axis=1)
    spread = finite & (lengths > rows.shape[1] * np.finfo(np.float64).eps)
    return np.asarray(rows / np.where(spread, lengths, np.nan)[:, None])


def matched(correlation: Array) -> npt.NDArray[np.intp]:
    """Return [P, 2], the row and the column of each pair of the one-to-one matching with the largest sum of correlations.

    A row or column without correlations (all NaN: it has no spread, or a value that is not finite) has no partner. Of the others, each row
    or each column has one, whichever are fewer.

    >>> matched(np.array([[0.9, 0.8], [0.8, 0.1]])).tolist()
    [[0, 1], [1, 0]]
    """
    known = ~np.isnan(correlation)
    rows, columns = np.flatnonzero(known.any(axis=1)), np.flatnonzero(known.any(axis=0))
    costs = -correlation[np.ix_(rows, columns)]
    if len(rows) <= len(columns):
        return np.column_stack([rows, columns[assignment(costs)]])
    pairs = np.column_stack([rows[assignment(costs.T)], columns])
    return np.asarray(pairs[np.argsort(pairs[:, 0])])


def assignment(costs: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    """Return a column for each row of `costs` [n, m], n <= m, all different, such that their costs have the smallest sum.

    Source: Crouse 2016, On Implementing 2D Rectangular Assignment Algorithms, section II: rows are added one by one, each along the
    shortest augmenting path, with dual variables that keep the reduced costs of all edges at 0 or above. O(n^2 m).
    """
    n, m = costs.shape
    row_dual, column_dual = np.zeros(n), np.zeros(m)
    row_of = np.full(m, -1, np.intp)
    column_of = np.full(n, -1, np.intp)
    for start in range(n):
        shortest = np.full(m, np.inf)
        before = np.full(m, -1, np.intp)  # the row from which a column is reached on the shortest path
        left = np.ones(m, bool)
        visited = [start]
        row, length, sink = start, 0.0, -1
        while sink < 0:
            through = length + costs[row] - row_dual[row] - column_dual
            better = left & (through < shortest)
            shortest[better] = through[better]
            before[better] = row
            column = int(np.argmin(np.where(left, shortest, np.inf)))
            length = float(shortest[column])
            left[column] = False
            if row_of[column] < 0:
                sink = column
            else:
                row = int(row_of[column])
                visited.append(row)
        row_dual[start] += length
        for row in visited[1:]:
            row_dual[row] += length - shortest[column_of[row]]
        column_dual[~left] -= length - shortest[~left]
        column = sink
        while column >= 0:
            row = int(before[column])
            row_of[column] = row
            column, column_of[row] = int(column_of[row]), column
    return column_of
