"""Does two things at once: arithmetic on one thread, and on another what waits for the database."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

Result = TypeVar("Result")


@contextmanager
def beside(work: Callable[[], None] | None) -> Iterator[None]:
    """Run `work` on a thread of its own while the block runs, which must leave the database alone until its end.

    What the block raises comes first, then what the work raised.

    >>> said = []
    >>> with beside(lambda: said.append("beside")):
    ...     pass
    >>> said
    ['beside']
    """
    if work is None:
        yield
        return
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="beside") as thread:
        done = thread.submit(work)
        yield
        done.result()


@contextmanager
def under_way(work: Callable[[], Result]) -> Iterator[Callable[[], Result]]:
    """Begin `work`, which must leave the database alone, on a thread of its own; give what waits for its result.

    >>> with under_way(lambda: 6 * 7) as answer:
    ...     answer()
    42
    """
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="under_way") as thread:
        yield thread.submit(work).result
