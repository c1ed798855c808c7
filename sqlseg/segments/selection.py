"""Chooses inputs by how much each tells of the labels: mutual information, or Pearson's chi squared.

Both are of the table of an input against the classes: its known values in ten bins with as many users each (fewer where
many values are equal), and unknown as a bin of its own. So neither units nor outliers matter, curves count as much as
lines, and that a value is unknown may tell something too. What several inputs tell together is not seen.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Literal

import numpy as np

from sqlseg.segments.blocks import FloatArray, IntArray

SelectedBy = Literal["none", "mutual_information", "chi_squared"]

BINS = 10


@dataclass(frozen=True)
class Selection:
    """By what inputs are chosen, and how many are kept: a number, or a share of them, rounded up.

    >>> Selection("chi_squared", 0.5).count(7), Selection("chi_squared", 12).count(7)
    (4, 7)
    """

    by: SelectedBy = "none"
    keep: int | float = 0.5

    def count(self, features: int) -> int:
        """Return how many of so many features are kept."""
        return min(features, self.keep if isinstance(self.keep, int) else max(1, ceil(self.keep * features)))


def feature_scores(X: FloatArray, y: IntArray, inputs: Sequence[str], by: SelectedBy) -> dict[str, float]:
    """Return how much each feature tells of the classes `y` (0 and up); `inputs` names the columns of X.

    NaN in X is unknown. An embedding tells as much as the one of its axes that tells most.
    """
    scores: dict[str, float] = {}
    measure = mutual_information if by == "mutual_information" else chi_squared
    for name, column in zip(inputs, X.T, strict=True):
        scores[name] = max(scores.get(name, 0.0), measure(contingency(binned(column), y)))
    return scores


def dropped_reasons(scores: Mapping[str, float], selection: Selection) -> dict[str, str]:
    """Return which features are not kept and why; of equal scores, the one that comes first is kept."""
    kept = selection.count(len(scores))
    order = sorted(scores, key=lambda name: -scores[name])
    told = selection.by.replace("_", " ")
    return {
        name: f"rank {rank} of {len(order)} by {told}; {kept} {'is' if kept == 1 else 'are'} kept"
        for rank, name in enumerate(order, start=1)
        if rank > kept
    }


def binned(column: FloatArray) -> IntArray:
    """Return the bin of each value, 0 and up: by the deciles of those that are known, and one for NaN.

    >>> binned(np.array([3.0, np.nan, 1.0, 3.0, 2.0])).tolist()
    [2, 3, 0, 2, 1]
    """
    known = ~np.isnan(column)
    if not known.any():
        return np.zeros(column.size, dtype=np.int64)
    edges = np.quantile(column[known], np.arange(1, BINS) / BINS, method="lower")
    bins = np.searchsorted(np.unique(edges), column, side="left")
    _, dense = np.unique(np.where(known, bins, BINS), return_inverse=True)
    return dense.astype(np.int64)


def contingency(bins: IntArray, y: IntArray) -> FloatArray:
    """Return how many users there are of each bin and class."""
    classes = int(y.max()) + 1
    counts = np.bincount(bins * classes + y, minlength=(int(bins.max()) + 1) * classes)
    return counts.reshape(-1, classes).astype(np.float64)


def mutual_information(table: FloatArray) -> float:
    """Return the mutual information of a table's rows and columns, in nats.

    >>> round(mutual_information(np.array([[10.0, 0.0], [0.0, 10.0]])), 6)
    0.693147
    """
    expected = _expected(table)
    some = table > 0
    return max(0.0, float((table[some] * np.log(table[some] / expected[some])).sum() / table.sum()))


def chi_squared(table: FloatArray) -> float:
    """Return Pearson's chi squared of a table: the squared differences to independence, over what is expected.

    >>> chi_squared(np.array([[10.0, 0.0], [0.0, 10.0]]))
    20.0
    """
    expected = _expected(table)
    some = expected > 0
    return float((np.square(table[some] - expected[some]) / expected[some]).sum())


def _expected(table: FloatArray) -> FloatArray:
    result: FloatArray = table.sum(axis=1, keepdims=True) * table.sum(axis=0, keepdims=True) / table.sum()
    return result
