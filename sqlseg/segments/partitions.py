"""Clusters around centroids: k-means in full, by small batches, and by halving."""

import numpy as np

from sqlseg.segments.blocks import FloatArray
from sqlseg.segments.clustering import Clustering, cluster_count, finished, one_cluster, one_thread
from sqlseg.segments.lloyd import Divided, Points, drawn_apart, means_of, merged, moved
from sqlseg.segments.shapes import Centroids

_STARTED_ON = 10_000
_MAXIMUM_ITERATIONS = 300
_BATCH = 4_096
_MORE_THAN_ENOUGH = 3
_AT_LEAST = 24


def kmeans(
    X: FloatArray,
    k: int,
    *,
    seed: int,
    initial_centers: FloatArray | None = None,
    starts: int = 8,
    points: Points | None = None,
) -> Clustering:
    """Divide users by k-means, the best of several beginnings.

    All but one are drawn by k-means++ (Arthur & Vassilvitskii 2007). Where inputs are many, its draws are hardly better
    than chance, and a centroid from each group is rare. The other one has three times as many centroids (24 at least),
    which are then merged by Ward's method, so that it misses no group that lies apart. More than 10,000 users are begun
    on a sample of that size; its best centroids are then moved by all of them.
    It runs on one thread, so that sums have one order and a seed one result. `points` are those of X, for users who are
    divided more than once.

    >>> found = kmeans(np.array([[0.0], [0.0], [9.0]]), 2, seed=0)
    >>> found.labels.tolist(), found.centers.tolist()
    ([0, 0, 1], [[0.0], [9.0]])
    """
    k = cluster_count(X, k, initial_centers)
    if k == 1:
        return one_cluster(X)
    with one_thread():
        random = np.random.RandomState(seed)
        points = points or Points.of(X)
        if initial_centers is not None:
            fitted = moved(points, initial_centers[:k] - points.mean)
        elif X.shape[0] > _STARTED_ON:
            sample = Points.of(X[np.sort(random.choice(X.shape[0], _STARTED_ON, replace=False))])
            fitted = moved(points, _best_of(sample, k, starts, random).centers + sample.mean - points.mean)
        else:
            fitted = _best_of(points, k, starts, random)
        centers = means_of(X, fitted.labels, len(fitted.centers))
    return finished(X, Centroids(centers), iterations=fitted.rounds)


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


def _best_of(points: Points, k: int, starts: int, random: np.random.RandomState) -> Divided:
    trials = 2 + int(np.log(k))
    drawn = (points.figures[drawn_apart(points, k, random, trials)] for _ in range(max(1, starts - 1)))
    found = [moved(points, centers) for centers in drawn]
    if starts > 1:
        found.append(moved(points, merged(points, max(_AT_LEAST, _MORE_THAN_ENOUGH * k), k, random)))
    return min(found, key=lambda one: one.inertia)
