"""The clustering algorithms, one row each; the contract test runs over every row."""

from collections.abc import Callable, Mapping
from importlib import import_module

import pyarrow as pa

from sqlseg.errors import SqlsegError
from sqlseg.segments.assignment import assign
from sqlseg.segments.blocks import FloatArray, IntArray
from sqlseg.segments.clustering import Algorithm, Clustering, one_thread, sampled_rows
from sqlseg.segments.density import DIVIDED_AT_ONCE, dbscan, dbscan_labels, hdbscan, hdbscan_labels
from sqlseg.segments.hierarchy import agglomerative, birch
from sqlseg.segments.measures import adjusted_rand_index, contingency
from sqlseg.segments.mixtures import gaussian_mixture, gaussian_mixture_diagonal
from sqlseg.segments.partitions import bisecting_kmeans, kmeans, minibatch_kmeans

__all__ = [
    "ALGORITHMS",
    "FINDS_THE_NUMBER",
    "Algorithm",
    "Clustering",
    "UnknownAlgorithm",
    "algorithm",
    "bridge_agreement",
    "kmeans",
    "one_thread",
]

ALGORITHMS: Mapping[str, Algorithm] = {
    "kmeans": kmeans,
    "minibatch_kmeans": minibatch_kmeans,
    "bisecting_kmeans": bisecting_kmeans,
    "gaussian_mixture": gaussian_mixture,
    "gaussian_mixture_diagonal": gaussian_mixture_diagonal,
    "hdbscan": hdbscan,
    "dbscan": dbscan,
    "agglomerative": agglomerative,
    "birch": birch,
}

FINDS_THE_NUMBER = frozenset({"hdbscan", "dbscan"})
"""Algorithms that find out by themselves how many segments there are."""

_COMPARED_USERS = 3_000


class UnknownAlgorithm(SqlsegError):
    """A segmentation names an algorithm that does not exist."""

    def __init__(self, name: str) -> None:
        super().__init__(f"No algorithm named {name!r}.", hint=f"Choose one of: {', '.join(sorted(ALGORITHMS))}.")


def algorithm(name: str) -> Algorithm:
    """Return the algorithm of this name."""
    if name not in ALGORITHMS:
        raise UnknownAlgorithm(name)
    return ALGORITHMS[name]


def import_what_fits(*, scikit_learn: bool) -> None:
    """Import what a fit needs, for instance while a database computes.

    k-means does without scikit-learn, which takes a second; the other algorithms and everything learned need it.
    """
    pa.array([])  # looks for pandas, which takes half a second where it is installed
    for name in ("scipy.special", *(("sklearn.cluster",) if scikit_learn else ())):
        import_module(name)


def bridge_agreement(name: str, X: FloatArray, found: Clustering, seed: int) -> float | None:
    """Return what is left of an algorithm's own division once every user is placed by representatives.

    It is the adjusted Rand index, on a sample, between the algorithm run on that sample directly and where the model
    puts the same users; 1 is no loss. None for algorithms that need no such bridge.
    """
    if name not in _DIRECT or found.centers.shape[0] == 1:
        return None
    at_most, direct = _DIRECT[name]
    sample = X[sampled_rows(X.shape[0], at_most, seed)]
    with one_thread():
        labels = direct(sample, found.centers.shape[0])
    labels = labels - labels.min()  # those in no cluster are one more
    placed = found.shape.place(sample).labels
    return adjusted_rand_index(contingency(labels, placed, int(labels.max()) + 1, found.centers.shape[0]))


def _ward_labels(X: FloatArray, k: int) -> IntArray:
    from scipy.cluster.hierarchy import fcluster
    from scipy.cluster.hierarchy import ward as ward_tree

    if len(X) < 2:
        return assign(X, X[:1]).labels
    return fcluster(ward_tree(X), k, criterion="maxclust").astype("int64")  # type: ignore[no-any-return]


_DIRECT: Mapping[str, tuple[int, Callable[[FloatArray, int], IntArray]]] = {
    "hdbscan": (DIVIDED_AT_ONCE, lambda X, _: hdbscan_labels(X)),
    "dbscan": (DIVIDED_AT_ONCE, lambda X, _: dbscan_labels(X)),
    "agglomerative": (_COMPARED_USERS, _ward_labels),
    "birch": (_COMPARED_USERS, _ward_labels),
}
