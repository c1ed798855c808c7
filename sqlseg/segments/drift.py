"""Says how far the users of today are from those a model was fitted to, feature by feature.

A model keeps of each feature its deciles and how many users lay between them, and its percentiles, not the users.
From the first comes the population stability index, sum (actual - expected) ln(actual / expected), from the second the
Kolmogorov-Smirnov distance: that of the samples for a feature of up to 100 values, within 0.01 of it for others.
Missing values are a bin of their own, above all others: a feature that stops arriving is drift too.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from sqlseg.segments.blocks import FloatArray
from sqlseg.segments.ordered import Ordered
from sqlseg.segments.parts import by_column

Status = Literal["ok", "watch", "shift"]
STATUSES: tuple[Status, ...] = ("ok", "watch", "shift")

PSI_LIMIT, KS_LIMIT = 0.25, 0.20
"""Beyond these an input has shifted. A normal feature whose mean moves by half a deviation comes to just both."""
_WATCH_FROM = 0.4
"""Of the limit of PSI; of that of KS its root, as PSI grows with the square of a shift."""
_BINS = 10
_KNOTS = 100
_CHANCE = 0.001
_FLOOR = 1e-4


@dataclass(frozen=True)
class Reference:
    """A feature as the model saw it: inner bin edges, the share of users in each bin, missing ones in the last.

    Bin i holds edges[i-1] < x <= edges[i]. `at_most[i]` users had a value of knots[i] or less; models of the first
    release have no knots. An embedding has one reference for each of its axes, all under the block's name.
    """

    feature: str
    edges: tuple[float, ...]
    proportions: tuple[float, ...]
    user_count: int
    knots: tuple[float, ...] = ()
    at_most: tuple[int, ...] = ()

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Reference":
        """Return what `dataclasses.asdict` made plain."""
        return cls(
            data["feature"],
            tuple(data["edges"]),
            tuple(data["proportions"]),
            data["user_count"],
            tuple(data.get("knots", ())),
            tuple(data.get("at_most", ())),
        )

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
    first, second = Ordered.of(expected), Ordered.of(actual)
    edges = _edges(first, bins)
    floor = _floor(first.users, second.users)
    return psi_of_proportions(_proportions(first, edges), _proportions(second, edges), floor)


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
    first, second = Ordered.of(expected), Ordered.of(actual)
    if first.known.size == 0 or second.known.size == 0:
        return 0.0 if first.known.size == second.known.size else 1.0
    both = np.concatenate([first.known, second.known])
    below = (x.at_most(both) / x.known.size for x in (first, second))
    return float(np.abs(np.subtract(*below)).max())


def reference(feature: str, values: FloatArray) -> Reference:
    """Return what is to be remembered of one feature of the users a model is fitted to (1-D, NaN for missing)."""
    ordered = Ordered.of(values)
    edges = _edges(ordered, _BINS)
    knots = ordered.different
    if knots.size > _KNOTS:
        shares = np.arange(1, _KNOTS + 1) / _KNOTS
        knots = np.unique(ordered.known[np.ceil(shares * ordered.known.size).astype(np.int64) - 1])
    return Reference(
        feature,
        tuple(edges.tolist()),
        tuple(_proportions(ordered, edges).tolist()),
        ordered.users,
        tuple(knots.tolist()),
        tuple(ordered.at_most(knots).tolist()),
    )


def references(columns: Mapping[tuple[str, int], FloatArray]) -> tuple[Reference, ...]:
    """Return the reference of each column, by feature and axis, computed side by side."""
    users = max((values.size for values in columns.values()), default=0)
    return tuple(by_column(users, lambda column: reference(column[0][0], column[1]), columns.items()))


def drift(known: Reference, values: FloatArray, *, psi_limit: float = PSI_LIMIT, ks_limit: float = KS_LIMIT) -> Drift:
    """Return how far these users' values are from the reference, and whether it passes one of the limits."""
    ordered = Ordered.of(values)
    users = ordered.users
    actual = _proportions(ordered, np.array(known.edges))
    expected = np.array(known.proportions)
    psi = psi_of_proportions(expected, actual, _floor(known.user_count, users))
    if known.knots:
        ks = _distance_at_knots(known, ordered)
    else:
        ks = float(np.abs(np.cumsum(actual) - np.cumsum(expected)).max())
    if not users or not known.user_count:
        return Drift(known.feature, psi, ks, "ok")
    bins = int(((expected > 0) | (actual > 0)).sum())
    rate = 1 / known.user_count + 1 / users
    by_psi = _status(psi, psi_limit, _WATCH_FROM * psi_limit, _psi_by_chance(bins, rate))
    by_ks = _status(ks, ks_limit, _WATCH_FROM**0.5 * ks_limit, _ks_by_chance(rate))
    return Drift(known.feature, psi, ks, max(by_psi, by_ks, key=STATUSES.index))


def drift_by_feature(
    known: Sequence[Reference], columns: Collection[FloatArray], *, psi_limit: float, ks_limit: float
) -> tuple[Drift, ...]:
    """Return how far each feature is from its references, which are of these columns, computed side by side."""
    users = max((values.size for values in columns), default=0)
    pairs = zip(known, columns, strict=True)
    return worst_by_feature(
        by_column(users, lambda pair: drift(*pair, psi_limit=psi_limit, ks_limit=ks_limit), list(pairs))
    )


def worst_by_feature(drifts: Sequence[Drift]) -> tuple[Drift, ...]:
    """Return one row a feature, in order; an embedding moved as far as the axis that moved most."""
    worst: dict[str, Drift] = {}
    for row in drifts:
        known = worst.get(row.feature)
        if known is None or _severity(row) > _severity(known):
            worst[row.feature] = row
    return tuple(worst.values())


def _severity(row: Drift) -> tuple[int, float]:
    return STATUSES.index(row.status), row.psi


def _status(value: float, limit: float, watch_from: float, by_chance: float) -> Status:
    """Judge a measure of drift, leaving to chance what chance does."""
    if value < max(watch_from, by_chance):
        return "ok"
    return "watch" if value < limit else "shift"


def _psi_by_chance(bins: int, rate: float) -> float:
    """Return the PSI that no shift at all exceeds once in a thousand; `rate` is 1/N + 1/M.

    Without any shift, PSI is about chi-squared with bins - 1 degrees of freedom times that rate (Yurdakul & Naranjo
    2020), so 50 users reach 0.25 by luck.
    """
    from scipy.special import chdtri  # takes a quarter of a second, which most commands need not wait for

    return float(chdtri(bins - 1, _CHANCE)) * rate if bins > 1 else 0.0


def _ks_by_chance(rate: float) -> float:
    """Return the two-sample KS distance that no shift at all exceeds once in a thousand (Smirnov 1948)."""
    from scipy.special import kolmogi

    return float(kolmogi(_CHANCE)) * float(np.sqrt(rate))


def _distance_at_knots(known: Reference, values: Ordered) -> float:
    """Return the largest distance of the distribution functions at the knots and just below each."""
    if values.users == 0:
        return 0.0
    knots = np.array(known.knots)
    expected = np.array(known.at_most) / known.user_count
    at = values.at_most(knots) / values.users
    below = values.below(knots) / values.users
    # Above the last knot the reference has reached all its known users; what is left of it is missing.
    last = values.known.size / values.users
    before = np.append(0.0, expected[:-1])
    return float(max(np.abs(at - expected).max(), np.abs(below - before).max(), abs(last - expected[-1])))


def _floor(expected_users: int, actual_users: int) -> float:
    return max(_FLOOR, 0.5 / max(1, min(expected_users, actual_users)))


def _edges(values: Ordered, bins: int) -> FloatArray:
    """Return different inner edges at quantiles; the largest value is never one, as nothing would lie above it."""
    known = values.known
    if known.size == 0:
        return np.empty(0)
    shares = np.arange(1, bins) / bins
    edges = np.unique(known[np.floor((known.size - 1) * shares).astype(np.int64)])
    if edges[-1] == known[-1]:
        below = known[: int(values.below(known[-1:])[0])]
        edges = np.unique(np.append(edges[:-1], below[-1:]))
    return edges


def _proportions(values: Ordered, edges: FloatArray) -> FloatArray:
    if values.users == 0:
        return np.zeros(edges.size + 2)
    counts = np.diff(np.concatenate([[0], values.at_most(edges), [values.known.size, values.users]]))
    result: FloatArray = counts / values.users
    return result
