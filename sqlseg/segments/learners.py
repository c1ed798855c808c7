"""How a classifier is made of users whose segment is known, and of others: one row an algorithm.

What a learner returns says for users how probable each class is, and is kept as plain JSON.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sqlseg.segments.blocks import FloatArray, IntArray
from sqlseg.segments.boosting import BoostedTrees, fit_boosted_trees
from sqlseg.segments.clustering import sampled_rows
from sqlseg.segments.linear import LogisticRegression, fit_logistic_regression
from sqlseg.segments.self_training import self_trained
from sqlseg.segments.spreading import MOST_LABELLED, Spread, bridge_agreement, fit_spread, representatives

Classifier = BoostedTrees | LogisticRegression | Spread

OTHERS_AT_MOST = 20_000
"""Users without a label that are drawn before an algorithm makes of them what it learns from."""

_LEARNED_FROM = 50_000
_GUESSED_AT_MOST = 5_000


@dataclass(frozen=True)
class Learner:
    """How one algorithm learns.

    `reads` says which inputs: `raw` as they are, NaN where unknown, or `scaled` as clusters are found in. `fit` takes
    users x inputs, their classes (0 and up, each with users), others to learn from beside them, and a seed. `others`
    makes these of users without a label; None where an algorithm has no use for them. At most `labelled` users with a
    label are learned from.
    """

    reads: Literal["raw", "scaled"]
    fit: Callable[[FloatArray, IntArray, FloatArray, int], Classifier]
    others: Callable[[FloatArray, int], FloatArray] | None = None
    labelled: int = _LEARNED_FROM

    def agreement(
        self, classifier: Classifier, X: FloatArray, classes: IntArray, unlabelled: FloatArray, seed: int
    ) -> float | None:
        """Return what representatives keep of an algorithm's own division; None for those that need none."""
        if not isinstance(classifier, Spread):
            return None
        return bridge_agreement(classifier, X, classes, unlabelled, seed)


def _boost(X: FloatArray, classes: IntArray, _others: FloatArray, seed: int) -> Classifier:
    return fit_boosted_trees(X, classes, seed)


def _regress(X: FloatArray, classes: IntArray, _others: FloatArray, _seed: int) -> Classifier:
    return fit_logistic_regression(X, classes)


def _spread(X: FloatArray, classes: IntArray, others: FloatArray, _seed: int) -> Classifier:
    return fit_spread(X, classes, others)


def _self_train(X: FloatArray, classes: IntArray, others: FloatArray, _seed: int) -> Classifier:
    return self_trained(fit_logistic_regression, X, classes, others)


def _some(X: FloatArray, seed: int) -> FloatArray:
    return X[sampled_rows(X.shape[0], _GUESSED_AT_MOST, seed)]


LEARNERS: Mapping[str, Learner] = {
    "gradient_boosting": Learner("raw", _boost),
    "logistic_regression": Learner("scaled", _regress),
    "label_spreading": Learner("scaled", _spread, representatives, MOST_LABELLED),
    "self_training": Learner("scaled", _self_train, _some),
}


_STORED: Mapping[str, type[Classifier]] = {
    "trees": BoostedTrees,
    "regression": LogisticRegression,
    "graph": Spread,
}
"""The kinds of classifiers by their names in a stored model."""


def to_parts(classifier: Classifier) -> dict[str, Any]:
    """Return a classifier under the name that a stored model has for its kind."""
    return {name: classifier.to_dict() for name, kind in _STORED.items() if isinstance(classifier, kind)}


def from_parts(data: Mapping[str, Any]) -> Classifier:
    """Return the classifier of a stored model."""
    name = next(name for name in _STORED if name in data)
    return _STORED[name].from_dict(data[name])
