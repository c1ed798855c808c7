"""Label spreading (Zhou et al. 2004): labels flow along a graph of users, from neighbour to neighbour.

By itself it knows only the users of its graph, takes their number squared in memory, and says nothing of anybody else.
Two bridges make it serve a shop:

- Its nodes are the labelled users and, of the others, at most 1,000 centroids of k-means (micro-clusters), drawn and
  fitted without a look at any label.
- Anybody is then placed by the nearest nodes: the mean of what these believe, by the weights that the graph would give
  them (Delalleau, Bengio & Le Roux 2005, which for a fixed graph is the step that spreading itself makes at a node).

A node is joined with its ten nearest, by exp(-d^2 / h^2) with h its distance to the tenth, and whatever joins it too.
With S the weights W divided by the roots of both nodes' sums, beliefs F solve F = spread * S F + (1 - spread) * Y.
Distances count in steps of 1e-6, as in `assign`, so that neighbours are the same on every machine.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sqlseg.segments.blocks import STEPS, FloatArray, IntArray, rounded
from sqlseg.segments.clustering import different_users, one_thread, sampled_rows
from sqlseg.segments.measures import adjusted_rand_index, contingency

NEIGHBOURS = 10
SPREAD = 0.9
MICRO_CLUSTERS = 1_000
MOST_LABELLED = 2_000
_COMPARED_USERS = 1_500
_NODES = 4_096
_VALUES_AT_ONCE = 2_000_000


@dataclass(frozen=True, eq=False)
class Spread:
    """The nodes of a graph (nodes x inputs) and what they believe (nodes x classes, rows sum to 1)."""

    points: FloatArray
    beliefs: FloatArray

    def probabilities(self, X: FloatArray) -> FloatArray:
        """Return users x classes: what the nearest nodes of each user believe, the nearer the weightier."""
        result = np.empty((X.shape[0], self.beliefs.shape[1]))
        count = min(NEIGHBOURS, self.points.shape[0])
        chunk = max(1, _VALUES_AT_ONCE // max(1, self.points.shape[0]))
        for start in range(0, X.shape[0], chunk):
            part = slice(start, start + chunk)
            nearest, weights = _nearest(_squared(X[part], self.points), count)
            believed = np.zeros((nearest.shape[0], self.beliefs.shape[1]))
            for place in range(count):  # in one order, whatever the number of users
                believed += weights[:, place, None] * self.beliefs[nearest[:, place]]
            result[part] = believed / believed.sum(axis=1, keepdims=True)
        return result

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists, ready for JSON."""
        return {"points": self.points.tolist(), "beliefs": self.beliefs.tolist()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Spread":
        """Return what `to_dict` wrote."""
        beliefs = np.array(data["beliefs"], dtype=np.float64)
        return cls(np.array(data["points"], dtype=np.float64).reshape(len(beliefs), -1), beliefs)


def fit_spread(X: FloatArray, classes: IntArray, others: FloatArray) -> Spread:
    """Return what labelled users (rows of X, of classes 0 and up) and representatives of the others come to believe."""
    points = np.vstack([X, others])
    labels = np.zeros((points.shape[0], int(classes.max()) + 1))
    labels[np.arange(classes.size), classes] = 1.0
    with one_thread():
        believed = spread_labels(graph(points), labels, SPREAD)
    # What no label reaches believes in all classes alike, as far as labels go.
    unreached = believed.sum(axis=1) <= 0
    believed[unreached] = labels.sum(axis=0)
    return Spread(points, believed / believed.sum(axis=1, keepdims=True))


def graph(points: FloatArray) -> FloatArray:
    """Return the weights between nodes (rows of `points`), symmetric, 0 for those that are not joined."""
    squared = _squared(points, points)
    np.fill_diagonal(squared, np.inf)
    weights = np.zeros_like(squared)
    count = min(NEIGHBOURS, points.shape[0] - 1)
    if count:
        nearest, each = _nearest(squared, count)
        np.put_along_axis(weights, nearest, each, axis=1)
    result: FloatArray = np.maximum(weights, weights.T)
    return result


def spread_labels(weights: FloatArray, labels: FloatArray, spread: float) -> FloatArray:
    """Return where spreading ends: F = spread * S F + (1 - spread) * labels; `spread` is from 0 up to but not 1.

    >>> spread_labels(np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([[1.0], [0.0]]), 0.5).round(3).tolist()
    [[0.667], [0.333]]
    """
    roots = np.sqrt(weights.sum(axis=1))
    roots[roots == 0] = 1.0
    smoothed = weights / roots[:, None] / roots[None, :]
    believed = np.linalg.solve(np.eye(len(weights)) - spread * smoothed, (1.0 - spread) * labels)
    result: FloatArray = np.maximum(believed, 0.0)  # the solution is not negative, but its last digit may be
    return result


def bridge_agreement(model: Spread, X: FloatArray, classes: IntArray, users: FloatArray, seed: int) -> float | None:
    """Return what is left of spreading itself once users are placed by the bridge: 1 is no loss.

    It is the adjusted Rand index, on up to 1,500 users without a label, between the classes that they come to as nodes
    of the graph and those that the model gives them. None where there is no such user.
    """
    some = users[sampled_rows(users.shape[0], _COMPARED_USERS, seed)]
    if not some.shape[0]:
        return None
    count = model.beliefs.shape[1]
    direct = fit_spread(X, classes, some).beliefs[classes.size :].argmax(axis=1)
    return adjusted_rand_index(contingency(direct, model.probabilities(some).argmax(axis=1), count, count))


def representatives(X: FloatArray, seed: int) -> FloatArray:
    """Return at most 1,000 points that stand for users (rows of X): themselves, or centroids of k-means."""
    if X.shape[0] <= MICRO_CLUSTERS:
        return X
    if different_users(X, MICRO_CLUSTERS + 1) <= MICRO_CLUSTERS:
        return np.unique(X, axis=0)
    from sklearn.cluster import MiniBatchKMeans

    with one_thread():
        fitted = MiniBatchKMeans(
            MICRO_CLUSTERS, batch_size=4_096, n_init=1, max_iter=20, random_state=seed, reassignment_ratio=0.0
        ).fit(X)
    return rounded(fitted.cluster_centers_)


def _nearest(squared: FloatArray, count: int) -> tuple[IntArray, FloatArray]:
    """Return the `count` nearest nodes of each row and their weights; of nodes equally near, those that come first.

    Equally near are squared distances, in steps, that agree but for the last 4,096; nodes are fewer than that.
    """
    keys = np.floor(squared / _NODES) * _NODES + np.arange(squared.shape[1])
    if count < squared.shape[1]:
        nearest = np.argpartition(keys, count - 1, axis=1)[:, :count]
    else:
        nearest = np.tile(np.arange(count), (squared.shape[0], 1))
    nearest = np.take_along_axis(nearest, np.take_along_axis(keys, nearest, axis=1).argsort(axis=1), axis=1)
    near = np.take_along_axis(squared, nearest, axis=1)
    width = near[:, -1:]
    weights = np.exp(-np.divide(near, width, out=np.zeros_like(near), where=width > 0))
    return nearest, weights


def _squared(X: FloatArray, points: FloatArray) -> FloatArray:
    """Return squared distances in steps: whole numbers, so exact."""
    x, p = np.rint(X * STEPS), np.rint(points * STEPS)
    squared = x @ p.T
    squared *= -2.0
    squared += (p**2).sum(axis=1)
    squared += np.einsum("ij,ij->i", x, x)[:, None]
    return squared
