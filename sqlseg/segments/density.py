"""Clusters where users stand densely; those who stand alone are in no cluster, and a segment of their own.

Neither method scales well beyond some thousands of users, nor has it an answer for a user who comes later. So it
divides 5,000 users drawn by the seed; some of each cluster represent it, and everybody belongs to the cluster of the
nearest representative, unless that is further away than the cluster reaches. How far it reaches is the distance at
which fewest of the divided users end up elsewhere than the method itself put them.
"""

from collections.abc import Callable

import numpy as np

from sqlseg.segments.blocks import FloatArray, IntArray, rounded
from sqlseg.segments.clustering import (
    Clustering,
    cluster_count,
    different_users,
    finished,
    one_cluster,
    one_thread,
    sampled_rows,
)
from sqlseg.segments.measures import pairwise_distances
from sqlseg.segments.shapes import Representatives

DIVIDED_AT_ONCE = 5_000
REPRESENTATIVES = 1_000
SMALLEST_CLUSTER = 0.01
_USERS_AT_LEAST = 5
_NEIGHBOURS_AT_MOST = 40
_NOBODY = -1
_TINY = 1e-6


def dbscan(
    X: FloatArray, k: int, *, seed: int, initial_centers: FloatArray | None = None, starts: int = 8
) -> Clustering:
    """Divide users into what hangs together at one density (Ester et al. 1996); it finds the number itself."""
    return _by_representatives(X, k, seed, dbscan_labels)


def hdbscan(
    X: FloatArray, k: int, *, seed: int, initial_centers: FloatArray | None = None, starts: int = 8
) -> Clustering:
    """Divide users into the clusters that last longest as density rises (Campello et al. 2013); of any number."""
    return _by_representatives(X, k, seed, hdbscan_labels)


def dbscan_labels(X: FloatArray) -> IntArray:
    """Return the cluster of each user, -1 for none.

    A user is at home among as many neighbours as twice the inputs (Sander et al. 1998), 40 at most, within the
    distance at the knee of the sorted distances to the last of them. Clusters of under 1% of users are none.
    """
    from sklearn.cluster import DBSCAN
    from sklearn.neighbors import NearestNeighbors

    users = X.shape[0]
    neighbours = min(max(2 * X.shape[1], 4), _NEIGHBOURS_AT_MOST, max(users // 10, 2), users)
    with one_thread():
        far = NearestNeighbors(n_neighbors=neighbours).fit(X).kneighbors(X)[0][:, -1]
        radius = max(_knee(np.sort(far)), _TINY)
        labels = DBSCAN(eps=radius, min_samples=neighbours).fit_predict(X)
    return _without_crumbs(labels.astype(np.int64))


def hdbscan_labels(X: FloatArray) -> IntArray:
    """Return the cluster of each user, -1 for none; a cluster has 1% of users or more, and five at least."""
    from sklearn.cluster import HDBSCAN

    smallest = _smallest_cluster(X.shape[0])
    if X.shape[0] < 2 * smallest:
        return np.zeros(X.shape[0], dtype=np.int64)
    with one_thread(), np.errstate(divide="ignore", invalid="ignore"):  # users at one place are infinitely dense
        labels = HDBSCAN(min_cluster_size=smallest, min_samples=_USERS_AT_LEAST, copy=True).fit_predict(X)
    return np.asarray(labels, dtype=np.int64).clip(min=_NOBODY)


def _by_representatives(X: FloatArray, k: int, seed: int, method: Callable[[FloatArray], IntArray]) -> Clustering:
    cluster_count(X, k, None)
    if X.shape[0] < 2 * _USERS_AT_LEAST or different_users(X, at_most=2) < 2:
        return one_cluster(X, *(["Too few different users to find dense groups among."] if k > 1 else []))
    sample = X[sampled_rows(X.shape[0], DIVIDED_AT_ONCE, seed)]
    labels = method(sample)
    count = int(labels.max()) + 1
    if count == 0:
        return one_cluster(X, "Nowhere do users stand more densely than elsewhere, so everybody is in one segment.")
    chosen = _representatives(labels, count, seed)
    reach = _reach(sample, labels, chosen, count)
    lonely = labels == _NOBODY
    means = [sample[labels == cluster].mean(axis=0) for cluster in range(count)]
    noise = None
    if lonely.any():
        noise = count
        means.append(sample[lonely].mean(axis=0))
        reach = np.append(reach, 0.0)
    shape = Representatives(
        rounded(sample[chosen].copy()),
        labels[chosen],
        rounded(np.array(means)),
        rounded(reach) if noise is not None else np.full(count, np.inf),
        noise,
    )
    notes = (f"{lonely.mean():.1%} of users are unlike all others.",) if noise is not None else ()
    return finished(X, shape, iterations=1, notes=notes)


def _representatives(labels: IntArray, count: int, seed: int) -> IntArray:
    """Return rows of users drawn by the seed: of each cluster in proportion, but enough of the smallest too."""
    random = np.random.default_rng(seed)
    members = int((labels != _NOBODY).sum())
    enough = max(1, REPRESENTATIVES // (4 * count))
    chosen = []
    for cluster in range(count):
        rows = np.flatnonzero(labels == cluster)
        some = min(rows.size, max(enough, round(REPRESENTATIVES * rows.size / max(members, 1))))
        chosen.append(np.sort(random.choice(rows, some, replace=False)))
    return np.concatenate(chosen).astype(np.int64)


def _reach(sample: FloatArray, labels: IntArray, chosen: IntArray, count: int) -> FloatArray:
    """Return for each cluster the distance within which a user belongs to it.

    Each user's nearest representative, other than the user, is looked for; of all limits, the one with the fewest
    members beyond and strangers within is taken, and of those the widest.
    """
    owner = labels[chosen]
    nearest = np.empty(len(sample))
    cluster = np.empty(len(sample), dtype=np.int64)
    own_position = np.full(len(sample), _NOBODY)
    own_position[chosen] = np.arange(chosen.size)
    for start in range(0, len(sample), 2_000):
        rows = np.arange(start, min(start + 2_000, len(sample)))
        both = pairwise_distances(np.vstack([sample[rows], sample[chosen]]))[: rows.size, rows.size :]
        itself = own_position[rows]
        both[np.flatnonzero(itself >= 0), itself[itself >= 0]] = np.inf
        best = both.argmin(axis=1)
        nearest[rows], cluster[rows] = both[np.arange(rows.size), best], owner[best]
    reach = np.full(count, _TINY)
    for one in range(count):
        here = (cluster == one) & np.isfinite(nearest)
        distances = nearest[here]
        order = np.argsort(distances, kind="stable")
        stranger = (labels[here] != one)[order]
        if distances.size == 0 or stranger.all():
            continue
        # A limit at the i-th distance keeps the first i + 1: strangers among them and members after them are wrong.
        wrong = np.cumsum(stranger) + (~stranger).sum() - np.cumsum(~stranger)
        wrong = wrong[::-1]
        reach[one] = max(distances[order][::-1][int(wrong.argmin())], _TINY)
    return reach


def _knee(ascending: FloatArray) -> float:
    """Return the value furthest below the line from the first to the last: where distances begin to shoot up."""
    rise = float(ascending[-1] - ascending[0])
    if rise <= 0:
        return float(ascending[-1])
    across = np.linspace(0.0, 1.0, ascending.size)
    return float(ascending[int((across - (ascending - ascending[0]) / rise).argmax())])


def _smallest_cluster(users: int) -> int:
    return max(_USERS_AT_LEAST, int(np.ceil(SMALLEST_CLUSTER * users)))


def _without_crumbs(labels: IntArray) -> IntArray:
    if labels.max(initial=_NOBODY) < 0:
        return labels
    sizes = np.bincount(labels[labels >= 0])
    kept = np.flatnonzero(sizes >= _smallest_cluster(labels.size))
    number = np.full(sizes.size, _NOBODY)
    number[kept] = np.arange(kept.size)
    return np.where(labels >= 0, number[labels], _NOBODY).astype(np.int64)
