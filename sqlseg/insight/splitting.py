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
    own = classes[leaf.order]
    unknown = np.isnan(leaf.values)
    missing = unknown.sum(axis=1)
    total = np.bincount(own[0], minlength=count).astype(np.float64)
    of_unknown = np.stack([(unknown & (own == one)).sum(axis=1) for one in range(count)]).astype(np.float64)
    # A place p has the users 0 .. p of a feature's order below it; a border is one where the next value is another.
    borders = leaf.values[:, 1:] > leaf.values[:, :-1] + _APART
    features, places = np.nonzero(borders)
    below = np.stack([(own == one).cumsum(axis=1, dtype=np.int32)[features, places] for one in range(count)])
    some = np.flatnonzero(missing)
    # Users of unknown value above, below, and alone above all who are known.
    questions = [
        (features, below.astype(np.float64), leaf.values[features, places], leaf.values[features, places + 1], False),
    ]
    if some.size:
        with_unknown = missing[features] > 0
        features, places = features[with_unknown], places[with_unknown]
        values = leaf.values[features, places], leaf.values[features, places + 1]
        questions.append((features, below[:, with_unknown] + of_unknown[:, features], *values, True))
        all_known = np.full(some.size, np.inf, dtype=np.float32)
        questions.append((some, total[:, None] - of_unknown[:, some], all_known, all_known, False))
    best: Question | None = None
    for feature, left, low, high, unknown_below in questions:
        on_left = left.sum(axis=0)
        enough = np.flatnonzero((on_left >= smallest) & (users - on_left >= smallest))
        if not enough.size:
            continue
        left, on_left = left[:, enough], on_left[enough]
        purity = (left**2).sum(axis=0) / on_left + ((total[:, None] - left) ** 2).sum(axis=0) / (users - on_left)
        first = int(purity.argmax())
        gain = float(purity[first] - (total**2).sum() / users)
        place = enough[first]
        if best is None or (gain, -feature[place]) > (best.gain, -best.feature):
            threshold = _between(low[place], high[place])
            best = Question(int(feature[place]), threshold, unknown_below, gain)
    return best


def _between(low: np.float32, high: np.float32) -> float:
    middle = float(low) / 2 + float(high) / 2
    return float(low) if middle == float(high) or (middle == np.inf and low < np.inf) else middle
