"""What every clustering algorithm returns, and what they all need on the way.

An algorithm numbers its clusters by size, largest first, and may return fewer than were asked for: never an empty
cluster, never two in one place.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Protocol

import numpy as np
from threadpoolctl import ThreadpoolController

from sqlseg.errors import SqlsegError
from sqlseg.segments.blocks import FloatArray, IntArray, rounded
from sqlseg.segments.shapes import Centroids, Shape


@dataclass(frozen=True, eq=False)
class Clustering:
    """How users are placed, each user's cluster, the sum of squared distances to its centre, and the rounds it took.

    `notes` are sentences for whoever asked for it.
    """

    shape: Shape
    labels: IntArray
    inertia: float
    iterations: int
    notes: tuple[str, ...] = ()

    @property
    def centers(self) -> FloatArray:
        """The centre of each cluster, clusters x inputs."""
        return self.shape.centers


class Algorithm(Protocol):
    """Divides users (rows of X) into at most k clusters; `starts` is how many beginnings are tried.

    `initial_centers` (at most k) replace the beginnings where an algorithm has any; their number always replaces k.
    Algorithms that find the number themselves take no notice of either.
    """

    def __call__(
        self, X: FloatArray, k: int, *, seed: int, initial_centers: FloatArray | None = None, starts: int = 8
    ) -> Clustering: ...


def cluster_count(X: FloatArray, k: int, initial_centers: FloatArray | None) -> int:
    """Return how many clusters there can be at most; what cannot be clustered at all is refused."""
    if X.shape[0] == 0:
        raise SqlsegError(
            "There is no user to cluster.", hint="No event is before as_of; check the mapping in sql/events.sql."
        )
    if k < 1:
        raise SqlsegError(f"The number of segments must be 1 or more, got {k}.")
    if initial_centers is not None:
        k = initial_centers.shape[0]
    return different_users(X, at_most=min(k, X.shape[0]))


def different_users(X: FloatArray, at_most: int) -> int:
    """Return the number of different rows up to a number, counting no further than needed."""
    different = 0
    for rows in (4 * at_most, 1_000, X.shape[0]):
        different = len(np.unique(X[:rows], axis=0)) if X.shape[1] else min(1, X.shape[0])
        if different >= at_most:
            break
    return min(different, at_most)


def one_cluster(X: FloatArray, *notes: str) -> Clustering:
    """Return the clustering that has everybody in one place."""
    return finished(X, Centroids(X.mean(axis=0, keepdims=True)), iterations=1, notes=notes)


def finished(X: FloatArray, shape: Shape, *, iterations: int, notes: tuple[str, ...] = ()) -> Clustering:
    """Leave out the clusters that hold nobody, and number the others by size."""
    if isinstance(shape, Centroids):
        shape = Centroids(rounded(np.array(shape.centers)))
    while True:
        found = shape.place(X)
        sizes = found.sizes(shape.centers.shape[0])
        if sizes.min() > 0:
            break
        shape = shape.taking(np.flatnonzero(sizes > 0))
    order = np.lexsort((*shape.centers.T[::-1], -sizes))
    number = np.empty(order.size, dtype=np.int64)
    number[order] = np.arange(order.size)
    if isinstance(shape, Centroids):
        inertia = float(np.square(found.distance).sum())
    else:
        inertia = float(((X - shape.centers[found.labels]) ** 2).sum())
    return Clustering(shape.taking(order), number[found.labels], inertia, iterations, notes)


def sampled_rows(users: int, at_most: int, seed: int) -> IntArray:
    """Return the rows of a sample, drawn by the seed, in order; all of them where there are no more."""
    if users <= at_most:
        return np.arange(users)
    return np.sort(np.random.default_rng(seed).choice(users, at_most, replace=False)).astype(np.int64)


@contextmanager
def one_thread(*modules: str) -> Iterator[None]:
    """Hold the linear algebra to one thread, whose sums have one order.

    What is loaded when it begins is held: `modules` are imported first, where the block would import them.
    """
    for module in modules:
        import_module(module)
    with _threads(tuple(name for name in _WITH_THREADS if name in sys.modules)).limit(limits=1):
        yield


_WITH_THREADS = ("numpy", "scipy.linalg", "sklearn.cluster", "sklearn.ensemble", "sklearn.linear_model")
"""Modules that load what has thread pools of its own: linear algebra, OpenMP."""


@cache
def _threads(loaded: tuple[str, ...]) -> ThreadpoolController:
    """Return what holds the thread pools there are once these modules are loaded."""
    return ThreadpoolController()
