"""What a division of users was worth: how far it separates what they did afterwards; and the RFM baseline to beat."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sqlseg.segments.blocks import FloatArray, IntArray

BoolArray = NDArray[np.bool_]


def epsilon_squared(eta_squared: float | None, users: int, groups: int) -> float | None:
    """Return eta squared without what so many groups explain by chance; about 0 where the groups mean nothing.

    It is 1 - (1 - eta squared) (n - 1) / (n - k) (Kelley 1935), so a division into many groups can be compared with
    one into few. None where there are as many groups as users.

    >>> round(epsilon_squared(0.5, 101, 51), 6)
    0.0
    """
    if eta_squared is None or users <= groups:
        return None
    return 1 - (1 - eta_squared) * (users - 1) / (users - groups)


def area_under_curve(scores: FloatArray, positive: BoolArray) -> float | None:
    """Return the chance that a positive user scores above a negative one, ties counting half (Mann & Whitney 1947).

    None unless there are users of both kinds.

    >>> area_under_curve(np.array([1.0, 2.0, 3.0]), np.array([False, False, True]))
    1.0
    """
    hits = int(positive.sum())
    misses = positive.size - hits
    if hits == 0 or misses == 0:
        return None
    return float((middle_ranks(scores)[positive].sum() - hits * (hits + 1) / 2) / (hits * misses))


def middle_ranks(values: FloatArray) -> FloatArray:
    """Return ranks from 1 on; equal values share the middle of theirs.

    >>> middle_ranks(np.array([5.0, 7.0, 5.0])).tolist()
    [1.5, 3.0, 1.5]
    """
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    result: FloatArray = (last - (counts - 1) / 2)[inverse]
    return result


def quintiles(values: FloatArray) -> IntArray:
    """Return 1 (the smallest fifth) to 5 by rank; equal values are together, NaN is 0.

    >>> quintiles(np.array([10.0, 20, 30, 40, 50, np.nan])).tolist()
    [1, 2, 3, 4, 5, 0]
    """
    result = np.zeros(values.size, dtype=np.int64)
    known = ~np.isnan(values)
    ranks = middle_ranks(values[known])
    result[known] = np.minimum(4, np.floor(5 * (ranks - 0.5) / max(1, ranks.size))).astype(np.int64) + 1
    return result


def rfm_groups(recency_days: FloatArray, orders: FloatArray, revenue: FloatArray) -> Mapping[str, IntArray]:
    """Return the two usual divisions by recency, frequency and money, by name; who never bought is a group.

    `rfm_cells` are the up to 125 combinations of the three quintiles, `rfm_score` five groups by their sum.
    """
    bought = ~np.isnan(recency_days)
    scores = [quintiles(np.where(bought, values, np.nan)) for values in (-recency_days, orders.astype(float), revenue)]
    cells = 100 * scores[0] + 10 * scores[1] + scores[2]
    total = np.where(bought, np.sum(scores, axis=0), np.nan).astype(np.float64)
    return {"rfm_score": quintiles(total), "rfm_cells": cells}


@dataclass(frozen=True, eq=False)
class Record:
    """How many users of each group there were in a window, and how many of them did the thing in question."""

    users: Mapping[str, int]
    hits: Mapping[str, int]

    def plus(self, other: "Record") -> "Record":
        """Return both windows together."""
        return Record(_sums(self.users, other.users), _sums(self.hits, other.hits))

    def rate_of(self, group: str) -> float:
        """Return the share of a group that did it; of a group never seen, that of everybody."""
        if self.users.get(group):
            return self.hits.get(group, 0) / self.users[group]
        return sum(self.hits.values()) / max(1, sum(self.users.values()))


def record(groups: NDArray[np.object_], positive: BoolArray) -> Record:
    """Return the record of one window, from each user's group and whether the user did it."""
    names, numbers = np.unique(groups.astype(str), return_inverse=True)
    users = np.bincount(numbers, minlength=names.size)
    hits = np.bincount(numbers, weights=positive.astype(float), minlength=names.size)
    return Record(
        {str(name): int(count) for name, count in zip(names, users, strict=True)},
        {str(name): int(count) for name, count in zip(names, hits, strict=True)},
    )


def _sums(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {key: one.get(key, 0) + other.get(key, 0) for key in {**one, **other}}
