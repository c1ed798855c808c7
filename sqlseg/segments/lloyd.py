"""k-means proper: where centroids begin, and how they are moved (Lloyd 1982; Arthur & Vassilvitskii 2007).

The search runs in single precision, which is twice as quick, on users moved to their mean; centroids are given back as
the exact means of their users. Users some of whom lie so far out that single precision could not tell the others apart
are searched in double precision. Users of one place who follow one another count as one place as often as there are
users: of a sample drawn with replacement, in order, a third. Nothing here needs scikit-learn, whose import alone takes
longer than most fits.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sqlseg.segments.blocks import FloatArray, IntArray
from sqlseg.segments.hierarchy import ward

_ROUNDS = 300
_STANDS_STILL = 1e-4
_CONDENSING_ROUNDS = 5
_ROWS_AT_ONCE = 16_384
_SAMPLE = 64
_APART_BY = 1e3

Figures = NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Points:
    """Places of users to be divided: their figures (places x inputs) around `mean`, and the squared distances to it.

    `times` counts the users of each place, None where there is one in each. Every sum is over users.
    """

    figures: Figures
    squares: Figures
    mean: FloatArray
    times: IntArray | None = None

    @classmethod
    def of(cls, X: FloatArray) -> "Points":
        """Return these users (rows of X), in the precision that tells them apart."""
        mean = X.mean(axis=0)
        squares = np.empty(len(X))
        for rows in _parts(len(X)):
            centered = X[rows] - mean
            np.einsum("ij,ij->i", centered, centered, out=squares[rows])
        farthest = float(squares.max())
        least = _APART_BY * np.finfo(np.float32).eps * farthest
        single = 1e-30 < farthest < 1e30 and least < _usual_square(X[:: -(-len(X) // _SAMPLE)] - mean)
        times = _times(X)
        if times is not None:
            first = np.cumsum(times) - times
            X, squares = X[first], squares[first]
        figures = np.empty(X.shape, dtype=np.float32 if single else np.float64)
        for rows in _parts(len(X)):  # users may be many: no second copy of them
            np.subtract(X[rows], mean, out=figures[rows], casting="same_kind")
        return cls(figures, squares.astype(figures.dtype), mean, times)

    def total(self, values: Figures) -> float:
        """Return the sum over all users of what is given for each place."""
        return float(values.sum(dtype=np.float64) if self.times is None else self.times @ values)

    def by_user(self, values: IntArray) -> IntArray:
        """Return for each user what is given for each place."""
        return values if self.times is None else np.repeat(values, self.times)


@dataclass(frozen=True, eq=False)
class Divided:
    """Centroids (around the mean of the users), each user's, the sum of squared distances to them, and the rounds."""

    centers: Figures
    labels: IntArray
    inertia: float
    rounds: int


def moved(points: Points, centers: Figures, rounds: int = _ROUNDS) -> Divided:
    """Move centroids to the mean of the users who are nearest to them, until they stand still.

    They stand still when nobody changes place, or when all together move by less than a hundredth of a standard
    deviation. A centroid that is nearest to nobody is put where the user farthest from any centroid is.
    """
    X, times = points.figures, points.times
    count, users = len(centers), len(X) if times is None else int(times.sum())
    still = _STANDS_STILL * points.total(points.squares) / users / max(1, X.shape[1])
    centers = centers.astype(X.dtype)
    sums, sizes = np.zeros(centers.shape), np.zeros(count, dtype=np.int64)
    labels, done = _nearest(points, centers), 0
    _count_over(points, np.arange(len(X)), None, labels, sums, sizes)
    while done < rounds:
        done += 1
        if not sizes.all():
            _settle(points, labels, _squared_to_own(points, centers, labels), sums, sizes)
        means = np.where(sizes[:, None] > 0, sums / np.maximum(sizes, 1)[:, None], centers).astype(X.dtype)
        way = float(((means - centers) ** 2).sum(dtype=np.float64))
        centers, before = means, labels
        labels = _nearest(points, centers)
        changed = (labels != before).nonzero()[0]
        if way <= still or not changed.size:
            break
        _count_over(points, changed, before, labels, sums, sizes)
    return Divided(centers, points.by_user(labels), points.total(_squared_to_own(points, centers, labels)), done)


def drawn_apart(points: Points, count: int, random: np.random.RandomState, trials: int = 1) -> IntArray:
    """Return the places of at most `count` different users, each drawn by the squared distance to those before.

    Of several `trials` for each, the one is taken that leaves the least distance (greedy k-means++).
    """
    times = points.times
    first = random.randint(len(points.figures) if times is None else times.sum(), size=1)
    places = first if times is None else times.cumsum().searchsorted(first, side="right")
    left = _squared_to(points, places)[:, 0]
    rows, last = [int(places[0])], len(left) - 1
    while len(rows) < count and (total := _summed(left, times))[-1] > 0:
        drawn = np.minimum(total.searchsorted(random.uniform(size=trials) * total[-1], side="right"), last)
        then = np.minimum(_squared_to(points, drawn), left[:, None])
        best = int(_sums(then, times).argmin()) if trials > 1 else 0
        left = np.ascontiguousarray(then[:, best])
        rows.append(int(drawn[best]))
    return np.array(rows, dtype=np.int64)


def merged(points: Points, many: int, k: int, random: np.random.RandomState) -> Figures:
    """Return at most k centroids: `many` that were drawn apart and moved a little, merged by Ward's method."""
    condensed = moved(points, points.figures[drawn_apart(points, many, random)], _CONDENSING_ROUNDS)
    sizes = np.bincount(condensed.labels, minlength=len(condensed.centers)).astype(np.float64)
    centers, sizes = condensed.centers[sizes > 0].astype(np.float64), sizes[sizes > 0]
    owner = ward(centers, sizes, min(k, len(centers)))
    sums = np.zeros((int(owner.max()) + 1, centers.shape[1]))
    np.add.at(sums, owner, centers * sizes[:, None])
    return sums / np.bincount(owner, weights=sizes)[:, None]


def means_of(X: FloatArray, labels: IntArray, count: int) -> FloatArray:
    """Return the means of the users of each cluster, clusters x inputs, without those that hold nobody."""
    sums = np.zeros((count, X.shape[1]))
    for rows in _parts(len(X)):
        sums += _indicator(labels[rows], count, X.dtype) @ X[rows]
    sizes = np.bincount(labels, minlength=count)
    return sums[sizes > 0] / sizes[sizes > 0, None]


def _times(X: FloatArray) -> IntArray | None:
    """Return how many equal rows there are one after the other, None where that would spare less than a tenth."""
    if len(X) < 2 or not X.shape[1]:
        return None
    same = np.flatnonzero(X[1:, 0] == X[:-1, 0])
    if 10 * len(same) < len(X):
        return None
    same = same[(X[same + 1] == X[same]).all(axis=1)]
    if 10 * len(same) < len(X):
        return None
    first = np.ones(len(X), dtype=bool)
    first[same + 1] = False
    starts = np.flatnonzero(first)
    return np.diff(starts, append=len(X)).astype(np.int64)


def _summed(values: Figures, times: IntArray | None) -> FloatArray:
    """Return the running sum, over users, of what is given for each place."""
    return (values if times is None else values * times).cumsum(dtype=np.float64)


def _sums(values: Figures, times: IntArray | None) -> FloatArray:
    """Return the sums over users of columns that are given for each place."""
    return values.sum(axis=0, dtype=np.float64) if times is None else times @ values


def _usual_square(some: FloatArray) -> float:
    """Return the squared distance that a few users usually have to the nearest one who is different."""
    apart = np.zeros((len(some), len(some)))
    for figures in some.T:  # which stays in the cache, as differences of all inputs at once do not
        step = figures[:, None] - figures
        step *= step
        apart += step
    apart[apart == 0] = np.inf
    nearest = apart.min(axis=1)
    return float(np.median(nearest[np.isfinite(nearest)])) if np.isfinite(nearest).any() else 0.0


def _parts(users: int) -> Iterator[slice]:
    return (slice(start, start + _ROWS_AT_ONCE) for start in range(0, users, _ROWS_AT_ONCE))


def _nearest(points: Points, centers: Figures) -> IntArray:
    """Return for each place the nearest centroid."""
    X = points.figures
    labels = np.empty(len(X), dtype=np.int64)
    twice, squares = (-2.0 * centers).T.astype(X.dtype), np.einsum("ij,ij->i", centers, centers)
    for rows in _parts(len(X)):
        far = X[rows] @ twice
        far += squares
        far.argmin(axis=1, out=labels[rows])
    return labels


def _squared_to_own(points: Points, centers: Figures, labels: IntArray) -> Figures:
    """Return for each place the squared distance to its centroid."""
    near = np.empty(len(labels), dtype=points.figures.dtype)
    for rows in _parts(len(labels)):
        apart = centers[labels[rows]]
        apart -= points.figures[rows]
        near[rows] = np.einsum("ij,ij->i", apart, apart)
    return near


def _count_over(
    points: Points, changed: IntArray, before: IntArray | None, after: IntArray, sums: FloatArray, sizes: IntArray
) -> None:
    """Bring the sums and sizes of clusters up to date for the places that change from one to another."""
    X, times, count = points.figures, points.times, len(sizes)
    for start in range(0, len(changed), _ROWS_AT_ONCE):
        rows = changed[start : start + _ROWS_AT_ONCE]
        step = _indicator(after[rows], count, X.dtype)
        if before is not None:
            step[before[rows], np.arange(len(rows))] -= 1.0
        if times is not None:
            step *= times[rows]
        sums += step @ X[rows]
        sizes += step.sum(axis=1).astype(np.int64)


def _settle(points: Points, labels: IntArray, near: Figures, sums: FloatArray, sizes: IntArray) -> None:
    """Give each empty cluster the place that is farthest from the own centroid; `labels`, sums and sizes follow."""
    X = points.figures
    for cluster, row in zip(np.flatnonzero(sizes == 0), np.argsort(near, kind="stable")[::-1], strict=False):
        users = 1 if points.times is None else int(points.times[row])
        if near[row] <= 0 or sizes[labels[row]] <= users:
            break
        there = users * X[row].astype(np.float64)
        sums[labels[row]] -= there
        sizes[labels[row]] -= users
        labels[row] = cluster
        sums[cluster] = there
        sizes[cluster] = users


def _squared_to(points: Points, rows: IntArray) -> Figures:
    """Return the squared distances of all users to some of them, users x rows; nothing between equal ones."""
    X, squares = points.figures, points.squares
    sizes = squares[:, None] + squares[rows]
    squared = X @ X[rows].T
    squared *= -2.0
    squared += sizes
    squared[squared <= 32 * np.finfo(X.dtype).eps * sizes] = 0.0
    return squared


def _indicator(labels: IntArray, count: int, kind: np.dtype[np.floating]) -> Figures:
    found = np.zeros((count, len(labels)), dtype=kind)
    found[labels, np.arange(len(labels))] = 1.0
    return found
