"""Whether tiers of value follow value: who is better in everything never stands lower."""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def empty_tiers(tiers: Sequence[str], segments: Collection[str]) -> list[str]:
    """Return a note for people where nobody is in some tier, since its name may be spelled otherwise; else nothing.

    >>> empty_tiers(["Low", "Top"], ["Low", "High"])
    ["nobody is in the tier 'Top'; of the segments, 'High' is no tier, so its order is not checked."]
    """
    empty = [tier for tier in tiers if tier not in set(segments)]
    others = sorted({*segments} - {*tiers})
    if not empty:
        return []
    told = f"nobody is in the tier{'s'[: len(empty) > 1]} {', '.join(map(repr, empty))}"
    if others:
        verb = "is no tier, so its order is" if len(others) == 1 else "are no tiers, so their order is"
        told += f"; of the segments, {', '.join(map(repr, others))} {verb} not checked"
    return [f"{told}."]


def ranked_below_worse(
    recency: NDArray[np.float64], frequency: NDArray[np.float64], money: NDArray[np.float64], tier: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Return who stands in a lower tier than somebody who is worse in all three.

    All are 1-D, a user each, without NaN. A smaller `recency` (days since the last purchase) is better, a larger
    `frequency`, `money` and `tier`; equal is not better. Takes the number of tiers times the distinct recencies times
    the distinct frequencies, not pairs of users.

    >>> recency, orders, spend = np.array([5.0, 9.0]), np.array([8.0, 3.0]), np.array([90.0, 20.0])
    >>> ranked_below_worse(recency, orders, spend, np.array([0, 1])).tolist()
    [True, False]
    """
    below = np.zeros(len(tier), dtype=bool)
    row, rows = _ranks(recency)
    column, columns = _ranks(frequency)
    for one in np.unique(tier)[:-1]:
        higher = tier > one
        # Of users in higher tiers, the least money at each recency and frequency; a margin stands for "nobody".
        least = np.full((rows + 1, columns + 1), np.inf)
        np.minimum.at(least, (row[higher], column[higher] + 1), money[higher])
        least = np.minimum.accumulate(np.minimum.accumulate(least[::-1], axis=0)[::-1], axis=1)
        here = tier == one
        below[here] = least[row[here] + 1, column[here]] < money[here]
    return below


def _ranks(values: NDArray[np.float64]) -> tuple[NDArray[Any], int]:
    distinct, ranks = np.unique(values, return_inverse=True)
    return ranks, len(distinct)
