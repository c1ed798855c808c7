"""Says how far the users of today are from those a model was fitted to, feature by feature.

A model keeps of each feature its deciles and how many users lay between them, not the users. From these come the
population stability index, sum (actual - expected) ln(actual / expected), and the Kolmogorov-Smirnov distance at the
decile edges. Missing values are a bin of their own: a feature that stops arriving is drift too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from sqlseg.segments.blocks import FloatArray

Status = Literal["ok", "watch", "shift"]

WATCH_AT, SHIFT_AT = 0.10, 0.25
_BINS = 10
_CHANCE = 0.001
_FLOOR = 1e-4


@dataclass(frozen=True)
class Reference:
    """A feature as the model saw it: inner bin edges, the share of users in each bin, missing ones in the last.

    Bin i holds edges[i-1] < x <= edges[i]. An embedding has one reference for each of its axes, all under the
    block's name.
    """

    feature: str
    edges: tuple[float, ...]
    proportions: tuple[float, ...]
    user_count: int

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Reference":
        """Return what `dataclasses.asdict` made plain."""
        return cls(data["feature"], tuple(data["edges"]), tuple(data["proportions"]), data["user_count"])

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists, texts and numbers, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Drift:
    """How far one feature has moved, and whether to care."""

    feature: str
    psi: float
    ks: float
    status: Status


def population_stability_index(expected: FloatArray, actual: FloatArray, bins: int = _BINS) -> float:
    """Return the PSI of two samples of one feature, binned by the quantiles of `expected`; 0 or more.

    NaN is a bin of its own. An empty bin counts as half a user, at least 0.0001. By convention under 0.1 is no
    change and above 0.25 a shift to act on (Siddiqi 2006, "Credit Risk Scorecards").

    >>> population_stability_index(np.arange(100.0), np.arange(100.0))
    0.0
    """
    edges = _edges(expected, bins)
    floor = _floor(expected.size, actual.size)
    return psi_of_proportions(_proportions(expected, edges), _proportions(actual, edges), floor)


def psi_of_proportions(expected: ArrayLike, actual: ArrayLike, floor: float = _FLOOR) -> float:
    """Return the PSI of two lists of shares over the same bins; smaller ones count as `floor`.

    >>> round(psi_of_proportions([0.5, 0.5], [0.6, 0.4]), 6)
    0.040547
    """
    p = np.maximum(np.asarray(expected, dtype=np.float64), floor)
    q = np.maximum(np.asarray(actual, dtype=np.float64), floor)
    return float(((q - p) * np.log(q / p)).sum())


def kolmogorov_smirnov(expected: FloatArray, actual: FloatArray) -> float:
    """Return the largest distance between two samples' distribution functions, 0 to 1; NaN left out.

    >>> kolmogorov_smirnov(np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    1.0
    """
    first, second = (np.sort(x[~np.isnan(x)]) for x in (expected, actual))
    if first.size == 0 or second.size == 0:
        return 0.0 if first.size == second.size else 1.0
    both = np.concatenate([first, second])
    below = (np.searchsorted(x, both, side="right") / x.size for x in (first, second))
    return float(np.abs(np.subtract(*below)).max())


def reference(feature: str, values: FloatArray) -> Reference:
    """Return what is to be remembered of one feature of the users a model is fitted to (1-D, NaN for missing)."""
    edges = _edges(values, _BINS)
    return Reference(feature, tuple(edges.tolist()), tuple(_proportions(values, edges).tolist()), int(values.size))


def drift(known: Reference, values: FloatArray) -> Drift:
    """Return how far these users' values are from the reference.

    `ks` is taken at the reference's edges and so never above the distance of the whole samples.
    """
    actual = _proportions(values, np.array(known.edges))
    expected = np.array(known.proportions)
    psi = psi_of_proportions(expected, actual, _floor(known.user_count, int(values.size)))
    bins = int(((expected > 0) | (actual > 0)).sum())
    ks = float(np.abs(np.cumsum(actual) - np.cumsum(expected)).max())
    return Drift(known.feature, psi, ks, _status(psi, bins, known.user_count, int(values.size)))


def worst_by_feature(drifts: Sequence[Drift]) -> tuple[Drift, ...]:
    """Return one row a feature, in order; an embedding moved as far as the axis that moved most."""
    worst: dict[str, Drift] = {}
    for row in drifts:
        if row.feature not in worst or row.psi > worst[row.feature].psi:
            worst[row.feature] = row
    return tuple(worst.values())


def _status(psi: float, bins: int, expected_users: int, actual_users: int) -> Status:
    """Judge a PSI, leaving to chance what chance does.

    Without any shift, PSI is about chi-squared with bins - 1 degrees of freedom times (1/N + 1/M) (Yurdakul &
    Naranjo 2020), so 50 users reach 0.25 by luck: below the 99.9% point of that, nothing is said to have moved.
    """
    if bins < 2 or expected_users == 0 or actual_users == 0:
        return "ok"
    from scipy.special import chdtri  # takes a quarter of a second, which most commands need not wait for

    by_chance = float(chdtri(bins - 1, _CHANCE)) * (1 / expected_users + 1 / actual_users)
    if psi < max(WATCH_AT, by_chance):
        return "ok"
    return "watch" if psi < SHIFT_AT else "shift"


def _floor(expected_users: int, actual_users: int) -> float:
    return max(_FLOOR, 0.5 / max(1, min(expected_users, actual_users)))


def _edges(values: FloatArray, bins: int) -> FloatArray:
    """Return different inner edges at quantiles; the largest value is never one, as nothing would lie above it."""
    known = values[~np.isnan(values)]
    if known.size == 0:
        return np.empty(0)
    edges = np.unique(np.quantile(known, np.arange(1, bins) / bins, method="lower"))
    top = known.max()
    if edges[-1] == top:
        below = known[known < top]
        edges = np.unique(np.append(edges[:-1], below.max())) if below.size else edges[:-1]
    result: FloatArray = edges
    return result


def _proportions(values: FloatArray, edges: FloatArray) -> FloatArray:
    if values.size == 0:
        return np.zeros(edges.size + 2)
    missing = np.isnan(values)
    bins = np.where(missing, edges.size + 1, np.searchsorted(edges, values, side="left"))
    result: FloatArray = np.bincount(bins, minlength=edges.size + 2) / values.size
    return result
