"""Measures of how well users fall into segments: how compact, how far apart, how alike two divisions are."""

from collections.abc import Mapping

import numpy as np

from sqlseg.segments.blocks import FloatArray, IntArray


def pairwise_distances(X: FloatArray) -> FloatArray:
    """Return the Euclidean distances between all rows, for samples of a few thousand."""
    norms = np.einsum("ij,ij->i", X, X)
    squared = norms[:, None] + norms[None, :] - 2.0 * (X @ X.T)
    np.fill_diagonal(squared, 0.0)
    distances: FloatArray = np.sqrt(np.maximum(squared, 0.0))
    return distances


def silhouette(distances: FloatArray, labels: IntArray) -> float | None:
    """Return the mean silhouette width, -1 to 1, from all pairwise distances (Rousseeuw 1987).

    None with fewer than two segments. A user alone in a segment counts 0.

    >>> silhouette(pairwise_distances(np.array([[0.0], [0.0], [5.0], [5.0]])), np.array([0, 0, 1, 1]))
    1.0
    """
    present, labels = np.unique(labels, return_inverse=True)
    users, count = labels.size, present.size
    if count < 2:
        return None
    sizes = np.bincount(labels, minlength=count)
    sums = distances @ _indicator(labels, count)
    rows = np.arange(users)
    own_size = sizes[labels]
    own = sums[rows, labels] / np.maximum(own_size - 1, 1)
    means = sums / sizes
    means[rows, labels] = np.inf
    other = means.min(axis=1)
    widest = np.maximum(own, other)
    width = np.divide(other - own, widest, out=np.zeros(users), where=(widest > 0) & (own_size > 1))
    return float(width.mean())


def calinski_harabasz(X: FloatArray, labels: IntArray) -> float | None:
    """Return the ratio of variance between to within segments, each by its degrees of freedom (1974).

    None with fewer than two segments, with as many segments as users, or where no segment has any width.
    """
    present, labels = np.unique(labels, return_inverse=True)
    users, count = labels.size, present.size
    if count < 2 or count >= users:
        return None
    centers, within = _centers_and_within(X, labels, count)
    between = float((np.bincount(labels) * ((centers - X.mean(axis=0)) ** 2).sum(axis=1)).sum())
    return None if within <= 0 else between * (users - count) / (within * (count - 1))


def davies_bouldin(X: FloatArray, labels: IntArray) -> float | None:
    """Return the mean, over segments, of the worst (width + width) / distance between two; lower is better (1979)."""
    present, labels = np.unique(labels, return_inverse=True)
    count = present.size
    if count < 2:
        return None
    centers, _ = _centers_and_within(X, labels, count)
    distance = np.sqrt(((X - centers[labels]) ** 2).sum(axis=1))
    width = np.bincount(labels, weights=distance) / np.bincount(labels)
    apart = np.sqrt(((centers[:, None, :] - centers[None, :, :]) ** 2).sum(axis=2))
    both = width[:, None] + width[None, :]
    ratio = np.divide(both, apart, out=np.zeros_like(both), where=apart > 0)
    return float(ratio.max(axis=1).mean())


def explained_variance(X: FloatArray, labels: IntArray) -> float | None:
    """Return the share of the total variance that lies between segments, 0 to 1; None where there is none."""
    total = float(((X - X.mean(axis=0)) ** 2).sum())
    if total <= 0:
        return None
    _, within = _centers_and_within(X, labels, int(labels.max()) + 1)
    return 1.0 - within / total


def within_variation(X: FloatArray, labels: IntArray) -> float:
    """Return the sum of squared distances of users to the mean of their segment.

    >>> within_variation(np.array([[0.0], [2.0], [7.0]]), np.array([0, 0, 1]))
    2.0
    """
    return _centers_and_within(X, labels, int(labels.max()) + 1)[1]


def block_shares(X: FloatArray, places: Mapping[str, slice]) -> dict[str, float]:
    """Return the share of the total variance of X (users x inputs) that each block of its columns has.

    Squared distances, which k-means divides up, are made of the blocks in these shares. Empty without variance.

    >>> block_shares(np.array([[0.0, 0.0, 1.0], [1.0, 1.0, 0.0]]), {"a": slice(0, 2), "b": slice(2, 3)})
    {'a': 0.6666666666666666, 'b': 0.3333333333333333}
    """
    variances = X.var(axis=0)
    total = float(variances.sum())
    return {name: float(variances[place].sum()) / total for name, place in places.items()} if total > 0 else {}


def explained_by_block(X: FloatArray, labels: IntArray, places: Mapping[str, slice]) -> dict[str, float]:
    """Return `explained_variance` within each block of columns: how far the segments tell users apart by it alone."""
    found = {name: explained_variance(X[:, place], labels) for name, place in places.items()}
    return {name: value for name, value in found.items() if value is not None}


def eta_squared(values: FloatArray, labels: IntArray) -> float | None:
    """Return the share of one feature's variance that the segments account for; NaN left out (Fisher 1925).

    >>> eta_squared(np.array([1.0, 1.0, 3.0, 3.0]), np.array([0, 0, 1, 1]))
    1.0
    """
    known = ~np.isnan(values)
    return explained_variance(values[known, None], labels[known]) if known.any() else None


def contingency(before: IntArray, after: IntArray, before_count: int, after_count: int) -> IntArray:
    """Return how many users are in each pair of segments, before x after."""
    cells = np.bincount(before * after_count + after, minlength=before_count * after_count)
    return cells.reshape(before_count, after_count).astype(np.int64)


def jaccard(shared: IntArray) -> FloatArray:
    """Return |A and B| / |A or B| of every pair of segments, from their contingency table."""
    either = shared.sum(axis=1)[:, None] + shared.sum(axis=0)[None, :] - shared
    result: FloatArray = np.divide(shared, either, out=np.zeros(shared.shape), where=either > 0)
    return result


def adjusted_rand_index(shared: IntArray) -> float:
    """Return the agreement of two divisions beyond chance, 1 for the same (Hubert & Arabie 1985).

    >>> adjusted_rand_index(np.array([[5, 0], [0, 5]]))
    1.0
    """
    cells, rows, columns = (float((n * (n - 1.0) / 2.0).sum()) for n in (shared, shared.sum(1), shared.sum(0)))
    users = float(shared.sum())
    pairs = users * (users - 1.0) / 2.0
    if pairs == 0 or rows == columns == cells:
        return 1.0
    expected = rows * columns / pairs
    return (cells - expected) / ((rows + columns) / 2.0 - expected)


def _indicator(labels: IntArray, count: int) -> FloatArray:
    result = np.zeros((labels.size, count))
    result[np.arange(labels.size), labels] = 1.0
    return result


def _centers_and_within(X: FloatArray, labels: IntArray, count: int) -> tuple[FloatArray, float]:
    sums = np.stack([np.bincount(labels, weights=X[:, j], minlength=count) for j in range(X.shape[1])], axis=1)
    centers = sums / np.maximum(np.bincount(labels, minlength=count), 1)[:, None]
    within = 0.0
    for start in range(0, labels.size, 65_536):
        part = slice(start, start + 65_536)
        within += float(((X[part] - centers[labels[part]]) ** 2).sum())
    return centers, within
