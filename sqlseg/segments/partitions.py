"""Clusters around centroids: k-means in full, by small batches, and by halving."""

import warnings
from typing import TYPE_CHECKING

import numpy as np

from sqlseg.segments.blocks import FloatArray
from sqlseg.segments.clustering import Clustering, cluster_count, finished, one_cluster, one_thread
from sqlseg.segments.hierarchy import ward
from sqlseg.segments.shapes import Centroids

if TYPE_CHECKING:
    # Importing scikit-learn takes seconds, which commands that fit nothing should not wait for.
    from sklearn.cluster import KMeans

_STARTED_ON = 10_000
_MAXIMUM_ITERATIONS = 300
_BATCH = 4_096
_MORE_THAN_ENOUGH = 3
_AT_LEAST = 24
_CONDENSING_ROUNDS = 5


def kmeans(
    X: FloatArray, k: int, *, seed: int, initial_centers: FloatArray | None = None, starts: int = 8
) -> Clustering:
    """Divide users by k-means, the best of several beginnings.

    All but one are drawn by k-means++ (Arthur & Vassilvitskii 2007). Where inputs are many, its draws are hardly better
    than chance, and a centroid from each group is rare. The other one has three times as many centroids (24 at least),
    which are then merged by Ward's method, so that it misses no group that lies apart. More than 10,000 users are begun
    on a sample of that size; its best centroids are then moved by all of them.
    It runs on one thread, so that sums have one order and a seed one result.

    >>> found = kmeans(np.array([[0.0], [0.0], [9.0]]), 2, seed=0)
    >>> found.labels.tolist(), found.centers.tolist()
    ([0, 0, 1], [[0.0], [9.0]])
    """
    k = cluster_count(X, k, initial_centers)
    if k == 1:
        return one_cluster(X)
    with one_thread(), warnings.catch_warnings():
        # Fewer different users than clusters: the empty ones are left out in the end.
        warnings.filterwarnings("ignore", message="Number of distinct clusters")
        random = np.random.RandomState(seed)
        if initial_centers is not None:
            fitted = _lloyd(X, k, initial_centers[:k], 1, random)
        elif X.shape[0] > _STARTED_ON:
            sample = X[np.sort(random.choice(X.shape[0], _STARTED_ON, replace=False))]
            fitted = _lloyd(X, k, _best_of(sample, k, starts, random).cluster_centers_, 1, random)
        else:
            fitted = _best_of(X, k, starts, random)
    return finished(X, Centroids(fitted.cluster_centers_), iterations=int(fitted.n_iter_))


def minibatch_kmeans(
    X: FloatArray, k: int, *, seed: int, initial_centers: FloatArray | None = None, starts: int = 8
) -> Clustering:
    """Divide users by k-means on batches of 4,096 drawn at random (Sculley 2010), the best of several beginnings."""
    k = cluster_count(X, k, initial_centers)
    if k == 1:
        return one_cluster(X)
    from sklearn.cluster import MiniBatchKMeans

    with one_thread():
        fitted = MiniBatchKMeans(
            n_clusters=k,
            init="k-means++" if initial_centers is None else initial_centers[:k],
            n_init=starts if initial_centers is None else 1,
            batch_size=_BATCH,
            max_iter=100,
            random_state=np.random.RandomState(seed),
            reassignment_ratio=0.0,
        ).fit(X)
    return finished(X, Centroids(fitted.cluster_centers_), iterations=int(fitted.n_iter_))


def bisecting_kmeans(
    X: FloatArray, k: int, *, seed: int, initial_centers: FloatArray | None = None, starts: int = 8
) -> Clustering:
    """Halve the cluster with the largest sum of squares, by k-means, until there are k (Steinbach et al. 2000).

    Users then belong to the nearest of the k centroids, which few of them leave their half for.
    """
    k = cluster_count(X, k, initial_centers)
    if k == 1:
        return one_cluster(X)
    from sklearn.cluster import BisectingKMeans

    with one_thread():
        fitted = BisectingKMeans(
            n_clusters=k,
            init="k-means++",
            n_init=starts,
            max_iter=_MAXIMUM_ITERATIONS,
            bisecting_strategy="biggest_inertia",
            random_state=np.random.RandomState(seed),
        ).fit(X)
    return finished(X, Centroids(fitted.cluster_centers_), iterations=k - 1)


def _best_of(X: FloatArray, k: int, starts: int, random: np.random.RandomState) -> "KMeans":
    drawn = _lloyd(X, k, "k-means++", max(1, starts - 1), random)
    if starts == 1:
        return drawn
    centers = _merged_centers(X, k, random)
    merged = _lloyd(X, len(centers), centers, 1, random)
    return merged if merged.inertia_ < drawn.inertia_ else drawn


def _merged_centers(X: FloatArray, k: int, random: np.random.RandomState) -> FloatArray:
    from sklearn.cluster import KMeans

    points = _drawn_apart(X, max(_AT_LEAST, _MORE_THAN_ENOUGH * k), random)
    many = KMeans(len(points), init=points, n_init=1, max_iter=_CONDENSING_ROUNDS, algorithm="lloyd").fit(X)
    sizes = np.bincount(many.labels_, minlength=len(points))
    points, weights = many.cluster_centers_[sizes > 0], sizes[sizes > 0].astype(np.float64)
    owner = ward(points, weights, min(k, len(points)))
    sums = np.zeros((int(owner.max()) + 1, X.shape[1]))
    np.add.at(sums, owner, points * weights[:, None])
    return sums / np.bincount(owner, weights=weights)[:, None]


def _drawn_apart(X: FloatArray, count: int, random: np.random.RandomState) -> FloatArray:
    """Return at most `count` different users, each drawn by the squared distance to those drawn before."""
    rows = [int(random.randint(len(X)))]
    squared = ((X - X[rows[0]]) ** 2).sum(axis=1)
    while len(rows) < count and (total := squared.cumsum())[-1] > 0:
        rows.append(int(np.searchsorted(total, random.uniform() * total[-1], side="right")))
        squared = np.minimum(squared, ((X - X[rows[-1]]) ** 2).sum(axis=1))
    return X[rows]


def _lloyd(X: FloatArray, k: int, begin: FloatArray | str, starts: int, random: np.random.RandomState) -> "KMeans":
    from sklearn.cluster import KMeans

    # Elkan's bounds are not worth their memory at this many inputs and so few centroids.
    return KMeans(
        n_clusters=k,
        init=begin,
        n_init=starts,
        max_iter=_MAXIMUM_ITERATIONS,
        algorithm="lloyd",
        random_state=random,
        copy_x=True,
    ).fit(X)
