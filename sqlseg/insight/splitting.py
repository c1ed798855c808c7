"""The one question about one feature that tells segments apart best, as a decision tree of depth one asks it.

It is what scikit-learn's DecisionTreeClassifier finds (Breiman et al. 1984, CART: the split that lowers the Gini
impurity most), users of unknown value on whichever side suits better. Of splits that are equally good, the one of the
first feature is taken, and there the lowest. It is written out here since importing scikit-learn takes a second, and a
tree that grows leaf by leaf need sort its features only once.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sqlseg.segments.blocks import FloatArray, IntArray

_APART = np.float32(1e-7)
"""Values nearer to each other count as one."""


@dataclass(frozen=True, eq=False)
class Sorted:
    """The users of a leaf in the order of each feature, features x users, NaN last, with values in single precision."""

    order: IntArray
    values: NDArray[np.float32]

    @classmethod
    def of(cls, columns: FloatArray) -> "Sorted":
        """Return the order of users by each of these features (features x users), all of whom are in the leaf."""
        values = columns.astype(np.float32)
        order = values.argsort(axis=1, kind="stable")
        return cls(order, np.take_along_axis(values, order, axis=1))

    def of_features(self, places: Sequence[int]) -> "Sorted":
        """Return the users of the leaf by some of the features."""
        return Sorted(self.order[list(places)], self.values[list(places)])

    def among(self, mine: NDArray[np.bool_]) -> "Sorted":
        """Return the users of a leaf below: `mine` says of every user of the tree whether they are in it."""
        here = mine[self.order]
        features = len(self.order)
        return Sorted(self.order[here].reshape(features, -1), self.values[here].reshape(features, -1))


@dataclass(frozen=True)
class Question:
    """A feature by its place, and the threshold up to which users are below; `unknown_below` are those without a value.

    `gain` is by how much the Gini impurity falls, times the users. A threshold of infinity parts known from unknown.
    """

    feature: int
    threshold: float
    unknown_below: bool
    gain: float


def best_question(leaf: Sorted, classes: IntArray, count: int, smallest: int) -> Question | None:
    """Return the best question that leaves `smallest` users or more on either side, None where there is none.

    `classes` has the class, of so many, of every user of the tree.
    """
    users = leaf.order.shape[1]
    own, unknown = classes[leaf.order], np.isnan(leaf.values)
    missing = unknown.sum(axis=1)
    # A place p has the users 0 .. p of a feature's order below it; a border is one where the next value is another.
    features, places = np.nonzero(leaf.values[:, 1:] > leaf.values[:, :-1] + _APART)
    beside_unknown, some = missing[features] > 0, np.flatnonzero(missing)
    questions = []
    # Users of unknown value above, below, and alone above all who are known.
    for feature, place, unknown_below in (
        (features, places, False),
        (features[beside_unknown], places[beside_unknown], True),
        (some, users - missing[some] - 1, False),
    ):
        on_left = place + 1 + (missing[feature] if unknown_below else 0)
        enough = (on_left >= smallest) & (users - on_left >= smallest)
        questions.append(_Questions(feature[enough], place[enough], on_left[enough], unknown_below))
    total = np.bincount(own[0], minlength=count).astype(np.float64)
    for one in range(count):  # a class at a time: questions are many
        of_class = own == one
        so_far, of_unknown = of_class.cumsum(axis=1, dtype=np.int32), (unknown & of_class).sum(axis=1)
        for asked in questions:
            asked.count_over(so_far, of_unknown, total[one])
    best: Question | None = None
    for asked in questions:
        if not asked.feature.size:
            continue
        purity = asked.squares_below / asked.on_left + asked.squares_above / (users - asked.on_left)
        first = int(purity.argmax())
        gain = float(purity[first] - (total**2).sum() / users)
        feature, place = int(asked.feature[first]), int(asked.place[first])
        if best is None or (gain, -feature) > (best.gain, -best.feature):
            low, high = leaf.values[feature, place : place + 2]
            threshold = np.inf if np.isnan(high) else _between(low, high)
            best = Question(feature, threshold, asked.unknown_below, gain)
    return best


class _Questions:
    """Questions that part a leaf after a place in the order of a feature, and their sides' squared class counts."""

    def __init__(self, feature: IntArray, place: IntArray, on_left: IntArray, unknown_below: bool) -> None:
        self.feature, self.place, self.on_left, self.unknown_below = feature, place, on_left, unknown_below
        self.squares_below, self.squares_above = np.zeros(len(feature)), np.zeros(len(feature))

    def count_over(self, so_far: NDArray[np.int32], of_unknown: IntArray, total: float) -> None:
        """Add one class: its users up to each place of each feature, those of unknown value, and all of them."""
        left = so_far[self.feature, self.place].astype(np.float64)
        if self.unknown_below:
            left += of_unknown[self.feature]
        self.squares_below += left**2
        self.squares_above += (total - left) ** 2


def _between(low: np.float32, high: np.float32) -> float:
    middle = float(low) / 2 + float(high) / 2
    return float(low) if middle == float(high) or (middle == np.inf and low < np.inf) else middle
