"""Self-training (Yarowsky 1995): what a classifier is sure of among users without a label, it learns from as well.

In rounds: the classifier says what the others are; whoever it gives a probability above 0.75 counts as labelled so from
then on; and it is learned anew. That is scikit-learn's SelfTrainingClassifier with criterion="threshold".
"""

from collections.abc import Callable
from typing import Protocol, TypeVar

import numpy as np

from sqlseg.segments.blocks import FloatArray, IntArray

THRESHOLD = 0.75
ROUNDS = 10


class Classifier(Protocol):
    """Says for users x inputs how probable each class is."""

    def probabilities(self, X: FloatArray) -> FloatArray:
        """Return users x classes."""
        ...


Kind = TypeVar("Kind", bound=Classifier)


def self_trained(
    fit: Callable[[FloatArray, IntArray], Kind],
    X: FloatArray,
    classes: IntArray,
    others: FloatArray,
    *,
    threshold: float = THRESHOLD,
    rounds: int = ROUNDS,
) -> Kind:
    """Return the classifier that labelled users (rows of X) and the sure ones of the others teach in the end.

    A label that was guessed stays; the users of X keep theirs. Only X and `classes` tell of labels.
    """
    guessed = np.full(others.shape[0], -1, dtype=np.int64)
    found = fit(X, classes)
    for _ in range(rounds):
        free = np.flatnonzero(guessed < 0)
        if not free.size:
            break
        probabilities = found.probabilities(others[free])
        sure = probabilities.max(axis=1) > threshold
        if not sure.any():
            break
        guessed[free[sure]] = probabilities[sure].argmax(axis=1)
        known = guessed >= 0
        found = fit(np.vstack([X, others[known]]), np.concatenate([classes, guessed[known]]))
    return found
