"""Gradient boosted trees, kept as plain arrays and walked by NumPy: no pickle, and no scikit-learn to place users."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sqlseg.segments.blocks import FloatArray, IntArray
from sqlseg.segments.clustering import one_thread

ROUNDS = 60
LEARNING_RATE = 0.1
MOST_LEAVES = 15
_LEAF_USERS = (3, 20)
_RIDGE = 1.0
_USERS_AT_ONCE = 16_384
LEAF = -1


@dataclass(frozen=True, eq=False)
class Tree:
    """One tree, an entry a node, parents before children; `left` is -1 at a leaf.

    A user goes left where `x[feature] <= threshold`, or where x is unknown and `unknown_left`. `users` are those of the
    fit who came by; it is empty in models from before it was kept.
    """

    feature: IntArray
    threshold: FloatArray
    unknown_left: IntArray
    left: IntArray
    right: IntArray
    value: FloatArray
    users: IntArray

    def goes_left(self, node: int, columns: FloatArray) -> NDArray[np.bool_]:
        """Return which users (`columns` is inputs x users) go left at a node."""
        x = columns[self.feature[node]]
        left: NDArray[np.bool_] = x <= self.threshold[node]
        return left | np.isnan(x) if self.unknown_left[node] else left

    def add_to(self, scores: FloatArray, columns: FloatArray) -> None:
        """Add the tree's value for each user to `scores`; `columns` is inputs x users."""
        rows: list[IntArray | None] = [None] * self.left.size
        rows[0] = np.arange(scores.size)
        for node in range(self.left.size):
            there = rows[node]
            rows[node] = None
            if there is None or not there.size:
                continue
            if self.left[node] == LEAF:
                scores[there] += self.value[node]
                continue
            x = columns[self.feature[node], there]
            goes_left = x <= self.threshold[node]
            if self.unknown_left[node]:
                goes_left |= np.isnan(x)
            rows[self.left[node]], rows[self.right[node]] = there[goes_left], there[~goes_left]

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists, ready for JSON, which knows no infinity: such a threshold (all that is known) is None."""
        data = {name: getattr(self, name).tolist() for name in _TREE}
        return {**data, "threshold": [t if np.isfinite(t) else None for t in data["threshold"]]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Tree":
        """Return what `to_dict` wrote."""
        threshold = [np.inf if t is None else t for t in data["threshold"]]
        feature, unknown_left, left, right, users = (
            np.array(data.get(name, ()), dtype=np.int64)
            for name in ("feature", "unknown_left", "left", "right", "users")
        )
        value = np.array(data["value"], dtype=np.float64)
        return cls(feature, np.array(threshold, dtype=np.float64), unknown_left, left, right, value, users)


_TREE = ("feature", "threshold", "unknown_left", "left", "right", "value", "users")


@dataclass(frozen=True, eq=False)
class BoostedTrees:
    """The rounds of trees, one tree a score in each; scores are log-odds of the second class, or one a class."""

    baseline: FloatArray
    rounds: tuple[tuple[Tree, ...], ...]

    @property
    def knows_users(self) -> bool:
        """Whether the trees know how many users of the fit came by each node, which contributions need."""
        return all(tree.users.size for trees in self.rounds for tree in trees)

    def scores(self, X: FloatArray) -> FloatArray:
        """Return users x scores for users x inputs, where NaN stands for unknown."""
        result = np.tile(self.baseline, (X.shape[0], 1))
        for start in range(0, X.shape[0], _USERS_AT_ONCE):
            part = slice(start, start + _USERS_AT_ONCE)
            columns = np.ascontiguousarray(X[part].T)
            for number in range(self.baseline.size):
                scores = np.ascontiguousarray(result[part, number])
                for trees in self.rounds:
                    trees[number].add_to(scores, columns)
                result[part, number] = scores
        return result

    def probabilities(self, X: FloatArray) -> FloatArray:
        """Return users x classes, as the trees have it: not calibrated."""
        scores = self.scores(X)
        if scores.shape[1] == 1:
            scores = np.hstack([np.zeros_like(scores), scores])
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        result: FloatArray = scores / scores.sum(axis=1, keepdims=True)
        return result

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists, ready for JSON."""
        return {
            "baseline": self.baseline.tolist(),
            "rounds": [[tree.to_dict() for tree in trees] for trees in self.rounds],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "BoostedTrees":
        """Return what `to_dict` wrote."""
        rounds = tuple(tuple(Tree.from_dict(tree) for tree in trees) for trees in data["rounds"])
        return cls(np.array(data["baseline"], dtype=np.float64), rounds)


def fit_boosted_trees(X: FloatArray, classes: IntArray, seed: int, weights: FloatArray | None = None) -> BoostedTrees:
    """Return trees that tell the classes (0 and up, each with users) apart; NaN in X stands for unknown.

    Leaves hold at least 20 users, or a fortieth of them where that is fewer, but never under three.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    # A column without any known value cannot be binned; as a constant it is never split on.
    X = np.where(np.isnan(X).all(axis=0), 0.0, X)
    fewest, most = _LEAF_USERS
    estimator = HistGradientBoostingClassifier(
        max_iter=ROUNDS,
        learning_rate=LEARNING_RATE,
        max_leaf_nodes=MOST_LEAVES,
        min_samples_leaf=max(fewest, min(most, X.shape[0] // 40)),
        l2_regularization=_RIDGE,
        early_stopping=False,
        random_state=seed,
    )
    with one_thread():
        estimator.fit(X, classes, sample_weight=weights)
    rounds = tuple(tuple(_tree(grown.nodes) for grown in trees) for trees in estimator._predictors)
    return BoostedTrees(np.asarray(estimator._baseline_prediction, dtype=np.float64).reshape(-1), rounds)


def _tree(nodes: Any) -> Tree:
    leaf = nodes["is_leaf"].astype(bool)

    def inner(field: str, kind: type, at_leaf: float) -> Any:
        return np.where(leaf, at_leaf, nodes[field].astype(kind)).astype(kind)

    return Tree(
        inner("feature_idx", np.int64, 0),
        inner("num_threshold", np.float64, 0.0),
        inner("missing_go_to_left", np.int64, 0),
        inner("left", np.int64, LEAF),
        inner("right", np.int64, LEAF),
        np.where(leaf, nodes["value"], 0.0).astype(np.float64),
        nodes["count"].astype(np.int64),
    )
