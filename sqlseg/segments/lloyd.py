"""k-means proper: where centroids begin, and how they are moved (Lloyd 1982; Arthur & Vassilvitskii 2007).

The search runs in single precision, which is twice as quick, on users moved to their mean; centroids are given back as
the exact means of their users. Users some of whom lie so far out that single precision could not tell the others apart
are searched in double precision. Nothing here needs scikit-learn, whose import alone takes longer than most fits.
"""

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
    """Users to be divided: their figures (users x inputs) around `mean`, and each one's squared distance to it."""

    figures: Figures
    squares: Figures
    mean: FloatArray

    @classmethod
    def of(cls, X: FloatArray) -> "Points":
        """Return these users (rows of X), in the precision that tells them apart."""
        mean = X.mean(axis=0)
        centered = X - mean
        squares = np.einsum("ij,ij->i", centered, centered)
        farthest = float(squares.max())
        if 1e-30 < farthest < 1e30 and _APART_BY * np.finfo(np.float32).eps * farthest < _usual_square(centered):
            return cls(centered.astype(np.float32), squares.astype(np.float32), mean)
        return cls(centered, squares, mean)


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
    X = points.figures
    users, count = len(X), len(centers)
    still = _STANDS_STILL * float(points.squares.mean()) / max(1, X.shape[1])
    centers = centers.astype(X.dtype)
    sums = np.zeros(centers.shape)
    sizes = np.zeros(count, dtype=np.int64)
    labels = np.full(users, -1, dtype=np.int64)
    done = 0
    while True:
        nearest, near = _nearest(points, centers)
        changed = np.flatnonzero(nearest != labels)
        if not changed.size or done == rounds:
            return Divided(centers, nearest, float(near.sum(dtype=np.float64)), done)
        done += 1
        _count_over(X, changed, labels, nearest, sums, sizes)
        labels = nearest
        empty = np.flatnonzero(sizes == 0)
        if empty.size:
            _settle(X, labels, near, empty, sums, sizes)
        held = np.maximum(sizes, 1)[:, None]
        means = np.where(sizes[:, None] > 0, sums / held, centers).astype(X.dtype)
        way = float(((means - centers) ** 2).sum(dtype=np.float64))
        centers = means
        if way <= still:
            nearest, near = _nearest(points, centers)
            return Divided(centers, nearest, float(near.sum(dtype=np.float64)), done)


def drawn_apart(points: Points, count: int, random: np.random.RandomState, trials: int = 1) -> IntArray:
    """Return at most `count` different users, each drawn by the squared distance to those drawn before.

    Of several `trials` for each, the one is taken that leaves the least distance (greedy k-means++).
    """
    rows = random.randint(len(points.figures), size=1)
    left = _squared_to(points, rows)[:, 0]
    while len(rows) < count and (total := left.cumsum(dtype=np.float64))[-1] > 0:
        drawn = np.searchsorted(total, random.uniform(size=trials) * total[-1], side="right").clip(max=len(left) - 1)
        then = np.minimum(_squared_to(points, drawn), left[:, None])
        best = int(then.sum(axis=0, dtype=np.float64).argmin()) if trials > 1 else 0
        left = np.ascontiguousarray(then[:, best])
        rows = np.append(rows, drawn[best])
    return rows


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
    for start in range(0, len(X), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        sums += _indicator(labels[rows], count, X.dtype) @ X[rows]
    sizes = np.bincount(labels, minlength=count)
    return sums[sizes > 0] / sizes[sizes > 0, None]


def _usual_square(X: FloatArray) -> float:
    """Return the squared distance that users usually have to the nearest one who is different, in a small sample."""
    some = X[:: -(-len(X) // _SAMPLE)]
    apart = np.zeros((len(some), len(some)))
    for figures in some.T:  # which stays in the cache, as differences of all inputs at once do not
        step = figures[:, None] - figures
        step *= step
        apart += step
    apart[apart == 0] = np.inf
    nearest = apart.min(axis=1)
    return float(np.median(nearest[np.isfinite(nearest)])) if np.isfinite(nearest).any() else 0.0


def _nearest(points: Points, centers: Figures) -> tuple[IntArray, Figures]:
    """Return for each user the nearest centroid, and the squared distance to it."""
    X = points.figures
    labels, near = np.empty(len(X), dtype=np.int64), np.empty(len(X), dtype=X.dtype)
    twice, squares = (-2.0 * centers).T.astype(X.dtype), np.einsum("ij,ij->i", centers, centers)
    for start in range(0, len(X), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        far = X[rows] @ twice
        far += squares
        far.argmin(axis=1, out=labels[rows])
        near[rows] = far[np.arange(len(far)), labels[rows]]
    near += points.squares
    return labels, np.maximum(near, 0.0, out=near)


def _count_over(
    X: Figures, changed: IntArray, before: IntArray, after: IntArray, sums: FloatArray, sizes: IntArray
) -> None:
    """Bring the sums and sizes of clusters up to date for those users who change from one to another (-1 is none)."""
    count = len(sizes)
    for start in range(0, len(changed), _ROWS_AT_ONCE):
        rows = changed[start : start + _ROWS_AT_ONCE]
        step = _indicator(after[rows], count, X.dtype)
        leaves = np.flatnonzero(before[rows] >= 0)
        step[before[rows[leaves]], leaves] -= 1.0
        sums += step @ X[rows]
        sizes += step.sum(axis=1).astype(np.int64)


def _settle(X: Figures, labels: IntArray, near: Figures, empty: IntArray, sums: FloatArray, sizes: IntArray) -> None:
    """Give each empty cluster the user who is farthest from the own centroid; `labels`, sums and sizes follow."""
    for cluster, row in zip(empty, np.argsort(near, kind="stable")[::-1], strict=False):
        if near[row] <= 0 or sizes[labels[row]] < 2:
            break
        sums[labels[row]] -= X[row]
        sizes[labels[row]] -= 1
        labels[row] = cluster
        sums[cluster] = X[row]
        sizes[cluster] = 1


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
