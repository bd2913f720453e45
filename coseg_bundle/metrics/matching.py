"""One-to-one matches: of instances by overlap, of points by distance. Cost grows with the pairs that touch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree


def assign(pairs: NDArray[np.int64], gain: NDArray[np.float64]) -> NDArray[np.int64]:
    """The one-to-one choice of pairs with the largest sum of gains.

    Pairs that share no member are independent, so each connected group of pairs is solved by itself.

    Args:
        pairs: `(K, 2)` row numbers of the two sides; no pair twice.
        gain: `(K,)` above 0.

    Returns:
        Indices into `pairs`, sorted.

    Example:
        >>> assign(np.array([[0, 0], [0, 1], [1, 1]]), np.array([0.5, 0.4, 0.3])).tolist()
        [0, 2]
    """
    if not len(pairs):
        return np.zeros(0, np.int64)
    left, right = pairs.T
    size = int(left.max()) + 1 + int(right.max()) + 1
    graph = coo_matrix((np.ones(len(pairs)), (left, right + left.max() + 1)), shape=(size, size))
    group = connected_components(graph, directed=False)[1][left]
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    sizes = np.diff(starts, append=len(order))
    chosen = [order[starts[sizes == 1]]]  # a pair by itself is its own match
    chosen += [
        _assign_group(pairs, gain, order[start : start + count])
        for start, count in zip(starts[sizes > 1], sizes[sizes > 1], strict=True)
    ]
    return np.sort(np.concatenate(chosen))


def _assign_group(pairs: NDArray[np.int64], gain: NDArray[np.float64], members: NDArray[np.int64]) -> NDArray[np.int64]:
    rows, row = np.unique(pairs[members, 0], return_inverse=True)
    columns, column = np.unique(pairs[members, 1], return_inverse=True)
    gains = np.zeros((rows.size, columns.size))
    pair_at = np.full(gains.shape, -1)
    gains[row, column], pair_at[row, column] = gain[members], members
    matched = pair_at[linear_sum_assignment(gains, maximize=True)]
    return matched[matched >= 0]


def match_points(
    pred_xy: NDArray[np.floating], truth_xy: NDArray[np.floating], radius_px: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Matches points that lie close: as many pairs as there can be, and of those the least sum of distances.

    Args:
        pred_xy: `(M, 2)`.
        truth_xy: `(N, 2)`.
        radius_px: Pairs at this distance or closer may match.

    Returns:
        `(K, 2)` row numbers (truth, pred) and `(K,)` distances.
    """
    if not len(pred_xy) or not len(truth_xy):
        return np.zeros((0, 2), np.int64), np.zeros(0)
    close = cKDTree(truth_xy).sparse_distance_matrix(cKDTree(pred_xy), radius_px, output_type="coo_matrix")
    pairs = np.stack([close.row, close.col], axis=1).astype(np.int64)
    distance = np.asarray(close.data, np.float64)
    another_pair_counts_more = radius_px * (min(len(pred_xy), len(truth_xy)) + 1)
    chosen = assign(pairs, another_pair_counts_more - distance)
    return pairs[chosen], distance[chosen]
