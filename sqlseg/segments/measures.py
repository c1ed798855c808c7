"""Measures of how well users fall into segments: how compact, how far apart, how alike two divisions are."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sqlseg.segments.blocks import FloatArray, IntArray

_ROWS_AT_ONCE = 4_096
_ALIKE = 1e-12


def pairwise_distances(X: FloatArray) -> FloatArray:
    """Return the Euclidean distances between all rows, for samples of a few thousand."""
    norms = np.einsum("ij,ij->i", X, X)
    distances: FloatArray = X @ X.T
    distances *= -2.0
    distances += norms[:, None]
    distances += norms
    np.fill_diagonal(distances, 0.0)
    np.maximum(distances, 0.0, out=distances)
    return np.sqrt(distances, out=distances)


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


@dataclass(frozen=True, eq=False)
class Spread:
    """How users lie around the means of their segments: what several measures are made of.

    `sizes` counts the users of each segment that has any, `within` and `between` are sums of squares by input, of users
    around the mean of their segment and of these means around `mean`, that of all. `width` is the mean distance of a
    segment's users to their mean.
    """

    mean: FloatArray
    centers: FloatArray
    sizes: FloatArray
    within: FloatArray
    between: FloatArray
    width: FloatArray

    @classmethod
    def of(cls, X: FloatArray, labels: IntArray) -> "Spread":
        """Return the spread of users (rows of X) in the segments that `labels` number; not all numbers need be used."""
        present, labels = np.unique(labels, return_inverse=True)
        sizes = np.bincount(labels, minlength=present.size).astype(np.float64)
        sums = np.zeros((present.size, X.shape[1]))
        for rows in _parts(labels.size):
            sums += _indicator(labels[rows], present.size).T @ X[rows]
        centers = sums / sizes[:, None]
        within, far = np.zeros(X.shape[1]), np.zeros(present.size)
        for rows in _parts(labels.size):
            apart = centers[labels[rows]]
            apart -= X[rows]
            apart *= apart
            within += apart.sum(axis=0)
            far += np.bincount(labels[rows], weights=np.sqrt(apart.sum(axis=1)), minlength=present.size)
        mean = sums.sum(axis=0) / max(labels.size, 1)
        between = (sizes[:, None] * (centers - mean) ** 2).sum(axis=0)
        return cls(mean, centers, sizes, within, between, far / sizes)

    @property
    def calinski_harabasz(self) -> float | None:
        """The ratio of variance between to within segments, each by its degrees of freedom (1974).

        None with fewer than two segments, with as many segments as users, or where no segment has any width.
        """
        users, count, within = self.sizes.sum(), self.sizes.size, float(self.within.sum())
        if count < 2 or count >= users or within <= 0:
            return None
        return float(self.between.sum()) * float(users - count) / (within * (count - 1))

    @property
    def davies_bouldin(self) -> float | None:
        """The mean, over segments, of the worst (width + width) / distance between two; lower is better (1979)."""
        if self.sizes.size < 2:
            return None
        apart = np.sqrt(((self.centers[:, None, :] - self.centers[None, :, :]) ** 2).sum(axis=2))
        both = self.width[:, None] + self.width[None, :]
        ratio = np.divide(both, apart, out=np.zeros_like(both), where=apart > 0)
        return float(ratio.max(axis=1).mean())

    def explained_variance(self, place: slice = slice(None)) -> float | None:
        """Return the share of the variance of these inputs that lies between segments; None where there is none."""
        within, between = float(self.within[place].sum()), float(self.between[place].sum())
        total = within + between
        # Equal values may get a mean that is off by their last digit.
        nothing = float(self.sizes.sum()) * float(((_ALIKE * self.mean[place]) ** 2).sum())
        return None if total <= nothing else between / total

    def block_shares(self, places: Mapping[str, slice]) -> dict[str, float]:
        """Return the share of the total variance that each block of inputs has; empty without variance.

        Squared distances, which k-means divides up, are made of the blocks in these shares.

        >>> X = np.array([[0.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
        >>> shares = Spread.of(X, np.array([0, 1])).block_shares({"a": slice(0, 2), "b": slice(2, 3)})
        >>> {name: round(share, 6) for name, share in shares.items()}
        {'a': 0.666667, 'b': 0.333333}
        """
        variation = self.within + self.between
        total = float(variation.sum())
        return {name: float(variation[place].sum()) / total for name, place in places.items()} if total > 0 else {}

    def explained_by_block(self, places: Mapping[str, slice]) -> dict[str, float]:
        """Return `explained_variance` of each block of inputs: how far the segments tell users apart by it alone."""
        found = {name: self.explained_variance(place) for name, place in places.items()}
        return {name: value for name, value in found.items() if value is not None}


def within_variation(X: FloatArray, labels: IntArray) -> float:
    """Return the sum of squared distances of users to the mean of their segment.

    >>> within_variation(np.array([[0.0], [2.0], [7.0]]), np.array([0, 0, 1]))
    2.0
    """
    return float(Spread.of(X, labels).within.sum())


def eta_squared(values: FloatArray, labels: IntArray) -> float | None:
    """Return the share of one feature's variance that the segments account for; NaN left out (Fisher 1925).

    >>> eta_squared(np.array([1.0, 1.0, 3.0, 3.0]), np.array([0, 0, 1, 1]))
    1.0
    """
    known = ~np.isnan(values)
    return Spread.of(values[known, None], labels[known]).explained_variance() if known.any() else None


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


def _parts(users: int) -> list[slice]:
    return [slice(start, start + _ROWS_AT_ONCE) for start in range(0, users, _ROWS_AT_ONCE)]
