"""Works through users a part at a time, and through several parts or columns at once."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from sqlseg.segments.clustering import one_thread

USERS_AT_ONCE = 16_384
_WORTH_A_THREAD = 20_000
"""Values of a column from which on threads gain more than they cost."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def by_parts(users: int, work: Callable[[slice], Result]) -> list[Result]:
    """Return what `work` makes of each part of so many users, in their order.

    Parts are worked on side by side, each on one thread. They are the same on every machine.

    >>> by_parts(20_000, lambda rows: rows.stop - rows.start)
    [16384, 3616]
    """
    parts = [slice(start, min(start + USERS_AT_ONCE, users)) for start in range(0, users, USERS_AT_ONCE)]
    with one_thread():
        if len(parts) < 2:
            return [work(rows) for rows in parts]
        with ThreadPoolExecutor(min(len(parts), os.cpu_count() or 1), "by_parts") as pool:
            return list(pool.map(work, parts))


def by_column(users: int, work: Callable[[Item], Result], columns: Iterable[Item]) -> list[Result]:
    """Return what `work` makes of each column, in order; columns of many users are worked on side by side.

    It is for what NumPy does without Python's lock, such as sorting.

    >>> by_column(3, max, [[1, 4, 2], [0, 0, 7]])
    [4, 7]
    """
    of_each, cores = list(columns), os.cpu_count() or 1
    if users < _WORTH_A_THREAD or len(of_each) < 2 or cores < 2:
        return [work(column) for column in of_each]
    with ThreadPoolExecutor(min(len(of_each), cores), "by_column") as pool:
        return list(pool.map(work, of_each))
