"""Clusters around centroids: k-means in full, by small batches, and by halving."""

import warnings
from typing import TYPE_CHECKING

import numpy as np

from sqlseg.segments.blocks import FloatArray
from sqlseg.segments.clustering import Clustering, cluster_count, finished, one_cluster, one_thread
from sqlseg.segments.shapes import Centroids

if TYPE_CHECKING:
    # Importing scikit-learn takes seconds, which commands that fit nothing should not wait for.
    from sklearn.cluster import KMeans

_STARTED_ON = 10_000
_MAXIMUM_ITERATIONS = 300
_BATCH = 4_096


def kmeans(
    X: FloatArray, k: int, *, seed: int, initial_centers: FloatArray | None = None, starts: int = 8
) -> Clustering:
    """Divide users by k-means, the best of several k-means++ beginnings (Arthur & Vassilvitskii 2007).

    More than 10,000 users are begun on a sample of that size; its best centroids are then moved by all of them.
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
        begin: FloatArray | str = "k-means++"
        if initial_centers is not None:
            begin, starts = initial_centers[:k], 1
        elif X.shape[0] > _STARTED_ON:
            sample = X[np.sort(random.choice(X.shape[0], _STARTED_ON, replace=False))]
            begin, starts = _lloyd(sample, k, "k-means++", starts, random).cluster_centers_, 1
        fitted = _lloyd(X, k, begin, starts, random)
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
