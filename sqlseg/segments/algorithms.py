"""The clustering algorithms, one row each; the contract test runs over every row.

An algorithm numbers its clusters by size, largest first, and may return fewer than were asked for: never an empty
cluster, never two in one place.
"""

import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Protocol

import numpy as np
from threadpoolctl import ThreadpoolController

from sqlseg.errors import SqlsegError
from sqlseg.segments.assignment import assign
from sqlseg.segments.blocks import FloatArray, IntArray, rounded

if TYPE_CHECKING:
    # Importing scikit-learn takes seconds, which commands that fit nothing should not wait for.
    from sklearn.cluster import KMeans

_STARTED_ON = 10_000
_MAXIMUM_ITERATIONS = 300


class UnknownAlgorithm(SqlsegError):
    """A segmentation names an algorithm that does not exist."""

    def __init__(self, name: str) -> None:
        super().__init__(f"No algorithm named {name!r}.", hint=f"Choose one of: {', '.join(sorted(ALGORITHMS))}.")


@dataclass(frozen=True, eq=False)
class Clustering:
    """Centroids (k x inputs), each user's cluster, the sum of squared distances, and the rounds it took."""

    centers: FloatArray
    labels: IntArray
    inertia: float
    iterations: int


class Algorithm(Protocol):
    """Divides users (rows of X) into at most k clusters; `starts` is how many beginnings are tried."""

    def __call__(
        self, X: FloatArray, k: int, *, seed: int, initial_centers: FloatArray | None = None, starts: int = 8
    ) -> Clustering: ...


def kmeans(
    X: FloatArray, k: int, *, seed: int, initial_centers: FloatArray | None = None, starts: int = 8
) -> Clustering:
    """Divide users by k-means, the best of several k-means++ beginnings (Arthur & Vassilvitskii 2007).

    More than 10,000 users are begun on a sample of that size; its best centroids are then moved by all of them.
    `initial_centers` (at most k) replace the beginnings. It runs on one thread, so that sums have one order and a
    seed one result.

    >>> found = kmeans(np.array([[0.0], [0.0], [9.0]]), 2, seed=0)
    >>> found.labels.tolist(), found.centers.tolist()
    ([0, 0, 1], [[0.0], [9.0]])
    """
    if X.shape[0] == 0:
        raise SqlsegError(
            "There is no user to cluster.", hint="No event is before as_of; check the mapping in sql/events.sql."
        )
    if k < 1:
        raise SqlsegError(f"The number of segments must be 1 or more, got {k}.")
    if initial_centers is not None:
        k = initial_centers.shape[0]
    k = min(k, X.shape[0])
    if k == 1 or X.shape[1] == 0:
        return _clustering(X, X.mean(axis=0, keepdims=True), iterations=1)
    with one_thread(), warnings.catch_warnings():
        # Fewer different users than clusters: the empty ones are left out below.
        warnings.filterwarnings("ignore", message="Number of distinct clusters")
        random = np.random.RandomState(seed)
        begin: FloatArray | str = "k-means++"
        if initial_centers is not None:
            begin, starts = initial_centers[:k], 1
        elif X.shape[0] > _STARTED_ON:
            sample = X[np.sort(random.choice(X.shape[0], _STARTED_ON, replace=False))]
            begin, starts = _lloyd(sample, k, "k-means++", starts, random).cluster_centers_, 1
        fitted = _lloyd(X, k, begin, starts, random)
    return _clustering(X, fitted.cluster_centers_, iterations=int(fitted.n_iter_))


ALGORITHMS: Mapping[str, Algorithm] = {"kmeans": kmeans}


def algorithm(name: str) -> Algorithm:
    """Return the algorithm of this name."""
    if name not in ALGORITHMS:
        raise UnknownAlgorithm(name)
    return ALGORITHMS[name]


def import_ahead() -> None:
    """Begin to import what a fit needs, on a thread of its own: it takes seconds, in which a database can compute."""
    libraries = ("scipy.optimize", "scipy.special", "sklearn.cluster")
    threading.Thread(target=lambda: [import_module(name) for name in libraries], name="imports", daemon=True).start()


@contextmanager
def one_thread() -> Iterator[None]:
    """Hold the linear algebra to one thread, whose sums have one order."""
    with _threads().limit(limits=1):
        yield


@cache
def _threads() -> ThreadpoolController:
    import sklearn.cluster  # noqa: F401 - only the thread pools of libraries that are loaded can be held

    return ThreadpoolController()


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


def _clustering(X: FloatArray, centers: FloatArray, iterations: int) -> Clustering:
    """Round the centroids, leave out those nobody is nearest to, and number the rest by size."""
    centers = rounded(np.array(centers))
    found = assign(X, centers)
    sizes = found.sizes(centers.shape[0])
    by_size = np.lexsort((*centers.T[::-1], -sizes))
    order = by_size[sizes[by_size] > 0]
    number = np.full(centers.shape[0], -1)
    number[order] = np.arange(order.size)
    inertia = float(np.square(found.distance).sum())
    return Clustering(centers[order], number[found.labels].astype(np.int64), inertia, iterations)
