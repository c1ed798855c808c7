"""Logistic regression with a ridge, kept as plain arrays: as much as few labels carry (le Cessie & Houwelingen 1992).

The weights are held back as if, before any label was seen, the log-odds of users had a standard deviation of 1 in all:
a variance of 1 / inputs for each weight, of inputs in standard deviations.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sqlseg.segments.blocks import FloatArray, IntArray
from sqlseg.segments.clustering import one_thread

_ITERATIONS = 1_000
_TINY = 1e-9


@dataclass(frozen=True, eq=False)
class LogisticRegression:
    """Scores are `intercepts` + `weights` (scores x inputs) times X: log-odds of the second class, or one a class."""

    intercepts: FloatArray
    weights: FloatArray

    def scores(self, X: FloatArray) -> FloatArray:
        """Return users x scores; a user's own do not depend on who else is asked about."""
        return np.stack([(X * row).sum(axis=1) for row in self.weights], axis=1) + self.intercepts

    def probabilities(self, X: FloatArray) -> FloatArray:
        """Return users x classes, not calibrated."""
        return class_probabilities(self.scores(X))

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists, ready for JSON."""
        return {"intercepts": self.intercepts.tolist(), "weights": self.weights.tolist()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "LogisticRegression":
        """Return what `to_dict` wrote."""
        return cls(*(np.array(data[part], dtype=np.float64) for part in ("intercepts", "weights")))


def class_probabilities(scores: FloatArray) -> FloatArray:
    """Return users x classes from users x scores; one score is the log-odds of the second of two classes.

    >>> class_probabilities(np.array([[0.0], [np.log(3.0)]])).tolist()
    [[0.5, 0.5], [0.25, 0.75]]
    """
    if scores.shape[1] == 1:
        scores = np.hstack([np.zeros_like(scores), scores])
    scores = np.exp(scores - scores.max(axis=1, keepdims=True))
    result: FloatArray = scores / scores.sum(axis=1, keepdims=True)
    return result


def fit_logistic_regression(X: FloatArray, classes: IntArray) -> LogisticRegression:
    """Return the regression that tells the classes (0 and up, each with users) apart; X knows every value."""
    from sklearn.linear_model import LogisticRegression as Estimator

    mean, std = X.mean(axis=0), X.std(axis=0)
    std = np.where(std > _TINY, std, 1.0)
    with one_thread():
        fitted = Estimator(C=1.0 / max(X.shape[1], 1), max_iter=_ITERATIONS).fit((X - mean) / std, classes)
    weights = fitted.coef_ / std
    return LogisticRegression(fitted.intercept_ - weights @ mean, weights)
