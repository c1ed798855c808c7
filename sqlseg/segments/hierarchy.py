"""Clusters that are merged from the bottom up, over micro-clusters where there are too many users to compare.

Ward's method needs the distances of all pairs, which 500 users have 125,000 of and 200,000 users 20 billion. So above
500 users, they are first condensed into 500 micro-clusters that count with the number of their users: what Ward's
method finds then is what it would find had it begun by merging the users of each. New users belong to the segment of
the nearest micro-cluster.
"""

import numpy as np

from sqlseg.segments.assignment import assign
from sqlseg.segments.blocks import FloatArray, IntArray, rounded
from sqlseg.segments.clustering import Clustering, cluster_count, finished, one_cluster, one_thread, sampled_rows
from sqlseg.segments.measures import pairwise_distances
from sqlseg.segments.shapes import Representatives

MICRO_CLUSTERS = 500
_CONDENSED_ON = 20_000
_CONDENSING_ROUNDS = 10
_WIDER = 1.5
_TINY = 1e-6


def agglomerative(
    X: FloatArray, k: int, *, seed: int, initial_centers: FloatArray | None = None, starts: int = 8
) -> Clustering:
    """Cut the dendrogram of Ward's method where it has k branches (Ward 1963)."""
    k = cluster_count(X, k, initial_centers)
    if k == 1:
        return one_cluster(X)
    points, weights = _micro_clusters(X, seed)
    return _cut(X, points, weights, k)


def birch(
    X: FloatArray, k: int, *, seed: int, initial_centers: FloatArray | None = None, starts: int = 8
) -> Clustering:
    """Condense users in one pass into a tree of micro-clusters (Zhang et al. 1996), and merge these by Ward's method.

    The radius of a micro-cluster grows until there are at most 500. Users enter the tree in an order drawn by the
    seed, since it depends on the order.
    """
    k = cluster_count(X, k, initial_centers)
    if k == 1:
        return one_cluster(X)
    order = np.random.default_rng(seed).permutation(X.shape[0])
    with one_thread("sklearn.cluster"):
        points = _tree_leaves(X[order], k)
    found = assign(X, points)
    sizes = found.sizes(len(points))
    return _cut(X, points[sizes > 0], sizes[sizes > 0].astype(np.float64), k)


def ward(points: FloatArray, weights: FloatArray, k: int) -> IntArray:
    """Return a cluster from 0 to k - 1 for each of the weighted points, by Ward's method.

    Nearest neighbours are followed until two are each other's (Murtagh 1983); Ward's merges are the same whatever
    their order, and are cut where k clusters are left. Time grows with the square of the points, memory does not.

    >>> ward(np.array([[0.0], [1.0], [5.0], [5.5]]), np.ones(4), 2).tolist()
    [0, 0, 1, 1]
    """
    count = len(points)
    centers, sizes = points.astype(np.float64).copy(), weights.astype(np.float64).copy()
    alive = np.ones(count, dtype=bool)
    merges: list[tuple[float, int, int]] = []
    chain: list[int] = []
    while len(merges) < count - 1:
        if not chain:
            chain.append(int(np.flatnonzero(alive)[0]))
        while True:
            top = chain[-1]
            cost = sizes * sizes[top] / (sizes + sizes[top]) * ((centers - centers[top]) ** 2).sum(axis=1)
            cost[~alive] = np.inf
            cost[top] = np.inf
            nearest = int(cost.argmin())
            if len(chain) > 1 and cost[chain[-2]] <= cost[nearest]:
                break
            chain.append(nearest)
        a, b = sorted((chain.pop(), chain.pop()))
        merges.append((float(cost[b] if top == a else cost[a]), a, b))
        both = sizes[a] + sizes[b]
        centers[a] = (sizes[a] * centers[a] + sizes[b] * centers[b]) / both
        sizes[a], alive[b] = both, False
    return _branches(count, merges, k)


def _branches(count: int, merges: list[tuple[float, int, int]], k: int) -> IntArray:
    """Carry out the cheapest merges until k clusters are left; a merge names the first point of each side."""
    parent = list(range(count))

    def root(point: int) -> int:
        while parent[point] != point:
            parent[point] = parent[parent[point]]
            point = parent[point]
        return point

    for _, a, b in sorted(merges, key=lambda merge: merge[0])[: count - k]:
        parent[root(b)] = root(a)
    _, labels = np.unique([root(point) for point in range(count)], return_inverse=True)
    return labels.astype(np.int64)


def _micro_clusters(X: FloatArray, seed: int) -> tuple[FloatArray, FloatArray]:
    if X.shape[0] <= MICRO_CLUSTERS:
        points, counts = np.unique(X, axis=0, return_counts=True)
        return points, counts.astype(np.float64)
    from sklearn.cluster import KMeans

    sample = X[sampled_rows(X.shape[0], _CONDENSED_ON, seed)]
    different = np.unique(sample, axis=0)
    points = different
    if len(different) > MICRO_CLUSTERS:
        with one_thread():
            fitted = KMeans(
                MICRO_CLUSTERS,
                init="random",
                n_init=1,
                max_iter=_CONDENSING_ROUNDS,
                random_state=np.random.RandomState(seed),
            ).fit(sample)
        points = rounded(fitted.cluster_centers_.copy())
    sizes = assign(X, points).sizes(len(points))
    return points[sizes > 0], sizes[sizes > 0].astype(np.float64)


def _tree_leaves(X: FloatArray, k: int) -> FloatArray:
    """Return the centres of at most 500 leaves of a clustering feature tree, and at least k where there are."""
    from sklearn.cluster import Birch

    some = pairwise_distances(X[:1_000])
    some[some <= _TINY] = np.inf
    apart = some.min(axis=1)
    # Two neighbours in one leaf have half their distance as its radius.
    radius = 0.5 * float(np.median(apart[np.isfinite(apart)])) if np.isfinite(apart).any() else _TINY
    # The radius that suits a sample suits all users, nearly: fewer passes over all of them.
    for rows in (X[:2_000], X):
        while True:
            leaves = Birch(threshold=radius, branching_factor=50, n_clusters=None).fit(rows).subcluster_centers_
            if len(leaves) <= MICRO_CLUSTERS:
                break
            radius *= _WIDER
    if len(leaves) < k:
        leaves = np.unique(X, axis=0)[: max(k, MICRO_CLUSTERS)]
    return rounded(np.array(leaves, dtype=np.float64))


def _cut(X: FloatArray, points: FloatArray, weights: FloatArray, k: int) -> Clustering:
    owner = ward(points, weights, min(k, len(points)))
    count = int(owner.max()) + 1
    shape = Representatives(points, owner, _means(X, points, owner, count), np.full(count, np.inf))
    return finished(X, shape, iterations=len(points) - count)


def _means(X: FloatArray, points: FloatArray, owner: IntArray, count: int) -> FloatArray:
    labels = owner[assign(X, points).labels]
    sums = np.stack([np.bincount(labels, weights=X[:, j], minlength=count) for j in range(X.shape[1])], axis=1)
    return rounded(sums / np.maximum(np.bincount(labels, minlength=count), 1)[:, None])
